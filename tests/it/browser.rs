//! The README's page, as it stands there, opened twice in headless Chromium.

use std::{
    collections::HashMap,
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Router, Token, eventually};

const NAMES: [&str; 6] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chromium-headless"];

/// Tells the test what the page shows; stands behind the page, which is served unchanged.
const REPORTER: &str = "<script>setInterval(() => fetch('/report' + location.search, \
                        { method: 'POST', body: document.getElementById('log').textContent }), 100);</script>";

/// What each page shows, by the query that it was opened with.
type Shown = Arc<Mutex<HashMap<String, String>>>;

/// The code block of the README's browser section.
fn snippet() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, after) = readme.split_once("```html\n").expect("README.md has an html block");
    after.split_once("```").expect("the block ends").0.to_owned()
}

/// Serves the page and takes its reports.
async fn serve(listener: TcpListener, page: String, shown: Shown) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, page.clone(), shown.clone()));
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
struct Browser {
    child: Child,
    profile: TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
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

#[tokio::test]
async fn two_pages_of_the_readme_exchange_messages_and_open_a_data_channel() {
    let router = Router::dev();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let shown = Shown::default();
    let page = snippet() + REPORTER;
    assert!(snippet().lines().count() <= 35, "the snippet has grown");
    tokio::spawn(serve(listener, page, shown.clone()));

    let query = |identity: &str| {
        let token = Token::new("r1", identity).claim("name", json!(identity)).sign();
        format!("token={token}&url=ws://{}/v1/signal", router.client)
    };
    let (alice, bob) = (query("alice"), query("bob"));
    let text_of = |query: &String| shown.lock().unwrap().get(query).cloned().unwrap_or_default();

    let _first = Browser::open(&format!("{origin}/page.html?{alice}"));
    eventually("alice in the room", || text_of(&alice).contains("joined r1 as alice")).await;
    let _second = Browser::open(&format!("{origin}/page.html?{bob}"));
    for (query, lines) in [
        (&alice, ["bob: \"hello, room\"", "channel to bob is open", "bob, directly: hello, you"]),
        (&bob, ["alice: \"welcome\"", "channel to alice is open", "alice, directly: hello, you"]),
    ] {
        for line in lines {
            eventually(line, || text_of(query).contains(line)).await;
        }
    }
}
