//! The choice of the media node for a room.

use serde_json::{Value as Json, json};

use super::{LABEL, is_label};
use crate::{
    config::{
        schema::{Given, Setting, section},
        values::{List, Seconds, choice},
    },
    placement::Policy,
};

section! {
    /// The choice of the media node for a room.
    pub struct Placement {
        keys {
            /// How a node is chosen among those of a region: `weighted` (smooth weighted round robin) or `two_choices` (of two
            /// drawn by weight, the one that was given less of late).
            /// In turns: shares are exact, and a heavy node's rooms are spread out.
            policy: PolicyChoice = PolicyChoice::Weighted, (), live;
            /// Where rooms go whose own region has no healthy node: shares of the other regions, as `sh=0.4, sz=0.3, bj=0.3`.
            /// Regions without one are taken last. Empty: each as often as the next.
            region_weights: Vec<RegionWeight> = Vec::new(), List { count: 0..=64, each: () }, live;
            /// So many missed reports in a row take a node out, and so many good ones bring it back.
            /// At a report every two seconds its rooms are on another one within eight.
            missed_reports: u32 = 3, 1..=100, live;
            /// So many failed calls in a row take a node out.
            /// One that is busy answers at least one of three.
            failed_calls: u32 = 3, 1..=1000, live;
            /// How long a node that came back has less than its weight, rising from a tenth.
            /// Long enough to see whether it stays, and for its caches.
            ramp_up_seconds: Seconds = Seconds(30), 0..=3600, live;
            /// Weight of a node that registers without one; at a score of 50 it is the node's weight, at 100 twice that.
            base_weight: u32 = 10, 1..=1000, live;
        }
    }
}

choice! {
    /// How a node is chosen among those of a region.
    pub enum PolicyChoice {
        /// Smooth weighted round robin.
        Weighted = "weighted",
        /// The better one of two.
        TwoChoices = "two_choices",
    }
}

impl PolicyChoice {
    /// As the choice has it.
    pub const fn policy(self) -> Policy {
        match self {
            Self::Weighted => Policy::Weighted,
            Self::TwoChoices => Policy::TwoChoices,
        }
    }
}

/// The share of a region of what spills over.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionWeight {
    /// The region.
    pub region: String,
    /// 0 to 1,000; only how it compares to the others counts.
    pub weight: f64,
}

impl Setting for RegionWeight {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        let (region, weight) = given.value.as_str()?.split_once('=')?;
        let (region, weight) = (region.trim(), weight.trim().parse::<f64>().ok()?);
        let allowed = is_label(region) && (0.0..=1_000.0).contains(&weight);
        allowed.then(|| Self { region: region.to_owned(), weight })
    }

    fn shown(&self) -> Json {
        json!(format!("{}={}", self.region, self.weight))
    }

    fn allowed((): &()) -> String {
        format!("REGION=WEIGHT, a region ({}) and a number of 0 to 1000", LABEL.allowed)
    }
}
