//! Headless Chromium, and pages that tell what they show.

use std::{
    collections::HashMap,
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const NAMES: [&str; 6] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chromium-headless"];

/// Tells the test what the page shows; stands behind the page, which is served unchanged.
const REPORTER: &str = "<script>setInterval(() => fetch('/report' + location.search, \
                        { method: 'POST', body: document.getElementById('log').textContent }), 100);</script>";

/// What each page shows, by the query that it was opened with.
type Shown = Arc<Mutex<HashMap<String, String>>>;

/// A page that is served to browsers and tells what it shows.
pub(crate) struct Page {
    origin: String,
    shown: Shown,
}

impl Page {
    /// Serves that page, whose `#log` is reported.
    pub(crate) async fn serve(page: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (page, shown) = (page.to_owned() + REPORTER, Shown::default());
        let told = shown.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, page.clone(), told.clone()));
            }
        });
        Self { origin, shown }
    }

    /// Where it is, opened with that query.
    pub(crate) fn url(&self, query: &str) -> String {
        format!("{}/page.html?{query}", self.origin)
    }

    /// What it shows where it was opened with that query.
    pub(crate) fn text(&self, query: &str) -> String {
        self.shown.lock().unwrap().get(query).cloned().unwrap_or_default()
    }
}

async fn answer(mut stream: TcpStream, page: String, shown: Shown) -> Option<()> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
    while bytes.len() < head_end + length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let (method, target) = head.split_once(' ')?;
    let (path, query) = target.split(' ').next()?.split_once('?').unwrap_or_default();
    let body = match (method, path) {
        ("GET", "/page.html") => page.as_str(),
        ("POST", "/report") => {
            let text = String::from_utf8_lossy(&bytes[head_end..]).into_owned();
            shown.lock().unwrap().insert(query.to_owned(), text);
            ""
        }
        _ => "",
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.ok()
}

/// A browser in a process group of its own.
pub(crate) struct Browser {
    child: Child,
    profile: TempDir,
}

impl Browser {
    /// Opens a page; `more` are flags of its own.
    pub(crate) fn open(url: &str, more: &[&str]) -> Self {
        let profile = TempDir::new().unwrap();
        let log = fs::File::create(profile.path().join("log")).unwrap();
        let mut command = Command::new(installed());
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // loopback is the one interface that every test machine has
            "--allow-loopback-in-peer-connection",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
        ]);
        command.args(more);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        command.stdout(Stdio::null()).stderr(log).process_group(0);
        Self { child: command.spawn().unwrap(), profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // the group is the browser's own: its renderers end with it
        Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!(
                "--- the browser's log\n{}",
                fs::read_to_string(self.profile.path().join("log")).unwrap_or_default()
            );
        }
    }
}

fn installed() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|f| f.is_file());
    found.expect("no Chromium on PATH: install the package `chromium`, as `make test` does")
}
