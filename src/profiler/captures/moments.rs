//! How the router was in each ten seconds of the last hour, and in what a bad time differs from a quiet one.
//!
//! Told by whoever reads counters and gauges; knows neither them nor any clock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The length of a step.
pub const STEP: Duration = Duration::from_secs(10);
/// Steps that are kept: the quiet hour before a capture ends a minute before its window, which is minutes long itself.
pub const MOMENTS_MAX: usize = 400;
/// Outcomes of signals that are told apart; there are five.
const OUTCOMES_MAX: usize = 8;

/// One step. Rates are of the ten seconds before its end, all else is as it stood then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// The end of the step, Unix milliseconds.
    pub unix_ms: u64,
    /// Sessions, lingering ones included.
    pub sessions: u64,
    /// Rooms.
    pub rooms: u64,
    /// Participants, lingering and hidden ones included.
    pub participants: u64,
    /// Signals a second that ended, by outcome: `ok`, `error`, `shed`, `expired`, `gone`.
    pub signals_per_second: BTreeMap<String, f64>,
    /// Pushes a second that were handed to sockets.
    pub deliveries_per_second: f64,
    /// Refusals on purpose, a second.
    pub sheds_per_second: f64,
    /// The share of time that workers ran tasks, 0 to 1: the mean of all workers,
    pub worker_busy_mean: f64,
    /// and the busiest one.
    pub worker_busy_max: f64,
    /// Tasks in the queue that all workers share.
    pub global_queue_depth: u64,
    /// Inputs that waited for the shard that had most.
    pub inbox_depth_max: u64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Threads.
    pub threads: u64,
    /// Workers that were found stalled within the step.
    pub stalls: u64,
}

/// The steps of the last hour and a little more, oldest first.
#[derive(Debug, Default)]
pub struct Moments(VecDeque<Moment>);

impl Moments {
    /// Takes the next step; past [`MOMENTS_MAX`] the oldest goes. What is not a number counts as 0.
    pub fn push(&mut self, mut moment: Moment) {
        let rates = [&mut moment.deliveries_per_second, &mut moment.sheds_per_second];
        let ratios = [&mut moment.worker_busy_mean, &mut moment.worker_busy_max];
        let all = rates.into_iter().chain(ratios).chain(moment.signals_per_second.values_mut());
        all.filter(|figure| !figure.is_finite()).for_each(|figure| *figure = 0.0);
        while moment.signals_per_second.len() > OUTCOMES_MAX {
            moment.signals_per_second.pop_last();
        }
        if self.0.len() >= MOMENTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(moment);
    }

    /// The steps that end after the first of two moments since the Unix epoch, up to the second.
    pub fn window(&self, from: Duration, until: Duration) -> Vec<Moment> {
        let within = |moment: &&Moment| {
            let end = Duration::from_millis(moment.unix_ms);
            end > from && end <= until
        };
        self.0.iter().filter(within).cloned().collect()
    }
}

/// A figure of the runtime, in a quiet time and in a bad one: means over their steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// For people.
    pub name: String,
    /// `1/s`, `bytes`, `%`; empty: a number of things.
    pub unit: String,
    /// In the quiet time.
    pub quiet: f64,
    /// In the bad one.
    pub bad: f64,
    /// How many times as much it became; absent: there was none before.
    pub ratio: Option<f64>,
}

/// One figure of a step.
struct Figure {
    name: &'static str,
    unit: &'static str,
    /// What is no difference worth looking at: as much is added to both sides before they are compared.
    floor: f64,
    of: fn(&Moment) -> f64,
}

/// All but the signals, whose outcomes are told.
const FIGURES: [Figure; 13] = [
    Figure { name: "sessions", unit: "", floor: 20.0, of: |m| m.sessions as f64 },
    Figure { name: "rooms", unit: "", floor: 20.0, of: |m| m.rooms as f64 },
    Figure { name: "participants", unit: "", floor: 20.0, of: |m| m.participants as f64 },
    Figure { name: "deliveries", unit: "1/s", floor: 10.0, of: |m| m.deliveries_per_second },
    Figure { name: "sheds", unit: "1/s", floor: 0.1, of: |m| m.sheds_per_second },
    Figure { name: "workers busy, mean", unit: "%", floor: 5.0, of: |m| 100.0 * m.worker_busy_mean },
    Figure { name: "workers busy, busiest", unit: "%", floor: 5.0, of: |m| 100.0 * m.worker_busy_max },
    Figure { name: "tasks in the shared queue", unit: "", floor: 5.0, of: |m| m.global_queue_depth as f64 },
    Figure { name: "inputs waiting for the fullest shard", unit: "", floor: 5.0, of: |m| m.inbox_depth_max as f64 },
    Figure { name: "resident memory", unit: "bytes", floor: 8_388_608.0, of: |m| m.resident_bytes as f64 },
    Figure { name: "open file descriptors", unit: "", floor: 20.0, of: |m| m.open_fds as f64 },
    Figure { name: "threads", unit: "", floor: 2.0, of: |m| m.threads as f64 },
    Figure { name: "stalled workers a step", unit: "", floor: 0.02, of: |m| m.stalls as f64 },
];

/// Of signals, a second.
const SIGNALS_FLOOR: f64 = 1.0;

