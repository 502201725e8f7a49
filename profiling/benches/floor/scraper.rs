//! Scrapes a router while it is driven, as a Prometheus with native histograms does, only far more often.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Prometheus' default is once in 15 s to a minute.
const PAUSE: Duration = Duration::from_millis(250);
const ACCEPT: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,*/*;q=0.1";

/// A thread that scrapes.
pub(crate) struct Scraper {
    ended: Arc<AtomicBool>,
    scrapes: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Scraper {
    pub(crate) fn start(ops: SocketAddr) -> Self {
        let (ended, scrapes) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, count) = (ended.clone(), scrapes.clone());
        let thread = thread::spawn(move || {
            while !stop.load(Relaxed) {
                if scrape(ops).is_some_and(|bytes| bytes > 1_000) {
                    count.fetch_add(1, Relaxed);
                }
                thread::sleep(PAUSE);
            }
        });
        Self { ended, scrapes, thread }
    }

    /// Ends it; answers how many scrapes there were.
    pub(crate) fn end(self) -> u64 {
        self.ended.store(true, Relaxed);
        self.thread.join().ok();
        self.scrapes.load(Relaxed)
    }
}

fn scrape(ops: SocketAddr) -> Option<usize> {
    let mut stream = TcpStream::connect(ops).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let head = format!("Host: {ops}\r\nAccept: {ACCEPT}\r\nAccept-Encoding: gzip\r\nConnection: close");
    write!(stream, "GET /metrics HTTP/1.1\r\n{head}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()
}
