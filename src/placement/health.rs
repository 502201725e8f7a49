//! One node as this router sees it: its condition, whether it takes rooms, and what it was given of late.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    NodeInfo, NodeLoad, Settings,
    score::{Condition, Loss, Score, smoothed},
};

/// Reports come up to that part of their interval late; later is a missed one.
const LATE: f64 = 0.25;
/// How much of its weight a node that came back has at first.
const RAMP_FROM: f64 = 0.1;
/// A node that is taken out again and again has to report well for twice as long each time, so often.
const OUTS_DOUBLED_MAX: u32 = 5;
/// One that has been in for so long is as good as any other.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// Over what time a node's share is counted.
const SHARE_OVER: Duration = Duration::from_secs(60);

/// Whether a node takes rooms, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes rooms.
    Ready,
    /// It would, but its score leaves it no weight: only when no other node is there.
    Overloaded,
    /// An operator took it out of the choice; its rooms stay.
    Cordoned,
    /// It asked for no new rooms; those that it has stay.
    Draining,
    /// An operator wants its rooms elsewhere.
    Drained,
    /// It has not reported yet.
    Awaited,
    /// It missed too many reports in a row.
    Silent,
    /// It failed too many calls in a row.
    Failing,
    /// It was out, and has not yet reported well for long enough.
    Returning,
}

impl Standing {
    /// All of them, by place.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::Overloaded,
        Self::Cordoned,
        Self::Draining,
        Self::Drained,
        Self::Awaited,
        Self::Silent,
        Self::Failing,
        Self::Returning,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Overloaded => "overloaded",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Awaited => "awaited",
            Self::Silent => "silent",
            Self::Failing => "failing",
            Self::Returning => "returning",
        }
    }

    /// Whether rooms that are on the node stay there.
    pub const fn carries(self) -> bool {
        matches!(self, Self::Ready | Self::Overloaded | Self::Cordoned | Self::Draining)
    }
}

/// Why a node is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Awaited,
    Silent,
    Failing,
}

/// A count in which what is old counts for less and less.
#[derive(Clone, Copy, Debug)]
struct Decayed {
    value: f64,
    at: Instant,
}

impl Decayed {
    fn at(&self, now: Instant, over: Duration) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        if passed.is_zero() {
            return self.value;
        }
        self.value * (-passed.as_secs_f64() / over.as_secs_f64().max(0.001)).exp()
    }

    fn add(&mut self, now: Instant, over: Duration) {
        *self = Self { value: self.at(now, over) + 1.0, at: now.max(self.at) };
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) info: Arc<NodeInfo>,
    pub(super) condition: Condition,
    loss: Loss,
    pub(super) reported_at: Option<Instant>,
    /// Absent: it is in.
    out: Option<Out>,
    /// Good reports since it went out.
    good: u32,
    /// Calls that failed in a row.
    pub(super) failures: u32,
    /// How often it was taken out of late.
    outs: u32,
    pub(super) in_since: Option<Instant>,
    /// It came back, and has not had its whole weight yet.
    ramps: bool,
    pub(super) cordoned: bool,
    draining: bool,
    pub(super) drained: bool,
    pub(super) score: Score,
    /// As the score makes it, ramped.
    pub(super) weight: u32,
    recent: Decayed,
    share: Decayed,
}

/// What is remembered of a node that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) cordoned: bool,
    pub(super) drained: bool,
    pub(super) outs: u32,
    pub(super) gone_at: Instant,
}

impl Node {
    pub(super) fn new(info: Arc<NodeInfo>, memory: Option<Memory>, now: Instant) -> Self {
        let none = Decayed { value: 0.0, at: now };
        Self {
            info,
            condition: Condition::default(),
            loss: Loss::default(),
            reported_at: None,
            out: Some(Out::Awaited),
            good: 0,
            failures: 0,
            outs: memory.map_or(0, |memory| memory.outs),
            in_since: None,
            ramps: memory.is_some(),
            cordoned: memory.is_some_and(|memory| memory.cordoned),
            draining: false,
            drained: memory.is_some_and(|memory| memory.drained),
            score: Score::default(),
            weight: 0,
            recent: none,
            share: none,
        }
    }

    pub(super) fn memory(&self, now: Instant) -> Memory {
        let outs = self.outs_by(now) + u32::from(self.out.is_none());
        Memory { cordoned: self.cordoned, drained: self.drained, outs, gone_at: now }
    }

