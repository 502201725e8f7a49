//! Arrivals a second: each joins, stays a while and leaves. An observer in every room must see each come once and go once.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{SETTLING_MAX, until};
use crate::{
    load::{
        LoadError,
        client::{Client, ClientError, PATIENCE},
        measure::Measure,
        run::{Present, Run},
        tokens::Pass,
    },
    protocol::{
        Code,
        v1::{self, client_frame::Op, event::Kind, server_frame::Body},
    },
};

/// Comings and goings of one room that the router has confirmed.
#[derive(Debug, Default)]
struct Traffic {
    came: AtomicU64,
    went: AtomicU64,
}

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    let rooms = run.options.rooms;
    let traffic: Arc<[Traffic]> = (0..rooms).map(|_| Traffic::default()).collect();
    let over = CancellationToken::new();
    let mut observers = JoinSet::new();
    for room in 0..rooms {
        let pass = run.passes.named(room, room, "observer")?;
        match run.join(room, &pass).await {
            Ok((client, _)) => {
                let observer =
                    Observer { run: run.clone(), room, traffic: traffic.clone(), present: HashSet::new(), seen: 0 };
                observers.spawn(observer.watch(client, over.clone()));
            }
            Err(e) => run.refused(&e),
        }
    }
    let begin = Instant::now();
    run.begin(begin);
    let arrivals = (run.options.rate * run.options.length.as_secs_f64()) as usize;
    let mut stays = JoinSet::new();
    for number in 0..arrivals {
        let due = begin + Duration::from_secs_f64(number as f64 / run.options.rate);
        until(run, due).await;
        if run.stop.is_cancelled() {
            break;
        }
        // observers took the first passes
        let pass = run.passes.get(rooms + number, number % rooms)?;
        stays.spawn(stay(run.clone(), number, pass, (due, traffic.clone())));
        while stays.try_join_next().is_some() {}
    }
    run.end();
    while stays.join_next().await.is_some() {}
    over.cancel();
    while observers.join_next().await.is_some() {}
    Ok(())
}

/// Comes, stays, goes.
async fn stay(run: Arc<Run>, number: usize, pass: Pass, (due, traffic): (Instant, Arc<[Traffic]>)) {
    let traffic = &traffic[number % run.options.rooms];
    let mut client = match run.join(number, &pass).await {
        Ok((client, _)) => client,
        Err(e) => return run.refused(&e),
    };
    run.record(number, Measure::Join, run.nanos(due), Instant::now());
    traffic.came.fetch_add(1, AcqRel);
    let _present = Present::new(&run.counts);
    let leave_due = due + run.options.stay.mul_f64(0.5 + fastrand::f64());
    match come_and_go(&run, &mut client, leave_due).await {
        Ok(()) => {
            run.record(number, Measure::Leave, run.nanos(leave_due), Instant::now());
            traffic.went.fetch_add(1, AcqRel);
        }
        Err(e) => run.refused(&e),
    }
}

async fn come_and_go(run: &Run, client: &mut Client, leave_due: Instant) -> Result<(), ClientError> {
    let leaving = until(run, leave_due);
    tokio::pin!(leaving);
    loop {
        tokio::select! {
            received = client.receive() => drop(received?),
            () = leaving.as_mut() => break,
        }
    }
    run.counts.requests.fetch_add(1, Relaxed);
    match client.request(Op::Leave(v1::Leave {})).await {
        Ok(_) => Ok(()),
        Err(ClientError::Closed { number, .. }) if number == Code::Left.number() => Ok(()),
        Err(e) => Err(e),
    }
}

/// Watches one room.
struct Observer {
    run: Arc<Run>,
    room: usize,
    traffic: Arc<[Traffic]>,
    present: HashSet<String>,
    seen: u64,
}

impl Observer {
    async fn watch(mut self, mut client: Client, over: CancellationToken) {
        let run = self.run.clone();
        let _present = Present::new(&run.counts);
        if let Err(e) = self.observe(&mut client, over).await {
            run.refused(&e);
        }
        run.counts.expected.fetch_add(self.expected(), Relaxed);
        run.counts.lost.fetch_add(self.expected().saturating_sub(self.seen), Relaxed);
    }

    async fn observe(&mut self, client: &mut Client, over: CancellationToken) -> Result<(), ClientError> {
        loop {
            tokio::select! {
                frame = client.next_frame() => self.note(frame?.body),
                () = over.cancelled() => break,
            }
        }
        let patience = Instant::now() + SETTLING_MAX.min(PATIENCE);
        while self.seen < self.expected() && Instant::now() < patience {
            let waiting = tokio::time::timeout(Duration::from_millis(20), client.next_frame());
            if let Ok(frame) = waiting.await {
                self.note(frame?.body);
            }
        }
        Ok(())
    }

    fn expected(&self) -> u64 {
        let traffic = &self.traffic[self.room];
        traffic.came.load(Acquire) + traffic.went.load(Acquire)
    }

    fn note(&mut self, body: Option<Body>) {
        let Some(Body::Event(event)) = body else { return };
        let counts = &self.run.counts;
        let counter = match event.kind {
            Some(Kind::ParticipantJoined(joined)) if !self.present.insert(joined.identity.clone()) => &counts.doubled,
            Some(Kind::ParticipantLeft(left)) if !self.present.remove(&left.identity) => &counts.out_of_order,
            Some(Kind::ParticipantJoined(_) | Kind::ParticipantLeft(_)) => {
                self.seen += 1;
                &counts.delivered
            }
            _ => return,
        };
        counter.fetch_add(1, Relaxed);
    }
}
