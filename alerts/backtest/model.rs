//! Made-up P99s: a season by day and week, wander, the noise of sampling, short spikes. Minute by minute, so that what
//! five minutes of a spike's minute look like follows from the distribution.
//!
//! Latencies are lognormal with sigma 0.5, whose P99 of n signals errs by 1.87/sqrt(n). Levels of noise are a guess, and
//! written down here: whoever has a fleet can put its own in.

use std::f64::consts::{PI, SQRT_2};

use signalbox::telemetry::baseline::{DAY, Seen, Slot};

/// Minutes of a slot, and of a day.
pub(crate) const SLOT_MINUTES: usize = 5;
pub(crate) const DAY_MINUTES: usize = 1_440;
/// Of the logarithm of a latency.
const SIGMA: f64 = 0.5;
/// Deviations of a normal distribution that 99 of 100 do not pass.
const Z99: f64 = 2.326_347_874_040_841;
/// The error of the P99 of n signals, times the root of n.
const SAMPLING: f64 = 1.87;
/// Monday 00:00, as slots are counted.
const MONDAY: Slot = 4 * DAY;

/// What the noise is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Signals in five minutes.
    pub(crate) signals: u64,
    /// How far the P99 goes up and down in a day, of its mean.
    pub(crate) day: f64,
    /// How much less it is on Saturdays and Sundays.
    pub(crate) weekend: f64,
    /// How much more it is on a weekday at 09:00, for some forty minutes around it.
    pub(crate) morning: f64,
    /// Wander that lasts an hour, and a day: standard deviations.
    pub(crate) wander_hour: f64,
    pub(crate) wander_day: f64,
    /// Spikes a day, each of one to three minutes, 1.5 to 4 times what is usual.
    pub(crate) spikes: f64,
}

impl Noise {
    pub(crate) const QUIET: Self = Self {
        signals: 5_000,
        day: 0.20,
        weekend: 0.13,
        morning: 0.20,
        wander_hour: 0.02,
        wander_day: 0.015,
        spikes: 0.0,
    };
    pub(crate) const SPIKY: Self = Self { spikes: 2.0, ..Self::QUIET };
}

#[derive(Clone, Copy, Debug)]
struct Minute {
    /// The P99 that the minute's latencies are drawn from, seconds.
    p99: f64,
    /// What sampling makes of it.
    error: f64,
}

/// One series, from midnight of some day of a week on.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) first: Slot,
    signals: u64,
    minutes: Vec<Minute>,
}

impl Past {
    /// Of so many days.
    pub(crate) fn new(noise: Noise, days: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // at less than 25 ms or so the band's 5 ms are more than its quarter, and 30 % are within them
        let base = 0.030 + 0.030 * random.f64();
        let first = MONDAY + DAY * random.i64(0..7);
        let minute_error = SAMPLING / (noise.signals as f64 / SLOT_MINUTES as f64).sqrt();
        let (mut hour, mut day) = (normal(&mut random), normal(&mut random));
        let minutes = (0..days * DAY_MINUTES).map(|minute| {
            hour = wandered(&mut random, hour, 60.0);
            day = wandered(&mut random, day, DAY_MINUTES as f64);
            let wander = (noise.wander_hour * hour + noise.wander_day * day).exp();
            let p99 = base * season(noise, first, minute) * wander;
            Minute { p99, error: (1.0 + minute_error * normal(&mut random)).max(0.5) }
        });
        let mut past = Self { first, signals: noise.signals, minutes: minutes.collect() };
        past.spike(noise, &mut random);
        past
    }

    fn spike(&mut self, noise: Noise, random: &mut fastrand::Rng) {
        for minute in 0..self.minutes.len() {
            if random.f64() < noise.spikes / DAY_MINUTES as f64 {
                let (until, times) = (minute + random.usize(1..=3), 1.5 + 2.5 * random.f64());
                let end = until.min(self.minutes.len());
                self.minutes[minute..end].iter_mut().for_each(|minute| minute.p99 *= times);
            }
        }
    }

    /// How many slots it has.
    pub(crate) fn slots(&self) -> usize {
        self.minutes.len() / SLOT_MINUTES
    }

    /// What was seen in a slot, when `times` tells how many times as slow each minute was made.
    pub(crate) fn seen(&self, slot: usize, times: impl Fn(usize) -> f64) -> Seen {
        let p99s = self.slot(slot, &times);
        let minutes = &self.minutes[slot * SLOT_MINUTES..][..SLOT_MINUTES];
        let error = minutes.iter().map(|minute| minute.error).sum::<f64>() / SLOT_MINUTES as f64;
        let latest = SLOT_MINUTES - 1;
        Seen {
            p99_seconds: mixed_p99(p99s) * error,
            last_minute_seconds: Some(p99s[latest] * minutes[latest].error),
            signals: self.signals,
        }
    }

    /// The share of a slot's signals that took longer than 80 ms.
    pub(crate) fn slow_share(&self, slot: usize, times: impl Fn(usize) -> f64) -> f64 {
        let p99s = self.slot(slot, &times);
        p99s.iter().map(|p99| 1.0 - share_below(0.080, *p99)).sum::<f64>() / SLOT_MINUTES as f64
    }

    fn slot(&self, slot: usize, times: &impl Fn(usize) -> f64) -> [f64; SLOT_MINUTES] {
        std::array::from_fn(|at| {
            let minute = slot * SLOT_MINUTES + at;
            self.minutes[minute].p99 * times(minute)
        })
    }
}

fn season(noise: Noise, first: Slot, minute: usize) -> f64 {
    let hour = (minute % DAY_MINUTES) as f64 / 60.0;
    let weekday = ((first - MONDAY) / DAY + (minute / DAY_MINUTES) as Slot) % 7;
    let day = 1.0 + noise.day * ((hour - 15.0) / 24.0 * 2.0 * PI).cos();
    let morning = noise.morning * (-0.5 * ((hour - 9.0) / 0.35).powi(2)).exp();
    if weekday < 5 { day * (1.0 + morning) } else { day * (1.0 - noise.weekend) }
}

/// One minute of a wander of deviation 1 that lasts so many minutes.
fn wandered(random: &mut fastrand::Rng, at: f64, lasts_minutes: f64) -> f64 {
    let kept = (-1.0 / lasts_minutes).exp();
    kept * at + (1.0 - kept * kept).sqrt() * normal(random)
}

/// By Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (one, two) = (1.0 - random.f64(), random.f64());
    (-2.0 * one.ln()).sqrt() * (2.0 * PI * two).cos()
}

/// The share of latencies below that, when their P99 is so much.
fn share_below(latency: f64, p99: f64) -> f64 {
    let z = Z99 + (latency / p99).ln() / SIGMA;
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The P99 of latencies that come in equal parts from distributions with these P99s.
fn mixed_p99(p99s: [f64; SLOT_MINUTES]) -> f64 {
    let (mut low, mut high) = p99s.iter().fold((f64::MAX, 0.0_f64), |(low, high), p99| (low.min(*p99), high.max(*p99)));
    while high / low > 1.000_01 {
        let middle = (low * high).sqrt();
        let below = p99s.iter().map(|p99| share_below(middle, *p99)).sum::<f64>() / SLOT_MINUTES as f64;
        if below < 0.99 { low = middle } else { high = middle }
    }
    (low * high).sqrt()
}
