//! A real Redis as a process of its own, ended by its id when the test is over.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use redis::{Value, aio::MultiplexedConnection};
use tempfile::TempDir;

use crate::harness::{answered, free};

/// See the module.
pub(crate) struct Redis {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    password: Option<&'static str>,
    folder: TempDir,
}

impl Redis {
    /// One that speaks with everybody, and has what it was told again when it was killed.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with more arguments.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let mut redis = Self::new(free());
        redis.arguments = redis.on_its_port();
        redis.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        redis.begin().await;
        redis
    }

    /// One that wants to know who speaks.
    pub(crate) async fn with_password(password: &'static str) -> Self {
        let mut redis = Self::new(free());
        redis.arguments = redis.on_its_port();
        redis.arguments.extend(["--requirepass", password].map(str::to_owned));
        redis.password = Some(password);
        redis.begin().await;
        redis
    }

    /// One that speaks TLS alone, by what is in that folder, with whoever shows a certificate of its authority.
    pub(crate) async fn with_tls(folder: &Path) -> Self {
        let mut redis = Self::new(free());
        let file = |name: &str| folder.join(name).display().to_string();
        let (port, cert, key, ca) =
            (redis.address.port().to_string(), file("redis.crt"), file("redis.key"), file("ca.pem"));
        redis.arguments = ["--port", "0", "--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key]
            .into_iter()
            .chain(["--tls-ca-cert-file", &ca])
            .map(str::to_owned)
            .collect();
        redis.spawn();
        answered("Redis takes connections", async || tokio::net::TcpStream::connect(redis.address).await.ok()).await;
        redis
    }

    /// A Sentinel that watches that master, and finds it gone quickly.
    pub(crate) async fn sentinel(master: &Self, name: &str) -> Self {
        let mut sentinel = Self::new(free());
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n",
            sentinel.address.port(),
            sentinel.folder.path().display(),
            master.address.port()
        );
        let file = sentinel.folder.path().join("sentinel.conf");
        std::fs::write(&file, text).unwrap();
        sentinel.arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
        sentinel.begin().await;
        sentinel
    }

    fn new(address: SocketAddr) -> Self {
        Self { child: None, address, arguments: Vec::new(), password: None, folder: TempDir::new().unwrap() }
    }

    fn on_its_port(&self) -> Vec<String> {
        let port = self.address.port().to_string();
        let durable =
            ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"];
        ["--port", &port, "--bind", "127.0.0.1"].into_iter().chain(durable).map(str::to_owned).collect()
    }

    fn spawn(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.arguments);
        if !self.arguments.iter().any(|argument| argument == "--sentinel") {
            command.arg("--dir").arg(self.folder.path());
        }
        command.arg("--logfile").arg(self.folder.path().join("log"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("redis-server, of `.ci/setup test`"));
    }

    async fn begin(&mut self) {
        self.spawn();
        answered("Redis answers", async || match self.ask(&["PING"]).await {
            Ok(_) => Some(()),
            Err(_) => None,
        })
        .await;
    }

    /// Where routers find it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
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
        self.begin().await;
    }

    /// Again, as a replica of that master, whatever it was before.
    pub(crate) async fn again_behind(&mut self, master: &Self) {
        if let Some(at) = self.arguments.iter().position(|argument| argument == "--replicaof") {
            self.arguments.drain(at..at + 3);
        }
        let port = master.address.port().to_string();
        self.arguments.extend(["--replicaof", "127.0.0.1", &port].map(str::to_owned));
        self.again().await;
    }

    /// What it is told from now on no replica hears.
    pub(crate) async fn leaves_replicas_behind(&self) {
        self.run(&["ACL", "SETUSER", "default", "-psync", "-sync"]).await;
        self.run(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    }

    /// They hear it again.
    pub(crate) async fn lets_replicas_hear(&self) {
        self.run(&["ACL", "SETUSER", "default", "+psync", "+sync"]).await;
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

    /// A command on a connection of its own.
    pub(crate) async fn ask(&self, command: &[&str]) -> redis::RedisResult<Value> {
        let client = redis::Client::open(match self.password {
            Some(password) => format!("redis://:{password}@{}", self.address),
            None => self.url(),
        })?;
        let mut connection: MultiplexedConnection = client.get_multiplexed_async_connection().await?;
        let mut all = redis::cmd(command[0]);
        for argument in &command[1..] {
            all.arg(*argument);
        }
        all.query_async(&mut connection).await
    }

    /// One that it carries out.
    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) -> impl Future<Output = Value> {
        let place = std::panic::Location::caller();
        async move { self.ask(command).await.unwrap_or_else(|error| panic!("{place}: {command:?}: {error}")) }
    }

    /// Waits until this replica has what its master was told until now; `WAIT` would wait for what its own connection wrote.
    pub(crate) async fn has_all_of(&self, master: &Self) {
        let told = master.info("replication", "master_repl_offset").await.unwrap().parse::<u64>().unwrap();
        answered("the replica has it", async || {
            let has = self.info("replication", "slave_repl_offset").await?;
            (has.parse::<u64>().ok()? >= told).then_some(())
        })
        .await;
    }

    /// Waits until this replica follows its master.
    pub(crate) async fn follows(&self) {
        answered("the replica follows", async || {
            (self.info("replication", "master_link_status").await? == "up").then_some(())
        })
        .await;
    }

    /// What it says of itself under that name.
    pub(crate) async fn info(&self, section: &str, name: &str) -> Option<String> {
        let Ok(Value::BulkString(text)) = self.ask(&["INFO", section]).await else { return None };
        let text = String::from_utf8(text).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the end of Redis's log\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}
