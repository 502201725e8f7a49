//! One server: its connections, made when they are asked for, and how long ago it was heard.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::time::timeout_at;

use super::{
    link::{Dialing, Link},
    made::{Made, late},
    refusal::{self, Refusal},
    scripts::Asked,
    settings::{Address, FabricSettings},
};
use crate::{
    event::{Event, FabricFact, FabricLoss, FabricOutcome},
    fabric::Fault,
    io::listener::Observe,
};

/// From one attempt to connect to the next, at least.
const AGAIN: Duration = Duration::from_millis(100);

/// What all servers have in common.
pub(super) struct Around {
    pub(super) settings: FabricSettings,
    pub(super) observe: Observe,
    /// Of jitter.
    pub(super) seed: u64,
}

impl Around {
    pub(super) fn tell(&self, fact: FabricFact) {
        (self.observe)(Event::Fabric(fact));
    }
}

/// See the module.
pub(super) struct Server {
    pub(super) address: Address,
    around: Arc<Around>,
    dialing: Dialing,
    links: Vec<Arc<Made<Arc<Link>>>>,
    numbers: AtomicU64,
    /// When it was last heard; at first, when it became known.
    heard: Mutex<Instant>,
}

/// Why there is no answer: what Redis said, or what this side saw.
#[derive(Clone)]
enum Unanswered {
    Error(RedisError),
    Fault(Fault),
}

impl Unanswered {
    fn refusal(self) -> Refusal {
        match self {
            Self::Error(error) => refusal::read(&error),
            Self::Fault(fault) => Refusal::Fault(fault),
        }
    }

    fn is_of_unknown_script(&self) -> bool {
        matches!(self, Self::Error(error) if error.code() == Some("NOSCRIPT"))
    }
}

impl Server {
    /// Needs nobody there yet.
    pub(super) fn new(address: Address, around: &Arc<Around>, dialing: Dialing) -> Arc<Self> {
        let settings = &around.settings;
        let text = address.to_string();
        let seed = text.bytes().fold(around.seed, |seed, byte| seed.rotate_left(5) ^ u64::from(byte));
        let link = |number: usize| Made::new(settings.timeout, AGAIN, seed.wrapping_add(number as u64));
        Arc::new(Self {
            address,
            around: around.clone(),
            dialing,
            links: (0..settings.connections.max(1)).map(link).collect(),
            numbers: AtomicU64::new(0),
            heard: Mutex::new(Instant::now()),
        })
    }

