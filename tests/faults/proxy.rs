//! A fault proxy: carries connections to one server, and does to them what networks do.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until, timeout_at},
};

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction of one connection; past it nothing more is read, as of a full window.
const UNDER_WAY: usize = 256;
/// A narrow line is written to so often.
const SLICE: Duration = Duration::from_millis(100);

/// What the network does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Weather {
    /// Each direction takes so long, give or take that much.
    pub(crate) latency: Option<(Duration, Duration)>,
    /// Of each direction of each connection.
    pub(crate) bytes_a_second: Option<usize>,
    /// Nothing gets to the server.
    pub(crate) cut_up: bool,
    /// Nothing gets back from it.
    pub(crate) cut_down: bool,
    /// Every connection is reset, the ones to come as soon as they are made.
    pub(crate) reset: bool,
    /// Every connection is held open and nothing comes of it, ever.
    pub(crate) mute: bool,
    /// The same, and the server hears nothing of it either: what both ends say on those that stand vanishes, ever.
    pub(crate) void: bool,
    /// Nobody listens for new connections, and those that stand go on.
    pub(crate) refuse: bool,
    /// Once it changes, the connections that stand are reset, and those to come are as ever.
    pub(crate) cuts: u32,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Up,
    Down,
}

impl Weather {
    fn cuts(&self, way: Way) -> bool {
        match way {
            Way::Up => self.cut_up,
            Way::Down => self.cut_down,
        }
    }
}

/// See the module. Dropped, it carries nothing any more.
pub(crate) struct Proxy {
    pub(crate) at: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// In front of that server, in fine weather.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather::default());
        let accepting = tokio::spawn(accept(listener, server, seen));
        Self { at, weather, accepting }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let at = listener.local_addr().unwrap();
    let (mut listener, mut carried) = (Some(listener), JoinSet::new());
    loop {
        let refuse = weather.borrow_and_update().refuse;
        if refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(at).await.unwrap());
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = accepted => drop(carried.spawn(carry(client, server, weather.clone()))),
            Some(_) = carried.join_next() => {}
            Ok(()) = weather.changed() => {}
        }
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let present = *weather.borrow_and_update();
    if present.reset {
        client.set_zero_linger().ok();
        return;
    }
    if present.mute || present.void {
        return hold(&mut client).await;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut up = Pump { from: from_client, to: to_server, way: Way::Up, weather: weather.clone() };
    let mut down = Pump { from: from_server, to: to_client, way: Way::Down, weather: weather.clone() };
    tokio::select! {
        // one direction that has ended ends both: neither end of these uses half a connection
        _ = up.run() => return,
        _ = down.run() => return,
        broken = weather.wait_for(|weather| {
            weather.reset || weather.mute || weather.void || weather.cuts != present.cuts
        }) => if broken.is_err() { return },
    }
    let now = *weather.borrow();
    let mut client = up.from.reunite(down.to).unwrap();
    let mut server = down.from.reunite(up.to).unwrap();
    if now.void {
        // what one end does to it, the other does not hear of
        tokio::join!(hold(&mut client), hold(&mut server));
        return;
    }
    server.set_zero_linger().ok();
    drop(server);
    if !now.mute {
        client.set_zero_linger().ok();
        return;
    }
    hold(&mut client).await;
}

/// Until that end gives it up: what it says is read, and goes nowhere.
async fn hold(end: &mut TcpStream) {
    let mut nowhere = [0; CHUNK];
    while end.read(&mut nowhere).await.is_ok_and(|read| read > 0) {}
}

/// One direction of a connection.
struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    way: Way,
    weather: watch::Receiver<Weather>,
}

impl Pump {
    async fn run(&mut self) -> io::Result<()> {
        let (queue, queued) = mpsc::channel(UNDER_WAY);
        let (mut read_under, mut written_under) = (self.weather.clone(), self.weather.clone());
        tokio::select! {
            ended = read(&mut self.from, self.way, &mut read_under, queue) => ended,
            ended = write(&mut self.to, &mut written_under, queued) => ended,
        }
    }
}

type Chunk = (Instant, Vec<u8>);

/// Reads, and says when each chunk is due. What is cut off is kept, as the sender's system would send it again.
async fn read(
    from: &mut OwnedReadHalf,
    way: Way,
    weather: &mut watch::Receiver<Weather>,
    queue: mpsc::Sender<Chunk>,
) -> io::Result<()> {
    let mut latest = Instant::now();
    loop {
        let mut chunk = vec![0; CHUNK];
        let read = from.read(&mut chunk).await?;
        chunk.truncate(read);
        let gone = |_| io::Error::from(io::ErrorKind::NotConnected);
        let present = *weather.wait_for(|weather| !weather.cuts(way)).await.map_err(gone)?;
        let takes = present.latency.map_or(Duration::ZERO, |(latency, jitter)| {
            (latency + jitter.mul_f64(2.0 * fastrand::f64())).saturating_sub(jitter)
        });
        // nothing overtakes
        latest = latest.max(Instant::now() + takes);
        if read == 0 || queue.send((latest, chunk)).await.is_err() {
            return Ok(());
        }
    }
}

