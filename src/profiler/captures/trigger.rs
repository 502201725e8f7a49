//! Whether a P99 has left its band: that of the baseline, where it is known well enough what is usual; else a moving
//! bound for each (op, region).
//!
//! The baseline is of five minutes: what is usual at this time of day is taken from it, how much ten seconds err is what
//! the last hour of them showed.
//!
//! Fed every ten seconds with the P99s of those ten seconds; time is told. Knows nothing of what becomes of a breach.
//!
//! Mean and deviation are of the logarithm: the noise of a P99 grows with it. The band is as wide as paging's is (a
//! quarter, or 5 ms), but for 3 deviations in place of 2: paging waits a minute over longer windows, whereas here two
//! windows in a row decide, 8,640 times a day. By simulation of 100 signals a window (lognormal, sigma 0.6, a P99 of
//! 40 ms) 2 deviations of the plain P99 find 29 breaches a day in nothing but noise, 3 of its logarithm 0.4.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::telemetry::{PROMISE, Usual, captured::RecentP99};

/// Between two looks, and what each is about.
pub const EVERY: Duration = Duration::from_secs(10);
/// Signals of a window that make its P99 worth something: of fewer it is the slowest of them, whatever that is.
pub const COUNT_MIN: u64 = 100;
/// (op, region) that are watched: more than there are ops times regions that metrics tell apart.
pub const SERIES_MAX: usize = 256;

/// Windows after which the band rules: five minutes. Until then the promise does.
const MATURE_WINDOWS: u64 = 30;
/// The memory of mean and deviation: about an hour of windows.
const MEMORY_WINDOWS: u64 = 360;
/// Windows in a row that make it a breach, and as many that end it.
const ROW: u32 = 2;
/// Windows further apart than this are not in a row.
const ROW_GAP: Duration = Duration::from_millis(15_000);
/// A breach after which nothing was heard for so long is over.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// A (op, region) of which nothing was heard for so long makes way for another.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// The margins of the band.
const DEVIATIONS: f64 = 3.0;
const FACTOR: f64 = 1.25;
const MARGIN: Duration = Duration::from_millis(5);
/// Below this all latencies are alike, and their logarithm is a number.
const LEAST: Duration = Duration::from_micros(1);

