//! A proxy as a process of its own, by the file in `deploy/proxies` with the addresses of a test in it, ended by its id.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
};

use tempfile::TempDir;

use crate::harness::{Router, answered, free, repository};

/// Whose file it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
}

/// A running proxy.
pub(crate) struct Proxy {
    child: Child,
    /// Where WebSockets and the admin API are.
    pub(crate) client: SocketAddr,
    /// Where gRPC is.
    pub(crate) grpc: SocketAddr,
    folder: TempDir,
}

impl Proxy {
    /// In front of these, by its file with that change.
    pub(crate) async fn start(kind: Kind, routers: &[&Router; 3], change: impl FnOnce(String) -> String) -> Self {
        let (client, grpc, folder) = (free(), free(), TempDir::new().unwrap());
        let place = folder.path();
        let mut command = match kind {
            Kind::Nginx => nginx(place, change(shipped("nginx.conf")), routers, [client, grpc]),
            Kind::Haproxy => haproxy(place, change(shipped("haproxy.cfg")), routers, [client, grpc]),
        };
        let log = File::create(place.join("output")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}; run `make test`, or `.ci/setup test`"));
        let proxy = Self { child, client, grpc, folder };
        for at in [client, grpc] {
            answered("the proxy takes connections", async || tokio::net::TcpStream::connect(at).await.ok()).await;
        }
        proxy
    }

    /// All that it wrote.
    pub(crate) fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        ["output", "signalbox.log", "signalbox-error.log"].map(read).concat()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- the proxy's log\n{}", self.log());
        }
    }
}

fn shipped(name: &str) -> String {
    fs::read_to_string(repository("deploy/proxies").join(name)).unwrap()
}

/// The text with what is there replaced.
fn replaced(text: &str, changes: &[(String, String)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "no `{from}` in:\n{text}");
        text.replace(from, to)
    })
}

fn named(number: usize) -> String {
    format!("router-{}.example.com:7800", number + 1)
}

fn nginx(place: &Path, text: String, routers: &[&Router; 3], [client, grpc]: [SocketAddr; 2]) -> Command {
    let mut changes = vec![
        ("0.0.0.0:80;".to_owned(), format!("{client};")),
        ("0.0.0.0:81 ".to_owned(), format!("{grpc} ")),
        ("/var/log/nginx".to_owned(), place.display().to_string()),
    ];
    changes.extend(routers.iter().enumerate().map(|(n, router)| (named(n), router.client.to_string())));
    fs::write(place.join("signalbox.conf"), replaced(&text, &changes)).unwrap();
    let bodies = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let bodies: String = bodies.iter().map(|of| format!("{of}_temp_path {of};\n")).collect();
    // one process, of whoever runs the test
    let main = "daemon off; master_process off; pid pid; error_log stderr warn; events {}";
    fs::write(place.join("nginx.conf"), format!("{main}\nhttp {{\n{bodies}include signalbox.conf;\n}}\n")).unwrap();
    let mut command = program("nginx");
    command.arg("-p").arg(place).args(["-e", "stderr", "-c", "nginx.conf"]);
    command
}

fn haproxy(place: &Path, text: String, routers: &[&Router; 3], [client, grpc]: [SocketAddr; 2]) -> Command {
    let mut changes = vec![
        ("bind 0.0.0.0:80\n".to_owned(), format!("bind {client}\n")),
        ("bind 0.0.0.0:81 ".to_owned(), format!("bind {grpc} ")),
        ("maxconn 200000".to_owned(), "maxconn 1000".to_owned()),
    ];
    // the routers of a test have a port each for what they are asked by the checks
    let checked = |router: &Router| format!("{} port {}", router.client, router.ops.port());
    changes.extend(routers.iter().enumerate().map(|(n, router)| (named(n), checked(router))));
    let file = place.join("haproxy.cfg");
    fs::write(&file, replaced(&text, &changes)).unwrap();
    let mut command = program("haproxy");
    command.arg("-db").arg("-f").arg(file);
    command
}

/// Debian has both where only root's path looks.
fn program(name: &str) -> Command {
    let system = Path::new("/usr/sbin").join(name);
    if system.exists() { Command::new(system) } else { Command::new(name) }
}
