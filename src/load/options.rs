//! What a run shall do, with the bounds of each option.

use std::{path::PathBuf, time::Duration};

use super::{
    LoadError,
    client::{Dialect, TargetSettings},
    tokens::TokenSource,
};
use crate::ops_client::OpsTarget;

/// Longest run.
pub const SECONDS_MAX: u64 = 3_600;
/// Sessions that a run may hold at a time, or open in all where it keeps them.
pub const SESSIONS_MAX: usize = 50_000;
/// Payloads a second, all participants together.
pub const RATE_MAX: f64 = 1_000_000.0;
/// Joins a second, when the command line says nothing: a router of two cores that also carries its clients takes them.
const JOINS_A_SECOND: f64 = 500.0;
/// Times the peak that is offered at most.
const FACTOR_MAX: f64 = 100.0;
/// Steps of offered load.
const FACTORS_MAX: usize = 32;
/// Padding of a message: with its envelope it must fit in a client frame of 64 KiB.
pub const PAYLOAD_BYTES_MAX: usize = 60_000;

/// What the participants do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Rooms of a size, each participant sends to its room at a rate.
    Fanout,
    /// Arrivals a second, each connects and joins and stays.
    Join,
    /// Arrivals a second, each joins, stays a while and leaves; an observer in each room counts them.
    Churn,
    /// As fanout, but every participant drops its connection again and again and resumes.
    Resume,
    /// What a client of a call does: join, publish, offers, answers, candidates, mutes, messages, a reconnect, leave.
    Call,
    /// Connections that join and then say nothing: memory a session.
    Idle,
    /// One to five times what the router can serve, which is measured first: what it does with the rest.
    Overload,
}

impl Scenario {
    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Join => "join",
            Self::Churn => "churn",
            Self::Resume => "resume",
            Self::Call => "call",
            Self::Idle => "idle",
            Self::Overload => "overload",
        }
    }

    /// What `rate` means when the command line says nothing: messages a second of each participant, or arrivals.
    pub const fn default_rate(self) -> f64 {
        match self {
            Self::Fanout => 20.0,
            Self::Join => 500.0,
            Self::Churn => 50.0,
            Self::Resume => 5.0,
            Self::Call => 2.0,
            // the rate follows from the peak
            Self::Idle | Self::Overload => 0.0,
        }
    }

    /// Rooms and participants of each, when the command line says nothing.
    pub const fn default_shape(self) -> (usize, usize) {
        match self {
            Self::Fanout => (50, 8),
            // rooms follow from the arrivals
            Self::Join => (1, 8),
            Self::Churn | Self::Resume => (20, 4),
            Self::Call => (10, 3),
            Self::Idle => (500, 8),
            // each alone: what is counted is the answer
            Self::Overload => (50, 1),
        }
    }

    /// `stay` when the command line says nothing.
    pub const fn default_stay(self) -> Duration {
        match self {
            Self::Call => Duration::from_secs(4),
            _ => Duration::from_secs(2),
        }
    }

    /// Whether `rate` counts arrivals of sessions.
    pub const fn counts_arrivals(self) -> bool {
        matches!(self, Self::Join | Self::Churn)
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the participants do.
    pub scenario: Scenario,
    /// Where.
    pub target: TargetSettings,
    /// Other routers of the same fleet, spoken to alike: connections begin at all of them, in turns.
    pub other_urls: Vec<String>,
    /// With which tokens.
    pub tokens: TokenSource,
    /// Rooms; of `call`, calls side by side.
    pub rooms: usize,
    /// Participants of a room.
    pub size: usize,
    /// Messages a second of each participant; of `join` and `churn`, arrivals a second.
    pub rate: f64,
    /// Joins a second of `resume`, and as many leave a second at its end.
    pub joins: f64,
    /// How long traffic is offered; of `resume`, by all of them at once.
    pub length: Duration,
    /// Latencies of the first part that are left out; what is lost in it is not.
    pub warmup: Duration,
    /// Padding of each message.
    pub payload_bytes: usize,
    /// How long a participant of `churn` stays, a call lasts, and a participant of `resume` is there between two drops;
    /// zero: it does not drop its connection by itself.
    pub stay: Duration,
    /// Requests a second that the router of `overload` can serve; absent: measured first.
    pub peak: Option<f64>,
    /// Steps of `overload`, each so many times the peak for `length`.
    pub factors: Vec<f64>,
    /// After which an answer of `overload` is no good any more.
    pub deadline: Duration,
    /// Processes of the server, to read CPU and memory of.
    pub pids: Vec<u32>,
    /// Where to write the interval log.
    pub interval_log: Option<PathBuf>,
    /// Whether the report for people shows the run second by second.
    pub by_second: bool,
    /// The router's ops port, to ask for its own view.
    pub ops: Option<OpsTarget>,
}

impl Options {
    /// A scenario with its defaults against a router, with that token source.
    pub fn new(scenario: Scenario, target: TargetSettings, tokens: TokenSource) -> Self {
        let (rooms, size) = scenario.default_shape();
        Self {
            scenario,
            target,
            other_urls: Vec::new(),
            tokens,
            rooms,
            size,
            rate: scenario.default_rate(),
            joins: JOINS_A_SECOND,
            length: Duration::from_secs(10),
            warmup: Duration::from_secs(1),
            payload_bytes: 200,
            stay: scenario.default_stay(),
            peak: None,
            factors: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            deadline: Duration::from_millis(150),
            pids: Vec::new(),
            interval_log: None,
            by_second: false,
            ops: None,
        }
    }

