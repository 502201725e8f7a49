//! What changed from one profile to another, as a table.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::show::{percent, printed, table};
use crate::profiler::{
    profile::Profile,
    views::{self, Change, cleaned},
};

/// Of what shrank, so many rows are shown below what grew.
const SHRUNK_ROWS: usize = 5;
/// Changes below a tenth of a point are noise to the eye.
const SHOWN_SHARE_MIN: f64 = 0.001;

/// As the router tells it, and as we tell it of files.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Changed {
    pub(super) base: Summary,
    pub(super) target: Summary,
    pub(super) changes: Vec<Change>,
}

/// One of both.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Summary {
    /// The beginning.
    #[serde(default)]
    pub(super) started_unix_ms: u64,
    /// The length.
    #[serde(default)]
    pub(super) seconds: f64,
    /// How many.
    #[serde(default)]
    pub(super) samples: u64,
}

impl Changed {
    pub(super) fn of(base: &Profile, target: &Profile) -> Self {
        let changes = views::changes(base, target, usize::MAX);
        Self { base: Summary::of(base), target: Summary::of(target), changes }
    }

    pub(super) fn as_json(&self, lines: usize) -> Value {
        let changes: Vec<_> = self.changes.iter().take(lines).collect();
        json!({ "base": self.base, "target": self.target, "changes": changes })
    }

    /// What grew, the most first, then what shrank most.
    pub(super) fn as_text(&self, names: (&str, &str), lines: usize) -> String {
        let head = format!("base    {}\ntarget  {}\n", self.base.told(names.0), self.target.told(names.1));
        if let Some((name, _)) =
            [(names.0, &self.base), (names.1, &self.target)].into_iter().find(|(_, one)| one.samples == 0)
        {
            return format!("{head}\nno samples in {name}: nothing to compare");
        }
        let visible = |change: &&Change| change.growth().abs() >= SHOWN_SHARE_MIN;
        let grew = self.changes.iter().filter(visible).filter(|change| change.growth() > 0.0).take(lines);
        let mut shrank: Vec<_> = self.changes.iter().filter(visible).filter(|change| change.growth() < 0.0).collect();
        shrank.sort_by(|a, b| a.growth().total_cmp(&b.growth()));
        let mut table = table(["GROWTH", "BASE", "TARGET", "FUNCTION"], 3);
        for change in grew.chain(shrank.into_iter().take(SHRUNK_ROWS.min(lines))) {
            let growth = format!("{:+.1}", change.growth() * 100.0);
            // names of a router, or of a file, are a stranger's
            let name = cleaned(&change.name);
            table.add_row([growth, percent(change.base_share), percent(change.target_share), name]);
        }
        if table.row_count() == 0 {
            return format!("{head}\nno function's share changed by a tenth of a point");
        }
        format!("{head}\n{}", printed(&table))
    }
}

impl Summary {
    fn of(profile: &Profile) -> Self {
        Self {
            started_unix_ms: profile.started.as_millis() as u64,
            seconds: profile.length.as_secs_f64(),
            samples: profile.count(),
        }
    }

    fn told(&self, name: &str) -> String {
        let samples = if self.samples == 1 { "sample" } else { "samples" };
        format!("{name}: {} {samples} in {:.0} s", self.samples, self.seconds)
    }
}
