//! A router's process: its core, as it is in the program, what it believes of the fleet, and what its keeper is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use signalbox::{
    config::{Config, Slice},
    fabric::{
        Last, Write,
        keeper::{Ending, Lanes, Parting, Taking},
    },
    ids::Epoch,
    router::{Acknowledge, KeepingSettings, Now, Router, Settings},
    session::ResumeClaims,
};

use super::{
    chronicle::LifeId,
    plan::{Ack, At, Plan, Planted},
};

/// What all routers sign with.
pub(crate) const SECRET: [u8; 32] = [7; 32];
/// How much longer routers gather than they say, where that is planted.
const LATE: Duration = Duration::from_millis(100);
/// When a world begins, in Unix milliseconds.
const BEGUN_MS: u64 = 1_800_000_000_000;

/// Who wants into a room, and how.
#[derive(Clone, Debug)]
pub(crate) struct Wants {
    pub(crate) connection: u64,
    pub(crate) client: usize,
    pub(crate) room: usize,
    /// The token, and how far it is; none: as somebody new.
    pub(crate) back: Option<Box<(ResumeClaims, signalbox::protocol::v1::Resume)>>,
}

/// What is being done about a room.
#[derive(Debug)]
pub(crate) enum Work {
    Claim,
    Write(Write),
    Look,
    Part(Parting, Last),
    Leave(Parting, Last),
    End(Ending, u64),
}

/// A room that is looked for, and who waits for it.
#[derive(Debug)]
pub(crate) struct Fetch {
    /// Until all that was asked about the room is done, nothing.
    pub(crate) taking: Option<Taking>,
    pub(crate) waits: Vec<Wants>,
}

/// See the module.
pub(crate) struct Host {
    pub(crate) name: String,
    /// Which start of it; what an earlier one was about is nobody's.
    pub(crate) start: u64,
    pub(crate) runs: bool,
    pub(crate) drains: bool,
    /// The directory does not answer it.
    pub(crate) blind: bool,
    /// When it ended last.
    pub(crate) ended_at: At,
    pub(crate) core: Router,
    base: Instant,
    rate: f64,
    calendar_ms: u64,
    /// When it is to be woken.
    pub(crate) wake: Option<At>,
    /// Rooms that the fleet agrees are its own, as it was told.
    pub(crate) keeps: BTreeSet<usize>,
    /// Rooms that are here, and their lives.
    pub(crate) here: BTreeMap<usize, LifeId>,
    pub(crate) lanes: Lanes,
    pub(crate) work: BTreeMap<usize, (Epoch, Work)>,
    pub(crate) fetches: BTreeMap<usize, Fetch>,
    /// Of its latest call.
    pub(crate) seq: u64,
    /// Connections that it has not heard the end of.
    pub(crate) connections: BTreeSet<u64>,
}

impl Host {
    pub(crate) fn new(plan: &Plan, number: usize, base: Instant, planted: Option<Planted>) -> Self {
        let (rate, calendar_ms) = plan.clocks[number];
        let (wake, keeps, here, lanes, work, fetches, connections) = Default::default();
        let mut host = Self {
            name: format!("r{number}"),
            start: 0,
            runs: false,
            drains: false,
            blind: false,
            ended_at: 0,
            core: Router::new(settings(plan, 0, None)),
            base,
            rate: 1.0 + f64::from(rate) / 1e6,
            calendar_ms,
            wake,
            keeps,
            here,
            lanes,
            work,
            fetches,
            seq: 0,
            connections,
        };
        host.start(plan, number, (0, planted));
        host
    }

    /// Starts it anew: nothing is left of what it knew.
    pub(crate) fn start(&mut self, plan: &Plan, number: usize, (at, planted): (At, Option<Planted>)) {
        self.start += 1;
        (self.runs, self.drains) = (true, false);
        let seed =
            plan.seed.wrapping_mul(64).wrapping_add(number as u64) ^ self.start.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.core = Router::new(settings(plan, seed, planted));
        (self.wake, self.keeps, self.here, self.lanes, self.work, self.fetches, self.connections) = Default::default();
        // as the program does: by the calendar, so that they go up over restarts
        self.seq = self.now(at).unix_ms * 1_000;
    }

    pub(crate) fn now(&self, at: At) -> Now {
        let passed = Duration::from_micros((at as f64 * self.rate) as u64);
        Now { at: self.base + passed, unix_ms: BEGUN_MS + self.calendar_ms + passed.as_millis() as u64 }
    }

    /// When a moment of its clock comes.
    pub(crate) fn moment(&self, local: Instant) -> At {
        let passed = local.saturating_duration_since(self.base).as_nanos() as f64 / 1e3;
        // by a clock that is cut off to microseconds
        (passed / self.rate) as At + 2
    }

    /// A pause of its clock.
    pub(crate) fn pause(&self, pause: Duration) -> At {
        (pause.as_micros() as f64 / self.rate) as At + 1
    }
}

fn settings(plan: &Plan, seed: u64, planted: Option<Planted>) -> Settings {
    let own = plan.settings;
    let late = if planted == Some(Planted::WrittenLate) { LATE } else { Duration::ZERO };
    let keeping = KeepingSettings {
        gather: Duration::from_micros(own.gather) + late,
        refresh: Duration::from_micros(own.refresh),
        acknowledge: match own.ack {
            Ack::Disk | Ack::Remote if planted != Some(Planted::EarlyOk) => Acknowledge::Kept,
            Ack::Local | Ack::Disk | Ack::Remote => Acknowledge::Here,
        },
    };
    Settings {
        keeping: Some(keeping),
        history_events: own.events,
        linger: Duration::from_micros(own.linger),
        empty_timeout: Duration::from_secs(2),
        ..Config::default().router_settings(Slice { seed, count: 1 }, &SECRET)
    }
}

/// A room by its number.
pub(crate) fn name(room: usize) -> String {
    format!("room{room}")
}

/// The number of a room.
pub(crate) fn number(room: &str) -> usize {
    room.strip_prefix("room").and_then(|number| number.parse().ok()).unwrap()
}