    /// Sessions that the run opens, or holds at a time where they leave.
    pub fn sessions(&self) -> usize {
        match self.scenario {
            Scenario::Join => (self.rate * self.length.as_secs_f64()).ceil() as usize,
            // one observer a room
            Scenario::Churn => (self.rate * self.stay.as_secs_f64() * 1.5).ceil() as usize + self.rooms,
            _ => self.rooms.saturating_mul(self.size),
        }
    }

    /// How long it takes until all of `resume` have come.
    pub fn ramp(&self) -> Duration {
        Duration::from_secs_f64(self.sessions() as f64 / self.joins)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Names the first option that is out of its bounds, and the bounds.
    pub fn validate(&self) -> Result<(), LoadError> {
        let check = |holds: bool, why: String| if holds { Ok(()) } else { Err(LoadError::Options(why)) };
        let seconds = self.length.as_secs_f64();
        check(seconds > 0.0, format!("--seconds is {seconds}, at least a part of a second is needed"))?;
        check(self.warmup < self.length, format!("--warmup must be shorter than --seconds ({seconds})"))?;
        check(self.rooms > 0 && self.size > 0, "--rooms and --size must be at least 1".to_owned())?;
        let exchange = matches!(self.scenario, Scenario::Fanout | Scenario::Resume | Scenario::Call);
        check(!exchange || self.size > 1, "--size must be at least 2: nobody hears a lone participant".to_owned())?;
        let sessions = self.sessions();
        check(sessions <= SESSIONS_MAX, format!("{sessions} sessions asked for, at most {SESSIONS_MAX}"))?;
        let rate = match self.scenario {
            Scenario::Idle | Scenario::Overload => 1.0,
            s if s.counts_arrivals() => self.rate,
            _ => self.rate * sessions as f64,
        };
        let allowed = rate > 0.0 && rate <= RATE_MAX;
        check(
            allowed,
            format!("--rate {} makes {rate} a second in all, allowed: more than 0, at most {RATE_MAX}", self.rate),
        )?;
        let factors = &self.factors;
        let sane = |factor: &f64| (0.1..=FACTOR_MAX).contains(factor);
        check(
            (1..=FACTORS_MAX).contains(&factors.len()) && factors.iter().all(sane),
            format!("--factors is {factors:?}, allowed: 1 to {FACTORS_MAX} of 0.1 to {FACTOR_MAX}"),
        )?;
        if let Some(peak) = self.peak {
            let allowed = peak >= 1.0 && peak * factors.iter().copied().fold(1.0, f64::max) <= RATE_MAX;
            check(allowed, format!("--peak is {peak}, allowed: from 1, and {RATE_MAX} a second in all"))?;
        }
        let stay = self.stay.as_secs_f64();
        let stays = self.scenario == Scenario::Resume && self.stay.is_zero();
        check(stays || (0.2..=600.0).contains(&stay), format!("--stay is {stay} s, allowed: 0.2 to 600"))?;
        let joins = (1.0..=RATE_MAX).contains(&self.joins);
        check(joins, format!("--joins is {}, allowed: 1 to {RATE_MAX} a second", self.joins))?;
        let payload = self.payload_bytes;
        check(payload <= PAYLOAD_BYTES_MAX, format!("--payload-bytes is {payload}, at most {PAYLOAD_BYTES_MAX}"))?;
        let bare = self.target.dialect == Dialect::Bare;
        let by_bare = matches!(self.scenario, Scenario::Fanout | Scenario::Join | Scenario::Idle);
        check(!bare || by_bare, format!("the floor knows no {}", self.scenario.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(scenario: Scenario) -> Options {
        Options::new(scenario, TargetSettings::websocket("ws://127.0.0.1:1"), TokenSource::dev())
    }

    #[test]
    fn the_defaults_of_every_scenario_are_within_the_bounds() {
        use clap::ValueEnum;
        for scenario in Scenario::value_variants() {
            options(*scenario).validate().unwrap();
        }
    }

    #[test]
    fn who_resumes_need_not_drop_its_connection_by_itself() {
        let mut options = options(Scenario::Resume);
        options.stay = Duration::ZERO;
        options.validate().unwrap();
        (options.rooms, options.size, options.joins) = (100, 10, 250.0);
        assert_eq!(options.ramp(), Duration::from_secs(4));
    }

    #[test]
    fn what_is_out_of_bounds_is_named_with_the_bound() {
        type Change = fn(&mut Options);
        let cases: [(Change, &str); 12] = [
            (|o| o.factors.clear(), "--factors"),
            (|o| o.factors.push(101.0), "100"),
            (|o| o.peak = Some(0.5), "--peak"),
            (|o| o.length = Duration::ZERO, "--seconds"),
            (|o| o.warmup = Duration::from_secs(10), "--warmup"),
            (|o| o.rooms = 0, "--rooms"),
            (|o| o.size = 1, "--size"),
            (|o| o.rooms = 1_000_000, "50000"),
            (|o| o.rate = 0.0, "--rate"),
            (|o| o.joins = 0.0, "--joins"),
            (|o| o.stay = Duration::ZERO, "--stay"),
            (|o| o.payload_bytes = 60_001, "60000"),
        ];
        for (change, named) in cases {
            let mut options = options(Scenario::Fanout);
            change(&mut options);
            let refused = options.validate().unwrap_err().to_string();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