/// Writes what is due, as fast as the line is. What is under way when the weather turns fine arrives at once.
async fn write(
    to: &mut OwnedWriteHalf,
    weather: &mut watch::Receiver<Weather>,
    mut queued: mpsc::Receiver<Chunk>,
) -> io::Result<()> {
    while let Some((due, chunk)) = queued.recv().await {
        timeout_at(due, weather.wait_for(|weather| weather.latency.is_none())).await.ok();
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let rate = weather.borrow().bytes_a_second;
            let slice = rate.map_or(rest.len(), |rate| rate / 10);
            let size = rest.len().min(slice);
            let (now, later) = rest.split_at(size);
            to.write_all(now).await?;
            rest = later;
            if rate.is_some() {
                // a short one takes less of the line
                sleep_until(Instant::now() + SLICE.mul_f64(size as f64 / slice as f64)).await;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::{answered, within};

    /// One connection through a proxy to a server that says everything back.
    async fn echoed() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        let mut stream = TcpStream::connect(proxy.at).await.unwrap();
        assert!(says(&mut stream, b"fine").await < Duration::from_secs(5));
        (proxy, stream)
    }

    /// How long it takes to come back.
    async fn says(stream: &mut TcpStream, words: &[u8]) -> Duration {
        let begun = Instant::now();
        stream.write_all(words).await.unwrap();
        let mut heard = vec![0; words.len()];
        within("an echo", stream.read_exact(&mut heard)).await.unwrap();
        assert_eq!(heard, words);
        begun.elapsed()
    }

    #[tokio::test]
    async fn what_is_slow_or_narrow_arrives_later_and_whole() {
        let (proxy, mut stream) = echoed().await;
        let slow = Some((Duration::from_millis(150), Duration::from_millis(50)));
        proxy.set(Weather { latency: slow, ..Weather::default() });
        assert!(says(&mut stream, b"slow").await >= Duration::from_millis(200), "a hundred each way at least");
        proxy.set(Weather { bytes_a_second: Some(1_000), ..Weather::default() });
        assert!(says(&mut stream, &[7; 500]).await >= Duration::from_millis(400));
    }

    #[tokio::test]
    async fn what_is_cut_off_in_either_direction_arrives_once_it_is_not() {
        let (proxy, mut stream) = echoed().await;
        for cut in [Weather { cut_up: true, ..Weather::default() }, Weather { cut_down: true, ..Weather::default() }] {
            proxy.set(cut);
            stream.write_all(b"late").await.unwrap();
            let mut heard = [0; 4];
            let reading = stream.read_exact(&mut heard);
            assert!(tokio::time::timeout(Duration::from_millis(200), reading).await.is_err(), "{cut:?}");
            proxy.set(Weather::default());
            within("what was held", stream.read_exact(&mut heard)).await.unwrap();
            assert_eq!(&heard, b"late");
        }
    }

    #[tokio::test]
    async fn connections_are_reset_or_never_answered() {
        let (proxy, mut stream) = echoed().await;
        proxy.set(Weather { reset: true, ..Weather::default() });
        let ended = within("a reset", stream.read_u8()).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
        proxy.set(Weather { mute: true, ..Weather::default() });
        let mut stream = TcpStream::connect(proxy.at).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await.is_err());
        proxy.set(Weather::default());
        assert!(tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await.is_err(), "held for good");
    }

    #[tokio::test]
    async fn those_that_stand_are_reset_once_and_new_ones_are_taken_or_refused() {
        let (proxy, mut stream) = echoed().await;
        proxy.set(Weather { cuts: 1, ..Weather::default() });
        let ended = within("a reset", stream.read_u8()).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
        let mut stream = TcpStream::connect(proxy.at).await.unwrap();
        says(&mut stream, b"once").await;
        proxy.set(Weather { cuts: 1, refuse: true, ..Weather::default() });
        let refused = async || {
            TcpStream::connect(proxy.at).await.err().filter(|why| why.kind() == io::ErrorKind::ConnectionRefused)
        };
        answered("a refusal", refused).await;
        says(&mut stream, b"goes on").await;
        proxy.set(Weather { cuts: 1, ..Weather::default() });
        let taken = async || TcpStream::connect(proxy.at).await.ok();
        says(&mut answered("a connection", taken).await, b"again").await;
    }

    #[tokio::test]
    async fn what_either_end_says_vanishes() {
        let (proxy, mut stream) = echoed().await;
        proxy.set(Weather { void: true, ..Weather::default() });
        tokio::time::sleep(Duration::from_millis(50)).await;
        for weather in [Weather { void: true, ..Weather::default() }, Weather::default()] {
            proxy.set(weather);
            stream.write_all(b"hello").await.unwrap();
            assert!(tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await.is_err(), "{weather:?}");
        }
        let mut stream = TcpStream::connect(proxy.at).await.unwrap();
        says(&mut stream, b"new").await;
    }
}