/// What was different, the most different first; nothing when one of the times has no step.
pub fn compare(quiet: &[Moment], bad: &[Moment]) -> Vec<Difference> {
    if quiet.is_empty() || bad.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<(f64, Difference)> = FIGURES
        .iter()
        .map(|figure| {
            difference(figure.name, figure.unit, figure.floor, (mean(quiet, figure.of), mean(bad, figure.of)))
        })
        .collect();
    let mut outcomes: Vec<&String> =
        quiet.iter().chain(bad).flat_map(|moment| moment.signals_per_second.keys()).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    for outcome in outcomes {
        let rate = |moment: &Moment| moment.signals_per_second.get(outcome).copied().unwrap_or(0.0);
        let means = (mean(quiet, rate), mean(bad, rate));
        found.push(difference(&format!("signals, {outcome}"), "1/s", SIGNALS_FLOOR, means));
    }
    // stable: what is equally different stays in the order of the list
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    found.into_iter().map(|(_, difference)| difference).collect()
}

fn mean(moments: &[Moment], of: impl Fn(&Moment) -> f64) -> f64 {
    moments.iter().map(of).sum::<f64>() / moments.len() as f64
}

/// And how different it is: how many times as much or as little, on a scale that has no end on either side.
fn difference(name: &str, unit: &str, floor: f64, (quiet, bad): (f64, f64)) -> (f64, Difference) {
    let distance = ((bad.max(0.0) + floor) / (quiet.max(0.0) + floor)).ln().abs();
    let ratio = (quiet > 0.0).then(|| bad / quiet);
    (distance, Difference { name: name.to_owned(), unit: unit.to_owned(), quiet, bad, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(step: u64) -> Moment {
        Moment { unix_ms: step * 10_000, sessions: 1_000, ..Moment::default() }
    }

    fn of<'a>(differences: &'a [Difference], name: &str) -> &'a Difference {
        differences.iter().find(|difference| difference.name == name).unwrap()
    }

    #[test]
    fn a_window_has_the_steps_that_end_in_it() {
        let mut moments = Moments::default();
        (1..=20).for_each(|step| moments.push(moment(step)));
        let seconds = Duration::from_secs;
        let steps = |from, until| -> Vec<_> {
            moments.window(seconds(from), seconds(until)).iter().map(|moment| moment.unix_ms / 10_000).collect()
        };
        assert_eq!(steps(50, 80), [6, 7, 8]);
        assert_eq!(steps(51, 79), [6, 7]);
        assert_eq!(steps(190, 900), [20]);
        assert!(steps(200, 900).is_empty() && steps(80, 50).is_empty());
    }

    #[test]
    fn the_oldest_step_goes_and_what_is_not_a_number_is_nothing() {
        let mut moments = Moments::default();
        for step in 0..=MOMENTS_MAX as u64 {
            let signals_per_second = (0..99).map(|n| (n.to_string(), f64::NAN)).collect();
            moments.push(Moment { worker_busy_mean: f64::INFINITY, signals_per_second, ..moment(step) });
        }
        assert_eq!((moments.0.len(), moments.0[0].unix_ms), (MOMENTS_MAX, 10_000));
        let kept = &moments.0[0];
        assert_eq!((kept.worker_busy_mean, kept.signals_per_second.len()), (0.0, OUTCOMES_MAX));
        assert!(kept.signals_per_second.values().all(|rate| *rate == 0.0));
    }

    #[test]
    fn the_most_different_is_first_and_nothing_before_is_no_division_by_zero() {
        let quiet: Vec<_> = (0..360).map(moment).collect();
        let bad: Vec<_> = (0..6)
            .map(|step| Moment {
                sessions: 1_300,
                inbox_depth_max: 700,
                worker_busy_max: 0.99,
                signals_per_second: BTreeMap::from([("shed".to_owned(), 12.0)]),
                ..moment(step)
            })
            .collect();
        let found = compare(&quiet, &bad);
        let first: Vec<_> = found.iter().take(4).map(|difference| difference.name.as_str()).collect();
        assert_eq!(
            first,
            ["inputs waiting for the fullest shard", "workers busy, busiest", "signals, shed", "sessions"]
        );
        assert_eq!(of(&found, "sessions").ratio, Some(1.3));
        let shed = of(&found, "signals, shed");
        assert_eq!((shed.quiet, shed.bad, shed.ratio), (0.0, 12.0, None));
        assert_eq!(found.len(), FIGURES.len() + 1);
    }

    #[test]
    fn what_became_less_is_as_different_as_what_became_more() {
        let (high, low) = (Moment { deliveries_per_second: 9e4, ..moment(1) }, moment(1));
        for (quiet, bad) in [(&high, &low), (&low, &high)] {
            let found = compare(std::slice::from_ref(quiet), std::slice::from_ref(bad));
            assert_eq!(found[0].name, "deliveries");
        }
        assert_eq!(compare(std::slice::from_ref(&high), std::slice::from_ref(&low))[0].ratio, Some(0.0));
    }

    #[test]
    fn small_noise_near_nothing_is_not_what_was_different() {
        let quiet = Moment { sheds_per_second: 0.0, global_queue_depth: 0, threads: 12, ..moment(1) };
        let bad = Moment { sheds_per_second: 0.01, global_queue_depth: 1, threads: 12, sessions: 1_400, ..moment(1) };
        assert_eq!(compare(&[quiet], &[bad])[0].name, "sessions");
    }

    #[test]
    fn without_a_quiet_time_there_is_no_difference() {
        assert_eq!(compare(&[], &[moment(1)]), []);
        assert_eq!(compare(&[moment(1)], &[]), []);
    }

    #[test]
    fn a_moment_reads_back_also_from_a_version_that_had_fewer_figures() {
        let told = Moment { signals_per_second: BTreeMap::from([("ok".to_owned(), 1.5)]), ..moment(7) };
        let text = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), told);
        assert_eq!(serde_json::from_str::<Moment>(r#"{"unix_ms":70000,"sessions":1000}"#).unwrap(), moment(7));
    }
}