    /// How long ago it was heard, or became known.
    pub(super) fn silent(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Connections that stand.
    pub(super) fn connections(&self) -> usize {
        self.links.iter().filter(|link| link.stands().is_some()).count()
    }

    /// Whose questions go over which connection: what is asked of a room one after the other is done so.
    pub(super) fn line(&self, lane: u64) -> usize {
        (lane % self.links.len() as u64) as usize
    }

    /// Asks about rooms, over a connection, at once; an answer each. `ahead`: their keys are about to be here.
    pub(super) async fn ask(
        self: &Arc<Self>,
        line: usize,
        asked: &[&Asked<'_>],
        ahead: bool,
        deadline: Instant,
    ) -> Vec<Result<Value, Refusal>> {
        let mut answers = self.ask_by(line, asked, (true, ahead), deadline).await;
        let is_unknown =
            |answer: &Result<Value, Unanswered>| answer.as_ref().is_err_and(Unanswered::is_of_unknown_script);
        let unknown: Vec<usize> = (0..asked.len()).filter(|at| is_unknown(&answers[*at])).collect();
        if !unknown.is_empty() {
            let again: Vec<&Asked<'_>> = unknown.iter().map(|at| asked[*at]).collect();
            let with_text = self.ask_by(line, &again, (false, ahead), deadline).await;
            unknown.into_iter().zip(with_text).for_each(|(at, answer)| answers[at] = answer);
        }
        answers.into_iter().map(|answer| answer.map_err(Unanswered::refusal)).collect()
    }

    /// By the scripts' hashes, or with their texts; an answer each.
    async fn ask_by(
        self: &Arc<Self>,
        line: usize,
        asked: &[&Asked<'_>],
        (by_hash, ahead): (bool, bool),
        deadline: Instant,
    ) -> Vec<Result<Value, Unanswered>> {
        let each = if ahead { 2 } else { 1 };
        let mut questions = Pipeline::with_capacity(each * asked.len());
        for asked in asked {
            if ahead {
                questions.cmd("ASKING");
            }
            questions.add_command(asked.command(by_hash));
        }
        let answers = match self.send(line, &questions, deadline).await {
            Ok(answers) => {
                answers.into_iter().skip(each - 1).step_by(each).map(|answer| answer.map_err(Unanswered::Error))
            }
            Err(unanswered) => return asked.iter().map(|_| Err(unanswered.clone())).collect(),
        };
        // one that is not there, of a server that speaks another language, is no answer
        let missing = std::iter::repeat_with(|| Err(Unanswered::Fault(refusal::strange("several questions"))));
        answers.chain(missing).take(asked.len()).collect()
    }

    /// Asks something that is of no room.
    pub(super) async fn command(self: &Arc<Self>, lane: u64, question: Cmd, deadline: Instant) -> Result<Value, Fault> {
        let mut questions = Pipeline::with_capacity(1);
        questions.add_command(question);
        let fault = |unanswered| match unanswered {
            Unanswered::Error(error) => refusal::fault(&error),
            Unanswered::Fault(fault) => fault,
        };
        let mut answers = self.send(self.line(lane), &questions, deadline).await.map_err(fault)?;
        answers.pop().ok_or_else(|| refusal::strange("nothing"))?.map_err(|error| refusal::fault(&error))
    }

    async fn send(
        self: &Arc<Self>,
        line: usize,
        questions: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Result<Value, RedisError>>, Unanswered> {
        let timeout = self.around.settings.timeout;
        let link = match timeout_at(deadline.into(), self.link(line)).await {
            Ok(link) => link.map_err(Unanswered::Fault)?,
            Err(_) => return Err(Unanswered::Fault(late(timeout))),
        };
        let (before, sent) = (link.heard(), Instant::now());
        match timeout_at(deadline.into(), link.ask_all(questions)).await {
            Ok(Ok(answers)) => {
                let answers: Vec<_> = answers.into_iter().map(Value::extract_error).collect();
                if answers.iter().any(Result::is_ok) {
                    self.note_heard();
                }
                answers.iter().filter_map(|answer| answer.as_ref().err()).for_each(|error| {
                    self.note_error((line, link.number), error);
                });
                Ok(answers)
            }
            Ok(Err(error)) => {
                self.note_error((line, link.number), &error);
                Err(Unanswered::Error(error))
            }
            Err(_) => {
                // a long answer to somebody else is no reason, nor is a call that had little time left
                if link.heard() == before && sent.elapsed() * 2 >= timeout {
                    let why = format!("it answered nothing for {} ms", timeout.as_millis());
                    self.let_go(line, link.number, FabricLoss::Silent, why);
                }
                Err(Unanswered::Fault(late(timeout)))
            }
        }
    }

    /// What an error says of the connection that it came over.
    fn note_error(&self, (line, number): (usize, u64), error: &RedisError) {
        match refusal::fault(error) {
            Fault { outcome: FabricOutcome::Unreachable, why } => self.let_go(line, number, FabricLoss::Closed, why),
            Fault { outcome: FabricOutcome::ReadOnly, why } => self.let_go(line, number, FabricLoss::Demoted, why),
            Fault { outcome: FabricOutcome::Denied, .. } => {}
            _ => self.note_heard(),
        }
    }

    async fn link(self: &Arc<Self>, line: usize) -> Result<Arc<Link>, Fault> {
        self.links[line].get(|| self.clone().open(line)).await
    }

    /// Tells what comes of it.
    async fn open(self: Arc<Self>, line: usize) -> Result<Arc<Link>, Fault> {
        let number = self.numbers.fetch_add(1, Relaxed);
        let (server, address) = (Arc::downgrade(&self), self.address.to_string());
        let ended = move || {
            if let Some(server) = server.upgrade() {
                server.let_go(line, number, FabricLoss::Closed, "it was closed".to_owned());
            }
        };
        let timeout = self.around.settings.timeout;
        let opening = Link::open(&self.address, &self.dialing, number, ended);
        let opened = tokio::time::timeout(timeout, opening).await.unwrap_or_else(|_| Err(late(timeout)));
        match opened {
            Ok(link) => {
                self.note_heard();
                self.around.tell(FabricFact::Connected { address });
                Ok(Arc::new(link))
            }
            Err(fault) => {
                let (loss, why) = (loss(fault.outcome), fault.why.clone());
                self.around.tell(FabricFact::Unconnected { address, loss, why });
                Err(Fault { outcome: fault.outcome, why: format!("{}: {}", self.address, fault.why) })
            }
        }
    }

    /// The connection of that number is of no use; told once, by whoever sees it first.
    fn let_go(&self, line: usize, number: u64, loss: FabricLoss, why: String) {
        if self.links[line].let_go(|link| link.number == number) {
            self.around.tell(FabricFact::Unconnected { address: self.address.to_string(), loss, why });
        }
    }

    fn note_heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Why none could be made.
const fn loss(outcome: FabricOutcome) -> FabricLoss {
    match outcome {
        FabricOutcome::Late => FabricLoss::Late,
        FabricOutcome::Unreachable => FabricLoss::Unreachable,
        FabricOutcome::Denied => FabricLoss::Denied,
        FabricOutcome::ReadOnly => FabricLoss::ReadOnly,
        FabricOutcome::Done
        | FabricOutcome::Held
        | FabricOutcome::Fenced
        | FabricOutcome::Missing
        | FabricOutcome::Resting
        | FabricOutcome::Full
        | FabricOutcome::Busy
        | FabricOutcome::Failed => FabricLoss::Failed,
    }
}
