//! How well a node does: a score of 0 to 100, and the weight that it makes.

use std::time::{Duration, Instant};

use super::NodeLoad;

/// A round trip that costs all the points that a round trip can cost.
const RTT_WORST: Duration = Duration::from_millis(200);
/// Points for the round trip, for CPU and memory, for loss.
const POINTS: [f64; 3] = [40.0, 30.0, 30.0];
/// What a loss of one report is worth after so long has fallen to 1/e.
const LOSS_DECAY: Duration = Duration::from_secs(10);
/// A new round trip counts for that much, the ones before for the rest.
const RTT_GAIN: f64 = 0.25;
/// The score that makes the base weight: half of what can be had.
const USUAL_SCORE: f64 = 50.0;
/// Sums of shares are a hair off what they are on paper; a weight must not be one less for that.
const HAIR: f64 = 1e-9;

/// What is known of a node's condition.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// Smoothed; absent: none was measured, which counts as the worst.
    pub rtt: Option<Duration>,
    /// Of its CPU, 0 to 100.
    pub cpu_percent: f64,
    /// Of its memory, 0 to 100.
    pub memory_percent: f64,
    /// Of its packets, 0 to 1, decayed over ten seconds.
    pub loss: f64,
}

/// A score by its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Score {
    /// 0 to 100: a hundred less the points below.
    pub value: f64,
    /// Points that the round trip costs, 0 to 40.
    pub rtt_points: f64,
    /// That CPU and memory cost, 0 to 30.
    pub load_points: f64,
    /// That loss costs, 0 to 30.
    pub loss_points: f64,
}

impl Score {
    /// Of that condition.
    pub fn of(condition: &Condition) -> Self {
        let [rtt_most, load_most, loss_most] = POINTS;
        let rtt = condition.rtt.map_or(1.0, |rtt| rtt.as_secs_f64() / RTT_WORST.as_secs_f64());
        let load = (condition.cpu_percent + condition.memory_percent) / 200.0;
        let rtt_points = rtt_most * rtt.clamp(0.0, 1.0);
        let load_points = load_most * load.clamp(0.0, 1.0);
        let loss_points = loss_most * condition.loss.clamp(0.0, 1.0);
        Self { value: (100.0 - rtt_points - load_points - loss_points).max(0.0), rtt_points, load_points, loss_points }
    }

    /// The weight that it makes of a base: `floor(base x score / 50)`.
    pub fn weight(&self, base: u32) -> u32 {
        (f64::from(base) * self.value / USUAL_SCORE + HAIR).floor() as u32
    }
}

/// A number that old samples count for less and less in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss(Option<(f64, Instant)>);

impl Loss {
    /// The first one counts as it is; each later one by the time that has passed since the one before.
    pub(super) fn take(&mut self, sample: f64, at: Instant) -> f64 {
        let value = match self.0 {
            None => sample,
            Some((before, since)) => {
                let kept = (-at.saturating_duration_since(since).as_secs_f64() / LOSS_DECAY.as_secs_f64()).exp();
                before * kept + sample * (1.0 - kept)
            }
        };
        self.0 = Some((value, at));
        value
    }
}

/// The round trips so far, with one more.
pub(super) fn smoothed(before: Option<Duration>, rtt: Duration) -> Duration {
    before.map_or(rtt, |before| before.mul_f64(1.0 - RTT_GAIN) + rtt.mul_f64(RTT_GAIN))
}

