//! A circuit breaker: calls to something that fails, or is slow, are not made for a while.
//!
//! Closed, it counts the calls of a sliding window; once there are enough of them and too large a share failed or was
//! slow, it opens. Open, it admits nothing until its time is over; then a few probes decide. Who holds one asks
//! before each call and says how it ended; each change of state is returned, to be told.

mod window;

use std::time::{Duration, Instant};

use self::window::Window;
use crate::event::{BreakerReason, BreakerState};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// How far back calls count; kept in ten parts, so that a call counts for nine to ten tenths of it.
    pub window: Duration,
    /// With fewer ended calls than that in the window, it does not open.
    pub calls_min: u32,
    /// Opens when that many of a hundred calls failed; above 100: never.
    pub failure_percent: u32,
    /// A call that took longer is slow, whatever its answer.
    pub slow_after: Duration,
    /// Opens when that many of a hundred calls were slow; above 100: never.
    pub slow_percent: u32,
    /// How long it stays open the first time; twice as long each time that its probes fail.
    pub open_for: Duration,
    /// The longest that it stays open.
    pub open_for_max: Duration,
    /// Calls that may be under way at once while it is half open; once as many were answered in time, it closes. At least 1.
    pub probes: u32,
}

impl Default for BreakerSettings {
    /// For calls under a deadline of 150 ms: half of twenty or more in ten seconds, and a second until the first probes.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            calls_min: 20,
            failure_percent: 50,
            slow_after: Duration::from_millis(100),
            slow_percent: 80,
            open_for: Duration::from_secs(1),
            open_for_max: Duration::from_secs(30),
            probes: 3,
        }
    }
}

/// How a call ended, as the breaker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was answered after that long; a refusal is an answer.
    Answered(Duration),
    /// It was not answered in time, or could not be made.
    Failed,
    /// It was never made, or given up for a reason that tells nothing of the other side.
    Withdrawn,
}

/// Leave for one call. To be handed back with how it ended, exactly once.
#[derive(Debug)]
#[must_use = "a call that is never said to have ended keeps a probe's place"]
pub struct Leave {
    /// The state's number in which it was given: what began under another one tells nothing of this one.
    era: u64,
}

/// A breaker went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state that is over.
    pub from: BreakerState,
    /// The state that has begun.
    pub to: BreakerState,
    /// Why.
    pub reason: BreakerReason,
    /// When open: how long no call is admitted.
    pub open_for: Duration,
}

/// What is answered to who wants to make a call.
#[derive(Debug)]
pub struct Asked {
    /// Leave to make it, or when to ask again.
    pub verdict: Result<Leave, Duration>,
    /// That the question brought about.
    pub change: Option<Change>,
}

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    phase: Phase,
    /// Goes up with each change of state.
    era: u64,
    window: Window,
    /// Times that it opened without having been closed for a window in between.
    openings: u32,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { since: Instant },
    Open { until: Instant },
    HalfOpen { since: Instant, under_way: u32, answered: u32 },
}

impl Breaker {
    /// A closed one, of which nothing is known yet.
    pub fn new(settings: BreakerSettings, now: Instant) -> Self {
        let window = Window::new(settings.window, now);
        Self { settings, phase: Phase::Closed { since: now }, era: 0, window, openings: 0 }
    }

    /// Other settings, for what is decided from now on. What was counted stays, unless the window's length changed.
    pub fn configure(&mut self, settings: BreakerSettings, now: Instant) {
        if settings.window != self.settings.window {
            self.window = Window::new(settings.window, now);
        }
        self.settings = settings;
    }

