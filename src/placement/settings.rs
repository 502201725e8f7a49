//! What the choice needs to know of its surroundings; filled from config.

use std::{collections::BTreeMap, time::Duration};

use crate::ids::Region;

/// How a node is chosen among those of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Smooth weighted round robin.
    Weighted,
    /// The one of two that was given less for its weight.
    TwoChoices,
}

impl Policy {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weighted => "weighted",
            Self::TwoChoices => "two_choices",
        }
    }
}

/// What the choice needs to know of its surroundings; from config.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How a node is chosen among those of a region.
    pub policy: Policy,
    /// Where rooms of a region without a node go: the shares of the others. Empty: each as often as the next.
    pub region_weights: BTreeMap<Region, f64>,
    /// How often nodes report.
    pub report_every: Duration,
    /// So many missed in a row take a node out; 1 and more.
    pub missed_reports: u32,
    /// So many failed calls in a row take a node out; 1 and more.
    pub failed_calls: u32,
    /// How long a node that came back has less than its weight.
    pub ramp_up: Duration,
    /// Of a node that says none.
    pub base_weight: u32,
}

impl Settings {
    /// Over what time a router's own assignments count against a node: the age of a report, and of the one before.
    pub(super) fn between_reports(&self) -> Duration {
        self.report_every * 2
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::Weighted,
            region_weights: BTreeMap::new(),
            report_every: Duration::from_secs(2),
            missed_reports: 3,
            failed_calls: 3,
            ramp_up: Duration::from_secs(30),
            base_weight: 10,
        }
    }
}
