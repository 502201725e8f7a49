//! A run against servers that lose, double and swap on purpose: what the generator says must be the truth.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;
use tokio_websockets::{Message, ServerBuilder};

use super::{
    LoadError, Options, Report, Scenario, TokenSource,
    client::{Dialect, TargetSettings},
};

/// What a server does to every tenth message of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Lose,
    Double,
    /// Deliver it after the one that follows.
    Swap,
}

/// Faults that were put in.
type Planted = Arc<AtomicU64>;

#[derive(Clone)]
struct Member {
    id: usize,
    messages: mpsc::Sender<Message>,
}

type Members = Arc<Mutex<Vec<Member>>>;

/// One room for all; speaks the bare dialect.
async fn serve(fault: Fault) -> (SocketAddr, Planted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let planted = Planted::default();
    let counter = planted.clone();
    tokio::spawn(async move {
        let members = Members::default();
        for id in 0.. {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(tcp, id, members.clone(), (fault, counter.clone())));
        }
    });
    (address, planted)
}

async fn converse(tcp: TcpStream, id: usize, members: Members, (fault, planted): (Fault, Planted)) {
    let Ok((_, mut socket)) = ServerBuilder::new().accept(tcp).await else { return };
    let Some(Ok(_hello)) = socket.next().await else { return };
    socket.send(Message::text("joined")).await.unwrap();
    let (messages, mut waiting) = mpsc::channel::<Message>(1_000);
    members.lock().unwrap().push(Member { id, messages });
    let (mut count, mut held) = (0, None);
    loop {
        tokio::select! {
            message = waiting.recv() => {
                let Some(message) = message else { return };
                count += 1;
                let copies = if count % 10 == 5 { fault } else { Fault::None };
                if copies != Fault::None {
                    planted.fetch_add(1, Relaxed);
                }
                match copies {
                    Fault::None => socket.send(message).await.unwrap(),
                    Fault::Lose => {}
                    Fault::Double => {
                        socket.send(message.clone()).await.unwrap();
                        socket.send(message).await.unwrap();
                    }
                    Fault::Swap => {
                        held = Some(message);
                        continue;
                    }
                }
                if let Some(held) = held.take() {
                    socket.send(held).await.unwrap();
                }
            }
            received = socket.next() => {
                let Some(Ok(message)) = received else { break };
                let others: Vec<_> = members.lock().unwrap().iter().filter(|other| other.id != id).cloned().collect();
                for other in others {
                    other.messages.try_send(message.clone()).ok();
                }
            }
        }
    }
    members.lock().unwrap().retain(|other| other.id != id);
}

fn fanout(address: SocketAddr) -> Options {
    let mut target = TargetSettings::websocket(format!("ws://{address}/"));
    target.dialect = Dialect::Bare;
    let mut options = Options::new(Scenario::Fanout, target, TokenSource::None);
    // two in one room: the swapped message and the one that follows are of the same sender
    (options.rooms, options.size, options.rate) = (1, 2, 50.0);
    options.length = Duration::from_secs(1);
    options.warmup = Duration::from_millis(100);
    options
}

async fn play(options: Options) -> Result<Report, LoadError> {
    super::run(options, Box::new(|_| {}), CancellationToken::new()).await
}

#[tokio::test]
async fn a_faithful_server_passes_and_every_message_is_accounted_for() {
    let (address, _) = serve(Fault::None).await;
    let report = play(fanout(address)).await.unwrap();
    assert_eq!(report.failures(None, None), Vec::<String>::new());
    assert_eq!((report.sent, report.expected, report.delivered), (100, 100, 100));
    assert!(report.latency("delivery").unwrap().count >= 85, "all but the warm-up is measured: {report:?}");
}

#[tokio::test]
async fn messages_that_a_server_loses_are_counted_as_lost() {
    let (address, planted) = serve(Fault::Lose).await;
    let report = play(fanout(address)).await.unwrap();
    assert!(planted.load(Relaxed) >= 10);
    assert_eq!((report.lost, report.doubled, report.out_of_order), (planted.load(Relaxed), 0, 0));
}

#[tokio::test]
async fn messages_that_a_server_doubles_are_counted_as_doubled() {
    let (address, planted) = serve(Fault::Double).await;
    let report = play(fanout(address)).await.unwrap();
    assert!(planted.load(Relaxed) >= 10);
    assert_eq!((report.lost, report.doubled, report.out_of_order), (0, planted.load(Relaxed), 0));
}

#[tokio::test]
async fn messages_that_a_server_swaps_are_counted_as_out_of_order() {
    let (address, planted) = serve(Fault::Swap).await;
    let report = play(fanout(address)).await.unwrap();
    assert!(planted.load(Relaxed) >= 10);
    assert_eq!((report.lost, report.doubled, report.out_of_order), (0, 0, planted.load(Relaxed)));
}

#[tokio::test]
async fn a_stalled_server_cannot_hide_its_stall() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // the reachability probe, then the one that joins; it is answered late
        let (_probe, _) = listener.accept().await.unwrap();
        let mut open = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            let (_, mut socket) = ServerBuilder::new().accept(tcp).await.unwrap();
            socket.next().await;
            // the stall itself: nobody else is accepted meanwhile
            tokio::time::sleep(Duration::from_millis(100)).await;
            socket.send(Message::text("joined")).await.unwrap();
            open.push(socket);
        }
    });
    let mut options = fanout(address);
    options.scenario = Scenario::Join;
    (options.rate, options.warmup) = (20.0, Duration::ZERO);
    options.length = Duration::from_millis(500);
    let report = play(options).await.unwrap();
    // one every 50 ms, answered one every 100 ms: the tenth has waited 500 ms for its turn
    let worst = report.latency("join").unwrap().max_ms;
    assert!(worst >= 500.0, "the queue is in the latency: {worst}");
}

#[tokio::test]
async fn nobody_at_the_target_is_an_error_before_the_run() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = play(fanout(gone)).await.unwrap_err().to_string();
    assert!(refused.contains("nothing answers at 127.0.0.1:"), "{refused}");
}

#[tokio::test]
async fn a_stopped_run_ends_early_with_its_report() {
    let (address, _) = serve(Fault::None).await;
    let stop = CancellationToken::new();
    let mut options = fanout(address);
    options.length = Duration::from_secs(60);
    let stopper = stop.clone();
    let progress = Box::new(move |snapshot: &super::Snapshot| {
        if snapshot.delivered > 0 {
            stopper.cancel();
        }
    });
    let report = tokio::time::timeout(Duration::from_secs(20), super::run(options, progress, stop)).await;
    let report = report.expect("it ends at the stop").unwrap();
    assert!(report.delivered > 0 && report.seconds < 20.0, "{report:?}");
    assert_eq!(report.lost, 0);
}