/// A value that no honest node reports: its name, and what it is.
pub(super) fn void(load: &NodeLoad) -> Option<(&'static str, f64)> {
    let NodeLoad { cpu_percent, memory_percent, loss, draining: _ } = *load;
    // NaN is in no range
    [("cpu_percent", cpu_percent, 100.0), ("memory_percent", memory_percent, 100.0), ("loss", loss, 1.0)]
        .into_iter()
        .find(|(_, value, most)| !(0.0..=*most).contains(value))
        .map(|(field, value, _)| (field, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn condition(rtt_ms: u64, cpu: f64, memory: f64, loss: f64) -> Condition {
        Condition { rtt: Some(Duration::from_millis(rtt_ms)), cpu_percent: cpu, memory_percent: memory, loss }
    }

    #[test]
    fn the_scores_and_weights_of_the_design() {
        // 100 - 40 x rtt/200 - 30 x (cpu + memory)/200 - 30 x loss
        for (condition, score, weight) in [
            (condition(20, 10.0, 10.0, 0.5 / 30.0), 92.5, 18),
            (condition(80, 60.0, 40.0, 5.9 / 30.0), 63.1, 12),
            (condition(250, 90.0, 50.0, 7.3 / 30.0), 31.7, 6),
            (condition(0, 0.0, 0.0, 0.0), 100.0, 20),
            (condition(100, 50.0, 50.0, 0.5), 50.0, 10),
            (condition(10_000, 100.0, 100.0, 1.0), 0.0, 0),
        ] {
            let found = Score::of(&condition);
            assert!((found.value - score).abs() < 1e-9, "{found:?}, not {score}");
            assert_eq!(found.weight(10), weight, "{found:?}");
            let points = found.rtt_points + found.load_points + found.loss_points;
            assert!((found.value + points - 100.0).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn a_node_whose_round_trip_nobody_measured_counts_as_far_away() {
        let unmeasured = Condition { rtt: None, ..condition(0, 0.0, 0.0, 0.0) };
        assert!((Score::of(&unmeasured).value - 60.0).abs() < 1e-9);
    }

    #[test]
    fn loss_decays_over_ten_seconds() {
        let (mut loss, start) = (Loss::default(), Instant::now());
        assert_eq!(loss.take(0.5, start), 0.5);
        let after = loss.take(0.0, start + Duration::from_secs(10));
        assert!((after - 0.5 / std::f64::consts::E).abs() < 1e-9, "{after}");
        let mut decayed = after;
        for second in 11..60 {
            decayed = loss.take(0.0, start + Duration::from_secs(second));
        }
        assert!(decayed < 0.004, "{decayed}");
    }

    #[test]
    fn a_liars_report_is_void_and_says_where() {
        let honest = NodeLoad { cpu_percent: 0.0, memory_percent: 100.0, loss: 1.0, draining: false };
        assert_eq!(void(&honest), None);
        assert_eq!(void(&NodeLoad { cpu_percent: -0.1, ..honest }), Some(("cpu_percent", -0.1)));
        assert_eq!(void(&NodeLoad { memory_percent: 1e9, ..honest }), Some(("memory_percent", 1e9)));
        assert_eq!(void(&NodeLoad { loss: 1.1, ..honest }), Some(("loss", 1.1)));
        for liar in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(void(&NodeLoad { loss: liar, ..honest }).map(|(field, _)| field), Some("loss"));
        }
    }

    #[test]
    fn round_trips_are_smoothed_and_the_first_counts_as_it_is() {
        let ms = Duration::from_millis;
        assert_eq!(smoothed(None, ms(40)), ms(40));
        assert_eq!(smoothed(Some(ms(40)), ms(80)), ms(50));
    }

    proptest! {
        #[test]
        fn a_score_is_between_0_and_100_and_never_rises_with_what_is_bad(
            rtt_ms in 0_u64..2_000, cpu in 0.0..100.0_f64, memory in 0.0..100.0_f64, loss in 0.0..1.0_f64,
            base in 1_u32..=1_000,
        ) {
            let score = Score::of(&condition(rtt_ms, cpu, memory, loss));
            prop_assert!((0.0..=100.0).contains(&score.value));
            prop_assert!(score.weight(base) <= 2 * base);
            let worse = [
                condition(rtt_ms + 10, cpu, memory, loss),
                condition(rtt_ms, (cpu + 1.0).min(100.0), memory, loss),
                condition(rtt_ms, cpu, memory, (loss + 0.1).min(1.0)),
            ];
            for condition in worse {
                prop_assert!(Score::of(&condition).value <= score.value);
            }
        }
    }
}