/// A P99 that has left its band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The kind of the signal.
    pub op: &'static str,
    /// The client's region.
    pub region: String,
    /// The P99 of the latest ten seconds.
    pub p99: Duration,
    /// What it should not have passed.
    pub bound: Duration,
    /// The beginning of the first window above it.
    pub since: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Trigger {
    series: HashMap<(&'static str, String), Standing>,
}

impl Trigger {
    /// Takes the P99s of the ten seconds before `now`, and tells which have just left their band, the farthest out
    /// first. Each is told once, and again only after it was back inside.
    pub fn look(&mut self, now: Instant, seen: &[RecentP99]) -> Vec<Breach> {
        let mut breaches = Vec::new();
        for p99 in seen.iter().filter(|p99| p99.count >= COUNT_MIN) {
            let Some(standing) = self.standing(p99, now) else { continue };
            standing.usual = p99.usual;
            let bound = standing.bound();
            if let Some(since) = standing.look(now, p99.p99, bound) {
                breaches.push(Breach { op: p99.op, region: p99.region.clone(), p99: p99.p99, bound, since });
            }
        }
        let excess = |breach: &Breach| breach.p99.as_secs_f64() / breach.bound.as_secs_f64();
        breaches.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
        breaches
    }

    /// What a P99 may not pass now; absent: nothing is known of it.
    pub fn bound(&self, op: &'static str, region: &str) -> Option<Duration> {
        self.series.get(&(op, region.to_owned())).map(Standing::bound)
    }

    /// Absent: there is no room for another, and none to be forgotten.
    fn standing(&mut self, p99: &RecentP99, now: Instant) -> Option<&mut Standing> {
        let key = (p99.op, p99.region.clone());
        if !self.series.contains_key(&key) && self.series.len() >= SERIES_MAX {
            self.series.retain(|_, known| now.saturating_duration_since(known.latest) < FORGOTTEN_AFTER);
            if self.series.len() >= SERIES_MAX {
                return None;
            }
        }
        Some(self.series.entry(key).or_insert_with(|| Standing::new(now)))
    }
}

/// One (op, region).
#[derive(Debug)]
struct Standing {
    /// Of the logarithm of milliseconds.
    mean: f64,
    /// Of the same.
    variance: f64,
    windows: u64,
    /// By the baseline, as it was told last.
    usual: Option<Usual>,
    latest: Instant,
    breached: bool,
    /// Windows in a row that contradict `breached`, and the beginning of the first.
    against: u32,
    against_since: Instant,
}

impl Standing {
    fn new(now: Instant) -> Self {
        Self {
            mean: 0.0,
            variance: 0.0,
            windows: 0,
            usual: None,
            latest: now,
            breached: false,
            against: 0,
            against_since: now,
        }
    }

    fn bound(&self) -> Duration {
        if self.windows < MATURE_WINDOWS {
            return PROMISE;
        }
        let noise = (DEVIATIONS * self.variance.sqrt()).exp();
        let (usual_ms, upper_ms) = match self.usual {
            Some(Usual { p99, upper }) => (p99.as_secs_f64() * 1e3, upper.as_secs_f64() * 1e3),
            None => {
                let usual = self.mean.exp();
                (usual, (usual * FACTOR).max(usual + MARGIN.as_secs_f64() * 1e3))
            }
        };
        Duration::try_from_secs_f64((usual_ms * noise).max(upper_ms) / 1e3).unwrap_or(Duration::MAX)
    }

    /// Since when it is out of its band, when that is known just now.
    fn look(&mut self, now: Instant, p99: Duration, bound: Duration) -> Option<Instant> {
        let silent_for = now.saturating_duration_since(self.latest);
        self.latest = now;
        if silent_for > SILENCE_MAX {
            self.breached = false;
        }
        if silent_for > ROW_GAP {
            self.against = 0;
        }
        // what is above counts as the bound: one incident does not widen the band, a lasting change does in hours
        self.learn(p99.min(bound));
        if (p99 > bound) == self.breached {
            self.against = 0;
            return None;
        }
        if self.against == 0 {
            self.against_since = now.checked_sub(EVERY).unwrap_or(now);
        }
        self.against += 1;
        if self.against < ROW {
            return None;
        }
        self.against = 0;
        self.breached = !self.breached;
        self.breached.then_some(self.against_since)
    }

    /// An exponentially weighted mean and variance; of the first windows the plain ones.
    fn learn(&mut self, p99: Duration) {
        self.windows += 1;
        let weight = 1.0 / self.windows.min(MEMORY_WINDOWS) as f64;
        let difference = (p99.max(LEAST).as_secs_f64() * 1e3).ln() - self.mean;
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trigger and the time that it is told.
    struct Told {
        trigger: Trigger,
        now: Instant,
        /// Windows at which a breach was found.
        found: Vec<usize>,
        windows: usize,
        usual: Option<Usual>,
    }

    impl Told {
        fn new() -> Self {
            Self { trigger: Trigger::default(), now: Instant::now(), found: Vec::new(), windows: 0, usual: None }
        }

        fn window(&mut self, ms: f64, count: u64) -> Vec<Breach> {
            self.now += EVERY;
            let p99 = Duration::from_secs_f64(ms / 1e3);
            let seen = RecentP99 { op: "join", region: "eu-west".to_owned(), p99, count, usual: self.usual };
            let breaches = self.trigger.look(self.now, &[seen]);
            self.found.extend(breaches.iter().map(|_| self.windows));
            self.windows += 1;
            breaches
        }

        /// An hour of a P99 with noise.
        fn quiet_hour(usual_ms: f64) -> Self {
            let (mut told, mut noise) = (Self::new(), Noise::new(1, 0.03));
            (0..360).for_each(|_| drop(told.window(usual_ms * noise.factor(), 1_000)));
            assert_eq!(told.found, [0; 0]);
            told
        }
    }

    /// Lognormal factors around 1.
    struct Noise {
        random: fastrand::Rng,
        deviation: f64,
    }

    impl Noise {
        fn new(seed: u64, deviation: f64) -> Self {
            Self { random: fastrand::Rng::with_seed(seed), deviation }
        }

        fn factor(&mut self) -> f64 {
            // the sum of twelve uniform numbers is as good as normal
            let normal = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
            (normal * self.deviation).exp()
        }
    }

    #[test]
    fn noise_alone_is_no_breach() {
        for (usual_ms, deviation) in [(1.0, 0.5), (12.0, 0.15), (40.0, 0.15), (60.0, 0.05)] {
            for seed in 0..5 {
                let (mut told, mut noise) = (Told::new(), Noise::new(seed, deviation));
                (0..8_640).for_each(|_| drop(told.window(usual_ms * noise.factor(), 100)));
                assert_eq!(told.found, [0; 0], "{usual_ms} ms, {deviation}, {seed}");
            }
        }
    }

    #[test]
    fn a_step_of_sixty_percent_and_ten_milliseconds_is_found_in_twenty_seconds() {
        for usual_ms in [17.0, 40.0, 120.0] {
            let (mut told, mut noise) = (Told::new(), Noise::new(3, 0.03));
            if usual_ms > 80.0 {
                // past the promise from the start on: that is a breach, and then what is usual is learned
                (0..2_000).for_each(|_| drop(told.window(usual_ms * noise.factor(), 1_000)));
                assert_eq!(told.found, [1]);
                told.found.clear();
            } else {
                (0..360).for_each(|_| drop(told.window(usual_ms * noise.factor(), 1_000)));
            }
            assert_eq!(told.window(usual_ms * 1.6, 1_000), []);
            let breaches = told.window(usual_ms * 1.6, 1_000);
            let [breach] = breaches.as_slice() else { panic!("{usual_ms} ms: {breaches:?}") };
            assert_eq!((breach.op, breach.region.as_str(), breach.since), ("join", "eu-west", told.now - 2 * EVERY));
            assert!(breach.bound < breach.p99 && breach.bound.as_secs_f64() * 1e3 > usual_ms * 1.2, "{breach:?}");
        }
    }

    #[test]
    fn a_breach_is_told_once_and_again_only_after_it_was_back_inside() {
        let mut told = Told::quiet_hour(20.0);
        let start = told.windows;
        (0..30).for_each(|_| drop(told.window(60.0, 1_000)));
        told.window(20.0, 1_000);
        (0..3).for_each(|_| drop(told.window(60.0, 1_000)));
        assert_eq!(told.found, [start + 1], "one window inside is not back yet");
        (0..2).for_each(|_| drop(told.window(20.0, 1_000)));
        (0..3).for_each(|_| drop(told.window(60.0, 1_000)));
        assert_eq!(told.found, [start + 1, start + 37]);
    }

    #[test]
    fn one_window_above_is_none_nor_are_two_that_do_not_follow_each_other() {
        let mut told = Told::quiet_hour(20.0);
        for _ in 0..20 {
            told.window(200.0, 1_000);
            told.window(20.0, 1_000);
        }
        // few signals between them say nothing, and what lies between is not known
        told.window(200.0, 1_000);
        told.window(20.0, COUNT_MIN - 1);
        told.window(200.0, 1_000);
        assert_eq!(told.found, [0; 0]);
        told.window(200.0, 1_000);
        assert_eq!(told.found.len(), 1, "the next one is in a row");
    }

    #[test]
    fn few_signals_neither_speak_nor_teach() {
        let mut told = Told::new();
        (0..1_000).for_each(|_| drop(told.window(500.0, COUNT_MIN - 1)));
        assert_eq!((told.found.as_slice(), told.trigger.bound("join", "eu-west")), ([0; 0].as_slice(), None));
        let mut told = Told::quiet_hour(20.0);
        let bound = told.trigger.bound("join", "eu-west");
        (0..100).for_each(|_| drop(told.window(500.0, COUNT_MIN - 1)));
        assert_eq!((told.found.as_slice(), told.trigger.bound("join", "eu-west")), ([0; 0].as_slice(), bound));
    }

    #[test]
    fn a_slow_drift_is_followed() {
        let (mut told, mut noise) = (Told::new(), Noise::new(5, 0.05));
        for window in 0..6 * 360 {
            let usual_ms = 20.0 * (1.0 + f64::from(window) / (6.0 * 360.0));
            told.window(usual_ms * noise.factor(), 1_000);
        }
        assert_eq!(told.found, [0; 0], "from 20 to 40 ms in six hours");
        let bound = told.trigger.bound("join", "eu-west").unwrap();
        assert!((42..55).contains(&bound.as_millis()), "{bound:?}");
    }

    #[test]
    fn an_incident_hardly_widens_the_band_and_a_lasting_change_is_learned_in_hours() {
        let mut told = Told::quiet_hour(20.0);
        let before = told.trigger.bound("join", "eu-west").unwrap();
        (0..60).for_each(|_| drop(told.window(400.0, 1_000)));
        let after = told.trigger.bound("join", "eu-west").unwrap();
        assert!(after < before.mul_f64(1.25), "ten minutes: {before:?} became {after:?}");
        let mut told = Told::quiet_hour(20.0);
        (0..6 * 360).for_each(|_| drop(told.window(32.0, 1_000)));
        assert!(told.found.len() == 1 && told.trigger.bound("join", "eu-west").unwrap() > Duration::from_millis(35));
    }

    #[test]
    fn where_the_baseline_knows_what_is_usual_its_band_rules_and_ten_seconds_err_as_they_do() {
        const MS: Duration = Duration::from_millis(1);
        let mut told = Told::quiet_hour(20.0);
        told.usual = Some(Usual { p99: 20 * MS, upper: 25 * MS });
        // the moving bound would follow this; the baseline does not
        (0..3 * 360).for_each(|window| drop(told.window(20.0 + f64::from(window) * 0.01, 1_000)));
        let bound = told.trigger.bound("join", "eu-west").unwrap();
        assert!(told.found.len() == 1 && bound < 40 * MS, "{bound:?}");
        // of a noisy hour the band is wider than that of five minutes
        let (mut told, mut noise) = (Told::new(), Noise::new(9, 0.15));
        told.usual = Some(Usual { p99: 20 * MS, upper: 25 * MS });
        (0..8_640).for_each(|_| drop(told.window(20.0 * noise.factor(), 100)));
        let bound = told.trigger.bound("join", "eu-west").unwrap();
        assert!(told.found.is_empty() && bound > 28 * MS && bound < 36 * MS, "{bound:?} {:?}", told.found);
    }

    #[test]
    fn until_five_minutes_are_known_the_promise_rules() {
        let mut told = Told::new();
        (0..29).for_each(|_| drop(told.window(20.0, 1_000)));
        assert_eq!(told.trigger.bound("join", "eu-west"), Some(PROMISE));
        told.window(79.0, 1_000);
        assert!(told.trigger.bound("join", "eu-west").unwrap() < PROMISE);
        let mut told = Told::new();
        (0..2).for_each(|_| drop(told.window(81.0, 1_000)));
        assert_eq!(told.found, [1]);
    }

    #[test]
    fn a_breach_that_fell_silent_is_over() {
        let mut told = Told::quiet_hour(20.0);
        (0..2).for_each(|_| drop(told.window(60.0, 1_000)));
        told.now += SILENCE_MAX;
        (0..2).for_each(|_| drop(told.window(60.0, 1_000)));
        assert_eq!(told.found.len(), 2);
    }

    #[test]
    fn the_number_watched_is_bounded_and_who_was_not_heard_of_for_an_hour_makes_way() {
        let mut trigger = Trigger::default();
        let now = Instant::now();
        let seen = |n: usize| RecentP99 {
            op: "send",
            region: format!("r{n}"),
            p99: Duration::from_millis(300),
            count: COUNT_MIN,
            usual: None,
        };
        let all: Vec<_> = (0..SERIES_MAX + 9).map(seen).collect();
        assert_eq!(trigger.look(now, &all), []);
        assert_eq!(trigger.look(now + EVERY, &all).len(), SERIES_MAX);
        assert_eq!(trigger.series.len(), SERIES_MAX);
        assert_eq!(trigger.bound("send", &format!("r{SERIES_MAX}")), None);
        trigger.look(now + FORGOTTEN_AFTER + EVERY, &[seen(SERIES_MAX)]);
        assert_eq!(trigger.series.len(), 1);
    }

    #[test]
    fn the_farthest_out_is_told_first() {
        let mut trigger = Trigger::default();
        let now = Instant::now();
        let seen = |op, ms| RecentP99 {
            op,
            region: "sh".to_owned(),
            p99: Duration::from_millis(ms),
            count: COUNT_MIN,
            usual: None,
        };
        let all = [seen("join", 90), seen("send", 900), seen("ping", 70), seen("leave", 200)];
        trigger.look(now, &all);
        let told: Vec<_> = trigger.look(now + EVERY, &all).into_iter().map(|breach| breach.op).collect();
        assert_eq!(told, ["send", "leave", "join"]);
    }
}
