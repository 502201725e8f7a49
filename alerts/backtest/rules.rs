//! The rules that are judged: the baseline as it runs in the process, and the plain one beside it.

use std::collections::{BTreeMap, VecDeque};

use signalbox::{
    protocol::OpKind,
    telemetry::baseline::{Baseline, OpRegion, Seen, Slot, WEEK},
};

/// What is judged: told of one slot after the other, it answers whether it fires.
pub(crate) trait Rule: Clone {
    fn fires(&mut self, slot: Slot, seen: Seen) -> bool;
}

/// The baseline, of one series.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) baseline: Baseline,
    pair: OpRegion,
}

impl Default for Ours {
    fn default() -> Self {
        Self { baseline: Baseline::default(), pair: OpRegion { op: OpKind::Join, region: "sh".to_owned() } }
    }
}

impl Ours {
    /// The last day by that of a week before.
    pub(crate) fn drift(&self) -> Option<f64> {
        self.baseline.standing(&self.pair)?.drift
    }
}

impl Rule for Ours {
    fn fires(&mut self, slot: Slot, seen: Seen) -> bool {
        self.baseline.take(slot, &BTreeMap::from([(self.pair.clone(), seen)]));
        self.baseline.standing(&self.pair).is_some_and(|standing| standing.above_since.is_some())
    }
}

/// Mean + 2 deviations of all points of seven days, for 5 minutes; from a day of them on, like ours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    points: VecDeque<f64>,
    sum: f64,
    squares: f64,
    above: u32,
}

impl Rule for Plain {
    fn fires(&mut self, _slot: Slot, Seen { p99_seconds, .. }: Seen) -> bool {
        self.points.push_back(p99_seconds);
        self.sum += p99_seconds;
        self.squares += p99_seconds * p99_seconds;
        if self.points.len() > WEEK as usize {
            let leaving = self.points.pop_front().unwrap_or_default();
            self.sum -= leaving;
            self.squares -= leaving * leaving;
        }
        let count = self.points.len() as f64;
        let mean = self.sum / count;
        let deviation = (self.squares / count - mean * mean).max(0.0).sqrt();
        let above = self.points.len() >= 288 && p99_seconds > mean + 2.0 * deviation;
        self.above = if above { self.above + 1 } else { 0 };
        self.above >= 2
    }
}
