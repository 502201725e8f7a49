//! More than a router can serve: its peak first, then so many times as much, evenly and whether or not it keeps up.
//!
//! Each session is alone in its room and sends to it; what is counted is the answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::JoinSet};

use super::open_all;
use crate::{
    load::{
        LoadError,
        client::{Client, ClientError, Incoming},
        measure::Measure,
        overload::{Overload, Step, Tally},
        run::{Present, Run},
    },
    protocol::v1::{self, client_frame::Op, server_frame::Body},
};

/// Requests under way while the peak is looked for: enough that the router is never idle, too few to wait for long.
const UNDER_WAY: usize = 16;
/// For a router that has a queue of seconds to work off before the next step.
const SETTLING_MAX: Duration = Duration::from_secs(30);
/// Between two steps.
const BREATH: Duration = Duration::from_millis(500);

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    let mut sessions: Vec<Session> = open_all(run)
        .await?
        .into_iter()
        .map(|(number, client)| Session { run: run.clone(), number, client, pending: HashMap::new(), broken: false })
        .collect();
    run.begin(Instant::now());
    let told = run.options.peak;
    let peak = match told {
        Some(peak) => peak,
        None => find_peak(run, &mut sessions).await,
    };
    let mut steps: Vec<Step> = Vec::new();
    for factor in run.options.factors.clone() {
        if run.stop.is_cancelled() || sessions.is_empty() {
            break;
        }
        tokio::time::sleep(BREATH).await;
        steps.push(offer(run, &mut sessions, factor, peak * factor).await);
    }
    run.end();
    let deadline_ms = run.options.deadline.as_secs_f64() * 1e3;
    run.overloaded(Overload { peak_per_second: peak, peak_measured: told.is_none(), deadline_ms, steps });
    Ok(())
}

/// Answers a second when each is asked for once there is one fewer under way.
async fn find_peak(run: &Arc<Run>, sessions: &mut Vec<Session>) -> f64 {
    let (begin, places) = (Instant::now(), Arc::new(Semaphore::new(UNDER_WAY)));
    let (from, until) = (begin + run.options.warmup, begin + run.options.length);
    let answered = Arc::new(AtomicU64::new(0));
    let mut asking = JoinSet::new();
    for mut session in sessions.drain(..) {
        let (places, answered) = (places.clone(), answered.clone());
        asking.spawn(async move {
            session.ask_until(until, from, &places, &answered).await;
            session
        });
    }
    sessions.extend(asking.join_all().await);
    answered.load(Relaxed) as f64 / (until - from).as_secs_f64()
}

/// Offers so many a second for a step's length.
async fn offer(run: &Arc<Run>, sessions: &mut Vec<Session>, factor: f64, rate: f64) -> Step {
    let period = Duration::from_secs_f64(sessions.len() as f64 / rate.max(0.001));
    let begin = Instant::now() + Duration::from_millis(50);
    let plan = Plan { begin, from: begin + run.options.warmup, end: begin + run.options.length, period };
    let mut asking = JoinSet::new();
    let count = sessions.len();
    for (place, mut session) in sessions.drain(..).enumerate() {
        // spread over one period, so that the offered rate is even
        let first = begin + period.mul_f64(place as f64 / count.max(1) as f64);
        asking.spawn(async move {
            let tally = session.offer(plan, first).await;
            (session, tally)
        });
    }
    let mut whole = Tally::default();
    for (session, tally) in asking.join_all().await {
        whole.add(&tally);
        sessions.push(session);
    }
    whole.step(factor, plan.end - plan.from)
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    begin: Instant,
    /// What was due before does not count.
    from: Instant,
    end: Instant,
    period: Duration,
}

struct Session {
    run: Arc<Run>,
    number: usize,
    client: Client,
    /// When each request was due that has no answer yet.
    pending: HashMap<u64, Instant>,
    broken: bool,
}

impl Session {
    fn message(&self) -> Op {
        Op::Send(v1::Send { data: Some(format!("\"{}\"", self.run.padding)), ..v1::Send::default() })
    }

    async fn ask(&mut self, due: Instant) -> Result<(), ClientError> {
        self.run.counts.requests.fetch_add(1, Relaxed);
        self.run.counts.sent.fetch_add(1, Relaxed);
        let id = self.client.ask(self.message()).await?;
        self.pending.insert(id, due);
        Ok(())
    }

