//! Rooms of a size; each participant sends to its room at a rate, all day long if need be.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{SETTLING_MAX, group::Group, open_all, stamp_of};
use crate::load::{LoadError, client::Client, ledger::Ledger, measure::Measure, run::Present, run::Run};

/// Time between the last join and the first message.
const BREATH: Duration = Duration::from_millis(500);

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    let open = open_all(run).await?;
    let size = run.options.size;
    let rooms: Vec<_> = open.chunk_by(|(a, _), (b, _)| a / size == b / size).map(<[_]>::len).collect();
    let begin = Instant::now() + BREATH;
    let end = begin + run.options.length;
    let sessions = open.len();
    let mut open = open.into_iter();
    let mut members = JoinSet::new();
    for present in rooms {
        let group = Arc::new(Group::new(present));
        for (me, (number, client)) in open.by_ref().take(present).enumerate() {
            let member = Member { run: run.clone(), group: group.clone(), me, number, begin, end };
            members.spawn(member.run(client, sessions));
        }
    }
    super::until(run, begin).await;
    run.begin(begin);
    super::until(run, end).await;
    run.end();
    while members.join_next().await.is_some() {}
    Ok(())
}

/// One participant.
struct Member {
    run: Arc<Run>,
    group: Arc<Group>,
    /// Its place in the room.
    me: usize,
    /// Its place in the run.
    number: usize,
    begin: Instant,
    end: Instant,
}

impl Member {
    async fn run(self, mut client: Client, sessions: usize) {
        let _present = Present::new(&self.run.counts);
        let mut ledger = Ledger::new(self.group.flows());
        if let Err(e) = self.exchange(&mut client, &mut ledger, sessions).await {
            self.run.refused(&e);
        }
        self.group.note_done();
        self.settle(&mut client, &mut ledger).await;
        let counts = &self.run.counts;
        counts.expected.fetch_add(self.group.expected(self.me), Relaxed);
        counts.lost.fetch_add(ledger.missing(|flow| self.group.sent(self.me, flow)), Relaxed);
    }

    /// Sends when due and notes what arrives, until the end.
    async fn exchange(
        &self,
        client: &mut Client,
        ledger: &mut Ledger,
        sessions: usize,
    ) -> Result<(), crate::load::client::ClientError> {
        let period = Duration::from_secs_f64(1.0 / self.run.options.rate);
        // spread over one period, so that the offered rate is even
        let first = self.begin + period.mul_f64(self.number as f64 / sessions.max(1) as f64);
        let mut due = first;
        let mut count = 0_u32;
        let timer = tokio::time::sleep_until(due.into());
        tokio::pin!(timer);
        while due < self.end {
            tokio::select! {
                biased;
                received = client.receive() => self.note(&received?, ledger),
                () = timer.as_mut() => {
                    if self.run.stop.is_cancelled() {
                        return Ok(());
                    }
                    let stamp = self.group.stamp_to_room(self.me, self.run.nanos(due));
                    client.send_data(stamp.message(&self.run.padding)).await?;
                    self.run.counts.sent.fetch_add(1, Relaxed);
                    count += 1;
                    due = first + period * count;
                    timer.as_mut().reset(due.into());
                }
            }
        }
        Ok(())
    }

    fn note(&self, incoming: &crate::load::client::Incoming, ledger: &mut Ledger) {
        if let Some(stamp) = stamp_of(incoming) {
            self.run.arrived(self.number, Some(Measure::Delivery), stamp, ledger.note(stamp.flow, stamp.number));
        }
    }

    /// Reads on until nobody of the room misses anything, or for too long. Who hung up before the others have
    /// heard its last message might take it along.
    async fn settle(&self, client: &mut Client, ledger: &mut Ledger) {
        let until = Instant::now().max(self.end) + SETTLING_MAX;
        let (mut alive, mut settled) = (true, false);
        while Instant::now() < until && !self.group.all_settled() {
            let complete = self.group.all_done() && ledger.missing(|flow| self.group.sent(self.me, flow)) == 0;
            if !settled && (complete || !alive) {
                settled = true;
                self.group.note_settled();
            }
            tokio::select! {
                biased;
                received = client.receive(), if alive => match received {
                    Ok(incoming) => self.note(&incoming, ledger),
                    Err(_) => alive = false,
                },
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }
}
