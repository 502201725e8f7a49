//! What keeping rooms in a Redis of this machine costs: how long a write takes, and how many there are in a second.
//!
//! ```sh
//! cargo run --release --locked --example fabric
//! ```

#![allow(clippy::print_stdout)] // what it is there for
#![allow(clippy::unwrap_used)] // it cannot go on without

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use signalbox::{
    fabric::{Taken, Write},
    ids::RoomId,
    io::fabric::{Address, Fabric, FabricMode, FabricSettings},
};

/// How long each row is measured.
const ROW: Duration = Duration::from_secs(3);
/// Of each entry.
const ENTRY_BYTES: usize = 200;
const ENTRIES: u64 = 3;
/// Entries that are kept of a room.
const KEPT: u64 = 256;

/// Ended with the process.
struct Redis(Child, u16);

impl Redis {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let child = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child, port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn settings(port: u16) -> FabricSettings {
    FabricSettings {
        addresses: vec![Address { host: "127.0.0.1".to_owned(), port }],
        mode: FabricMode::Single,
        user: None,
        tls: None,
        prefix: "signalbox:".to_owned(),
        scope: "fleet".to_owned(),
        router: "r1".to_owned(),
        timeout: Duration::from_secs(5),
        calls_max: 65_536,
        connections: 2,
        keep: Duration::from_secs(120),
    }
}

/// Writes a room again and again; how long each took.
async fn write_on(fabric: Fabric, room: RoomId, until: Instant) -> Vec<Duration> {
    let Taken::Nothing { fence } = fabric.take(&room, true).await.unwrap() else { panic!("it was there") };
    let content = Bytes::from(vec![b'x'; ENTRY_BYTES]);
    let (mut offset, mut took) = (0, Vec::new());
    while Instant::now() < until {
        let entries = (1..=ENTRIES).map(|next| (offset + next, content.clone())).collect();
        offset += ENTRIES;
        let trim_below = offset.saturating_sub(KEPT);
        let begun = Instant::now();
        fabric.write(&room, &Write { fence, trim_below, entries, ..Write::default() }).await.unwrap();
        took.push(begun.elapsed());
    }
    fabric.end(&room, fence).await.unwrap();
    took
}

async fn row(fabric: &Fabric, rooms: usize) {
    let until = Instant::now() + ROW;
    let name = |number: usize| RoomId::from(format!("{rooms}-{number}"));
    let tasks: Vec<_> = (0..rooms).map(|number| tokio::spawn(write_on(fabric.clone(), name(number), until))).collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let each_second = took.len() as f64 / ROW.as_secs_f64();
    println!("{rooms:>6} {each_second:>10.0} {:>9.3} {:>9.3} {:>9.3}", at(0.5), at(0.99), at(1.0));
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let redis = Redis::start();
    let fabric = Fabric::new(settings(redis.1), Arc::new(|_| ()), 7);
    println!("writes of {ENTRIES} entries of {ENTRY_BYTES} bytes, {KEPT} kept; one room writes one after the other");
    println!("{:>6} {:>10} {:>9} {:>9} {:>9}", "rooms", "writes/s", "p50 ms", "p99 ms", "max ms");
    for rooms in [1, 8, 64, 512] {
        row(&fabric, rooms).await;
    }
}