    /// The answer in a frame, and when its request was due.
    fn answer(&mut self, incoming: Incoming) -> Result<Option<(Body, Instant)>, ClientError> {
        // pushes of others are nobody's business here: not decoded
        if let Incoming::Bytes(crate::protocol::Encoding::Json, bytes) = &incoming
            && !bytes.starts_with(b"{\"id\"")
        {
            return Ok(None);
        }
        let frame = incoming.decode()?;
        let due = frame.id.and_then(|id| self.pending.remove(&id));
        Ok(due.zip(frame.body).map(|(due, body)| (body, due)))
    }

    /// Notes that the connection is of no use any more.
    fn break_off(&mut self, why: &ClientError) {
        if !self.broken {
            self.broken = true;
            self.run.refused(why);
        }
    }

    async fn ask_until(&mut self, until: Instant, from: Instant, places: &Semaphore, answered: &AtomicU64) {
        let run = self.run.clone();
        let _present = Present::new(&run.counts);
        while Instant::now() < until && !self.broken && !self.run.stop.is_cancelled() {
            let asked = async {
                let _place = tokio::select! {
                    place = places.acquire() => place,
                    received = self.client.receive() => {
                        self.answer(received?)?;
                        return Ok(());
                    }
                };
                self.ask(Instant::now()).await?;
                while !self.pending.is_empty() {
                    let received = self.client.receive().await?;
                    if let Some((body, _)) = self.answer(received)?
                        && !matches!(body, Body::Error(_))
                        && (from..until).contains(&Instant::now())
                    {
                        answered.fetch_add(1, Relaxed);
                    }
                }
                Ok(())
            };
            if let Err(why) = asked.await {
                self.break_off(&why);
            }
        }
    }

    async fn offer(&mut self, plan: Plan, first: Instant) -> Tally {
        let run = self.run.clone();
        let _present = Present::new(&run.counts);
        let mut tally = Tally::default();
        if !self.broken
            && let Err(why) = self.exchange(plan, first, &mut tally).await
        {
            self.break_off(&why);
        }
        // what a broken connection could not send was due all the same
        tally.due = plan.due_after(first);
        let unanswered = self.pending.len() as u64;
        self.run.counts.unanswered.fetch_add(unanswered, Relaxed);
        self.pending.clear();
        tally
    }

    /// Asks when it is due, and takes answers until there are all, or for too long.
    async fn exchange(&mut self, plan: Plan, first: Instant, tally: &mut Tally) -> Result<(), ClientError> {
        let mut due = first;
        let mut count = 0_u32;
        let timer = tokio::time::sleep_until(due.into());
        let over = tokio::time::sleep_until((plan.end + SETTLING_MAX).into());
        tokio::pin!(timer, over);
        loop {
            let asks = due < plan.end && !self.run.stop.is_cancelled();
            if !asks && self.pending.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = timer.as_mut(), if asks => {
                    // a connection that took nothing until the end is not offered more after it
                    if Instant::now() >= plan.end {
                        due = plan.end;
                        continue;
                    }
                    self.ask(due).await?;
                    count += 1;
                    due = first + plan.period * count;
                    timer.as_mut().reset(due.into());
                }
                received = self.client.receive() => {
                    if let Some((body, due)) = self.answer(received?)? && due >= plan.from {
                        let now = Instant::now();
                        tally.note(&body, now - due, self.run.options.deadline);
                        if !matches!(body, Body::Error(_)) {
                            self.run.record(self.number, Measure::Send, self.run.nanos(due), now);
                        }
                    }
                }
                () = over.as_mut() => return Ok(()),
            }
        }
    }
}

impl Plan {
    /// Requests of one session that are due while it counts.
    fn due_after(&self, first: Instant) -> u64 {
        let before = |at: Instant| {
            let since = at.saturating_duration_since(first).as_secs_f64();
            (since / self.period.as_secs_f64()).ceil() as u64
        };
        debug_assert!(self.begin <= first);
        before(self.end).saturating_sub(before(self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_counted_by_the_clock_and_not_by_what_was_sent() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let plan = Plan { begin, from: begin + second, end: begin + 3 * second, period: second / 4 };
        assert_eq!(plan.due_after(begin), 8);
        assert_eq!(plan.due_after(begin + second / 8), 8);
    }
}
