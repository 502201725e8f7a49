//! A real etcd as a process of its own, ended by its id when the test is over.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use etcd_client::{Client, CompactionOptions, GetOptions};
use tempfile::TempDir;

use crate::harness::{Authority, answered, built_by_go, free, within};

/// Which etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// That of a package: 3.4 in Debian 12.
    Packaged,
    /// The newest, where it could be built.
    Newest,
}

impl Release {
    /// Those that are here.
    pub(crate) fn here() -> Vec<Self> {
        [Self::Packaged, Self::Newest].into_iter().filter(|release| release.program().is_some()).collect()
    }

    fn program(self) -> Option<PathBuf> {
        match self {
            Self::Packaged => Some("etcd".into()),
            Self::Newest => built_by_go("etcd-3.7/bin/etcd"),
        }
    }
}

/// See the module.
pub(crate) struct Etcd {
    child: Option<Child>,
    program: PathBuf,
    client: SocketAddr,
    peer: SocketAddr,
    tls: bool,
    /// What its members call it.
    name: &'static str,
    /// Its members, where it has others.
    cluster: Option<String>,
    folder: TempDir,
}

impl Etcd {
    /// One that speaks with everybody.
    pub(crate) async fn start() -> Self {
        Self::of(Release::Packaged).await
    }

    /// The same of that release.
    pub(crate) async fn of(release: Release) -> Self {
        let mut etcd = Self::new(release, false);
        etcd.begin(etcd.client).await;
        // one that is killed before it has a leader does not come up again
        within("etcd has a leader", etcd.client().await.get("/", None)).await.unwrap();
        etcd
    }

    /// One that shows a certificate of that authority.
    pub(crate) async fn with_certificate_of(authority: &Authority) -> Self {
        let mut etcd = Self::new(Release::Packaged, true);
        authority.sign(&["127.0.0.1"]).write(etcd.folder.path(), "etcd");
        etcd.begin(etcd.client).await;
        etcd
    }

    /// Three members of one that has a leader.
    pub(crate) async fn three(release: Release) -> [Self; 3] {
        let mut members = [(); 3].map(|()| Self::new(release, false));
        for (member, name) in members.iter_mut().zip(["a", "b", "c"]) {
            member.name = name;
        }
        let cluster = members.each_ref().map(|member| format!("{}=http://{}", member.name, member.peer)).join(",");
        for member in &mut members {
            member.cluster = Some(cluster.clone());
        }
        let [a, b, c] = &mut members;
        tokio::join!(a.begin(a.client), b.begin(b.client), c.begin(c.client));
        within("they have a leader", members[0].client().await.get("/", None)).await.unwrap();
        members
    }

    /// Which of them leads.
    pub(crate) async fn leader(members: &[Self]) -> usize {
        answered("one of them leads", async || {
            for (place, member) in members.iter().enumerate().filter(|(_, member)| member.child.is_some()) {
                let status = member.client().await.status().await.ok()?;
                if status.leader() != 0 && Some(status.leader()) == status.header().map(|header| header.member_id()) {
                    return Some(place);
                }
            }
            None
        })
        .await
    }

    fn new(release: Release, tls: bool) -> Self {
        let (client, peer, folder) = (free(), free(), TempDir::new().unwrap());
        let program = release.program().expect("one of those that are here");
        Self { child: None, program, client, peer, tls, name: "default", cluster: None, folder }
    }

    /// Where routers find it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.client)
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.client
    }

    async fn begin(&mut self, client: SocketAddr) {
        let scheme = if self.tls { "https" } else { "http" };
        let (url, peer) = (format!("{scheme}://{client}"), format!("http://{}", self.peer));
        let cluster = self.cluster.clone().unwrap_or_else(|| format!("default={peer}"));
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(self.folder.path().join("data")).args([
            "--name",
            self.name,
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &cluster,
            "--logger=zap",
            "--log-level=error",
            // leases may be as short as a second
            "--heartbeat-interval=20",
            "--election-timeout=200",
        ]);
        if self.tls {
            command.arg("--cert-file").arg(self.folder.path().join("etcd.crt"));
            command.arg("--key-file").arg(self.folder.path().join("etcd.key"));
        }
        let log = File::create(self.folder.path().join("log")).unwrap();
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().expect("etcd, of `.ci/setup test`"));
        answered("etcd takes connections", async || tokio::net::TcpStream::connect(client).await.ok()).await;
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Again, with what it had.
    pub(crate) async fn again(&mut self) {
        assert!(self.child.is_none());
        self.begin(self.client).await;
    }

    /// Does that to it while no router can reach it.
    pub(crate) async fn apart(&mut self, act: impl AsyncFnOnce(Client)) {
        self.kill();
        let elsewhere = free();
        self.begin(elsewhere).await;
        let client = Client::connect([format!("http://{elsewhere}")], None).await.unwrap();
        act(client).await;
        self.kill();
        self.again().await;
    }

    /// It does not run any more, and its connections stay.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// It runs again.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect([self.url()], None).await.unwrap()
    }

    /// What stands there whose keys begin so.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let options = GetOptions::new().with_prefix().with_keys_only();
        let found = self.client().await.get(prefix, Some(options)).await.unwrap();
        found.kvs().iter().map(|pair| pair.key_str().unwrap().to_owned()).collect()
    }

    /// The folder of its certificates.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file beside them.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// All but the newest revision is forgotten.
pub(crate) async fn compact(client: &mut Client) {
    let newest = client.get("/", Some(GetOptions::new().with_prefix().with_count_only())).await.unwrap();
    let revision = newest.header().unwrap().revision();
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- etcd's log\n{log}");
        }
    }
}