    /// One good report.
    pub(super) fn report(&mut self, load: &NodeLoad, settings: &Settings, now: Instant) {
        self.condition.cpu_percent = load.cpu_percent;
        self.condition.memory_percent = load.memory_percent;
        self.condition.loss = self.loss.take(load.loss, now);
        self.draining = load.draining;
        self.reported_at = Some(now);
        if self.out.is_none() {
            return;
        }
        self.good += 1;
        if self.good >= self.good_needed(settings, now) {
            self.ramps |= self.outs > 0;
            (self.out, self.failures, self.in_since) = (None, 0, Some(now));
        }
    }

    /// Reports in a row that bring it back: one when it is new, else as many as missed ones take it out, twice as many each
    /// time.
    fn good_needed(&self, settings: &Settings, now: Instant) -> u32 {
        match self.outs_by(now) {
            0 => 1,
            outs => settings.missed_reports.saturating_mul(1 << (outs - 1).min(OUTS_DOUBLED_MAX)),
        }
    }

    fn outs_by(&self, now: Instant) -> u32 {
        let steady = self.in_since.is_some_and(|since| now.saturating_duration_since(since) >= FORGIVEN_AFTER);
        if self.out.is_none() && steady { 0 } else { self.outs }
    }

    pub(super) fn round_trip(&mut self, rtt: Duration) {
        self.condition.rtt = Some(smoothed(self.condition.rtt, rtt));
    }

    pub(super) fn answered(&mut self) {
        self.failures = 0;
    }

    /// A call failed: perhaps one too many.
    pub(super) fn failed(&mut self, settings: &Settings, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= settings.failed_calls && self.out.is_none() {
            self.go_out(Out::Failing, now);
        }
    }

    /// Time has passed: perhaps it missed one report too many.
    pub(super) fn look(&mut self, settings: &Settings, now: Instant) {
        let Some(reported_at) = self.reported_at else { return };
        let patience = settings.report_every.mul_f64(f64::from(settings.missed_reports) + LATE);
        if now.saturating_duration_since(reported_at) < patience {
            return;
        }
        match self.out {
            None => self.go_out(Out::Silent, now),
            // it begins anew
            Some(_) => self.good = 0,
        }
    }

    fn go_out(&mut self, why: Out, now: Instant) {
        self.outs = self.outs_by(now).saturating_add(1);
        (self.out, self.good, self.in_since) = (Some(why), 0, None);
    }

    pub(super) fn standing(&self) -> Standing {
        match self.out {
            Some(Out::Awaited) if self.good == 0 => Standing::Awaited,
            Some(_) if self.good > 0 => Standing::Returning,
            Some(Out::Silent) => Standing::Silent,
            Some(Out::Failing) => Standing::Failing,
            _ if self.drained => Standing::Drained,
            _ if self.cordoned => Standing::Cordoned,
            _ if self.draining => Standing::Draining,
            _ if self.weight == 0 => Standing::Overloaded,
            _ => Standing::Ready,
        }
    }

    /// Score and weight anew; whether the weight is another one. Without a report there is none.
    pub(super) fn weigh(&mut self, settings: &Settings, now: Instant) {
        if self.reported_at.is_none() {
            return;
        }
        self.score = Score::of(&self.condition);
        let base = if self.info.base_weight == 0 { settings.base_weight } else { self.info.base_weight };
        let whole = self.score.weight(base);
        let ramp = self.ramp(settings, now);
        self.ramps &= ramp < 1.0;
        let least = u32::from(whole > 0);
        self.weight = ((f64::from(whole) * ramp).floor() as u32).max(least);
    }

    /// The part of its weight that it has: less than all of it for a while after it came back.
    pub(super) fn ramp(&self, settings: &Settings, now: Instant) -> f64 {
        let Some(since) = self.in_since.filter(|_| self.ramps) else { return 1.0 };
        if settings.ramp_up.is_zero() {
            return 1.0;
        }
        let passed = now.saturating_duration_since(since).as_secs_f64() / settings.ramp_up.as_secs_f64();
        (RAMP_FROM + (1.0 - RAMP_FROM) * passed).min(1.0)
    }

    pub(super) fn ramps(&self) -> bool {
        self.ramps
    }

    /// It was given a room.
    pub(super) fn assign(&mut self, settings: &Settings, now: Instant) {
        self.recent.add(now, settings.between_reports());
        self.share.add(now, SHARE_OVER);
    }

    /// Rooms that it was given since about the time of its report.
    pub(super) fn recent(&self, settings: &Settings, now: Instant) -> f64 {
        self.recent.at(now, settings.between_reports())
    }

    /// Rooms that it was given of late, by the minute.
    pub(super) fn given(&self, now: Instant) -> f64 {
        self.share.at(now, SHARE_OVER)
    }
}
