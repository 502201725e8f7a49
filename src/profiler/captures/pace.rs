//! How many captures may be made: so many an hour, and one each cooldown for each cause.
//!
//! Operators have an allowance of their own, so that a storm leaves them theirs. Time is told.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// What may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// Captures an hour that the router makes by itself; 0: none.
    pub per_hour: usize,
    /// Between two of the same (op, region), and between two of stalls.
    pub cooldown: Duration,
    /// Captures an hour that operators may ask for; 0: none.
    pub asked_per_hour: usize,
    /// Between two of theirs: closer ones are of the same seconds.
    pub asked_cooldown: Duration,
}

impl Default for PaceSettings {
    fn default() -> Self {
        Self {
            per_hour: 12,
            cooldown: Duration::from_secs(300),
            asked_per_hour: 6,
            asked_cooldown: Duration::from_secs(30),
        }
    }
}

/// What a capture is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum For {
    /// The P99 of an op from a region.
    Latency {
        /// The kind of the signal.
        op: String,
        /// The client's region.
        region: String,
    },
    /// A worker that does not come back, whichever it is.
    Stall,
    /// An operator.
    Operator,
}

impl For {
    /// The word for it in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Stall => "stall",
            Self::Operator => "operator",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Pace {
    settings: PaceSettings,
    made: Allowance,
    asked: Allowance,
    /// The latest of each, as long as it is cooling down.
    latest: HashMap<For, Instant>,
}

impl Pace {
    /// Nothing was made yet.
    pub fn new(settings: PaceSettings) -> Self {
        Self {
            settings,
            made: Allowance::of(settings.per_hour),
            asked: Allowance::of(settings.asked_per_hour),
            latest: HashMap::new(),
        }
    }

    /// Takes a place for one.
    ///
    /// # Errors
    /// How long it is until there is a place.
    pub fn admit(&mut self, now: Instant, what: &For) -> Result<(), Duration> {
        let settings = self.settings;
        let cooldown = |what: &For| if *what == For::Operator { settings.asked_cooldown } else { settings.cooldown };
        self.latest.retain(|what, at| now.saturating_duration_since(*at) < cooldown(what));
        let cooling = self.latest.get(what).map(|at| cooldown(what).saturating_sub(now.saturating_duration_since(*at)));
        let allowance = if *what == For::Operator { &mut self.asked } else { &mut self.made };
        match cooling.into_iter().chain(allowance.wait(now)).max() {
            Some(wait) => Err(wait),
            None => {
                allowance.taken.push_back(now);
                self.latest.insert(what.clone(), now);
                Ok(())
            }
        }
    }

    /// This is part of a capture that was made for another: it cools down as if it had its own.
    pub fn join(&mut self, now: Instant, what: For) {
        self.latest.insert(what, now);
    }
}

/// So many an hour.
#[derive(Debug)]
struct Allowance {
    most: usize,
    /// The last hour's, oldest first; no more than `most`.
    taken: VecDeque<Instant>,
}

impl Allowance {
    fn of(most: usize) -> Self {
        Self { most, taken: VecDeque::new() }
    }

    /// How long until there is a place; absent: there is one.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.taken.retain(|at| now.saturating_duration_since(*at) < HOUR);
        if self.taken.len() < self.most {
            return None;
        }
        let oldest = self.taken.front().map_or(Duration::ZERO, |at| now.saturating_duration_since(*at));
        Some(HOUR.saturating_sub(oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn latency(region: usize) -> For {
        For::Latency { op: "join".to_owned(), region: region.to_string() }
    }

    #[test]
    fn a_storm_gets_its_hourly_number_and_leaves_operators_theirs() {
        let (mut pace, now) = (Pace::new(PaceSettings::default()), Instant::now());
        let made = (0..100).filter(|n| pace.admit(now, &latency(*n)).is_ok()).count();
        assert_eq!(made, 12);
        assert_eq!(pace.admit(now + MINUTE, &For::Stall), Err(59 * MINUTE));
        let asked = (0..60).filter(|n| pace.admit(now + *n * Duration::from_secs(30), &For::Operator).is_ok()).count();
        assert_eq!(asked, 6);
        assert_eq!(pace.admit(now + 30 * MINUTE, &For::Operator), Err(30 * MINUTE));
        assert_eq!(pace.admit(now + 60 * MINUTE, &For::Operator), Ok(()));
        assert_eq!(pace.admit(now + 60 * MINUTE, &For::Stall), Ok(()));
    }

    #[test]
    fn each_cause_cools_down_for_itself() {
        let (mut pace, now) = (Pace::new(PaceSettings::default()), Instant::now());
        assert_eq!(pace.admit(now, &latency(1)), Ok(()));
        assert_eq!(pace.admit(now + MINUTE, &latency(1)), Err(4 * MINUTE));
        assert_eq!(pace.admit(now + MINUTE, &latency(2)), Ok(()));
        assert_eq!(pace.admit(now + MINUTE, &For::Stall), Ok(()));
        assert_eq!(pace.admit(now + 2 * MINUTE, &For::Stall), Err(4 * MINUTE));
        assert_eq!(pace.admit(now, &For::Operator), Ok(()));
        assert_eq!(pace.admit(now, &For::Operator), Err(Duration::from_secs(30)));
        assert_eq!(pace.admit(now + 5 * MINUTE, &latency(1)), Ok(()));
    }

    #[test]
    fn who_joins_another_capture_cools_down_and_takes_no_place() {
        let (mut pace, now) = (Pace::new(PaceSettings { per_hour: 1, ..PaceSettings::default() }), Instant::now());
        pace.join(now, latency(1));
        assert_eq!(pace.admit(now + MINUTE, &latency(1)), Err(4 * MINUTE));
        assert_eq!(pace.admit(now + MINUTE, &latency(2)), Ok(()));
    }

    #[test]
    fn none_an_hour_is_none() {
        let settings = PaceSettings { per_hour: 0, asked_per_hour: 0, ..PaceSettings::default() };
        let (mut pace, now) = (Pace::new(settings), Instant::now());
        assert_eq!([For::Stall, For::Operator].map(|what| pace.admit(now, &what)), [Err(HOUR), Err(HOUR)]);
    }

    #[test]
    fn what_has_cooled_down_is_not_remembered() {
        let (mut pace, now) = (Pace::new(PaceSettings::default()), Instant::now());
        (0..100).for_each(|n| pace.join(now, latency(n)));
        assert_eq!(pace.admit(now + 5 * MINUTE, &For::Stall), Ok(()));
        assert_eq!(pace.latest.len(), 1);
    }
}