    /// What it does with calls; one that is open stays so until it is asked after its time.
    pub const fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether a call would be admitted at that moment; takes nothing.
    pub fn would_admit(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Closed { .. } => true,
            Phase::Open { until } => now >= until,
            Phase::HalfOpen { under_way, .. } => under_way < self.probes(),
        }
    }

    /// Asks for leave to make a call.
    pub fn ask(&mut self, now: Instant) -> Asked {
        let change = match self.phase {
            Phase::Open { until } if now >= until => Some(self.half_open(now)),
            // its probes were never heard of again
            Phase::HalfOpen { since, under_way, .. }
                if under_way >= self.probes() && now >= since + self.patience() =>
            {
                Some(self.open(BreakerReason::ProbeFailed, now))
            }
            _ => None,
        };
        let (era, probes, patience) = (self.era, self.probes(), self.patience());
        let verdict = match &mut self.phase {
            Phase::Closed { .. } => Ok(Leave { era }),
            Phase::Open { until } => Err(until.saturating_duration_since(now)),
            Phase::HalfOpen { under_way, .. } if *under_way < probes => {
                *under_way += 1;
                Ok(Leave { era })
            }
            Phase::HalfOpen { since, .. } => Err((*since + patience).saturating_duration_since(now)),
        };
        Asked { verdict, change }
    }

    /// Says how a call ended that it gave leave for.
    pub fn ended(&mut self, leave: Leave, how: Ended, now: Instant) -> Option<Change> {
        if leave.era != self.era {
            return None;
        }
        let good = matches!(how, Ended::Answered(took) if took <= self.settings.slow_after);
        let probes = self.probes();
        match &mut self.phase {
            Phase::Closed { .. } => {
                match how {
                    Ended::Answered(_) => self.window.count(now, false, !good),
                    Ended::Failed => self.window.count(now, true, false),
                    Ended::Withdrawn => return None,
                }
                let reason = self.too_bad(now)?;
                Some(self.open(reason, now))
            }
            Phase::HalfOpen { under_way, answered, .. } => {
                *under_way = under_way.saturating_sub(1);
                match how {
                    Ended::Withdrawn => return None,
                    _ if !good => return Some(self.open(BreakerReason::ProbeFailed, now)),
                    _ => *answered += 1,
                }
                (*answered >= probes).then(|| self.close(now))
            }
            Phase::Open { .. } => None,
        }
    }

    /// Why it should open, if it should.
    fn too_bad(&self, now: Instant) -> Option<BreakerReason> {
        let counted = self.window.sum(now);
        if counted.calls < self.settings.calls_min.max(1) {
            return None;
        }
        let share = |part: u32, percent: u32| u64::from(part) * 100 >= u64::from(counted.calls) * u64::from(percent);
        if counted.failed > 0 && share(counted.failed, self.settings.failure_percent) {
            return Some(BreakerReason::Failures);
        }
        (counted.slow > 0 && share(counted.slow, self.settings.slow_percent)).then_some(BreakerReason::Slow)
    }

    fn open(&mut self, reason: BreakerReason, now: Instant) -> Change {
        let from = self.state();
        if let Phase::Closed { since } = self.phase
            && now >= since + self.settings.window
        {
            self.openings = 0;
        }
        let longest = self.settings.open_for_max.max(self.settings.open_for);
        // sixteen doublings are past every bound that makes sense
        let open_for = self.settings.open_for.saturating_mul(1 << self.openings.min(16)).min(longest);
        self.openings = self.openings.saturating_add(1);
        self.enter(Phase::Open { until: now + open_for });
        Change { from, to: BreakerState::Open, reason, open_for }
    }

    fn half_open(&mut self, now: Instant) -> Change {
        let from = self.state();
        self.enter(Phase::HalfOpen { since: now, under_way: 0, answered: 0 });
        Change { from, to: BreakerState::HalfOpen, reason: BreakerReason::Waited, open_for: Duration::ZERO }
    }

    fn close(&mut self, now: Instant) -> Change {
        let from = self.state();
        self.window = Window::new(self.settings.window, now);
        self.enter(Phase::Closed { since: now });
        Change { from, to: BreakerState::Closed, reason: BreakerReason::Probed, open_for: Duration::ZERO }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
    }

    fn probes(&self) -> u32 {
        self.settings.probes.max(1)
    }

    /// How long all probes may stay away before they count as failed: far longer than any call may take.
    fn patience(&self) -> Duration {
        self.settings.window
    }
}

#[cfg(test)]
mod tests;
