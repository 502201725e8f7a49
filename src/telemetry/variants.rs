//! Variants: how many sessions each has, what rules gave it to whom, and how well each is served.
//!
//! A name has its place from when it is first told for as long as the process lives, so that what was counted under a name
//! stays under it whatever becomes of the rules.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use super::{
    Counts, Telemetry,
    catalog::{OTHER, VARIANTS_MAX},
    observe::trace_id,
    recorder::Series,
    views::millis,
};
use crate::{
    event::{AssignedBy, Labels, Origin, Outcome, RuleInForce, Varied},
    ids::Variant,
    protocol::Code,
};

/// With the place of all that find none of their own.
pub(super) const PLACES: usize = VARIANTS_MAX + 1;
/// The place of those.
const OTHER_PLACE: usize = VARIANTS_MAX;
/// Outcomes that are errors of whoever serves the variant or of its clients; a shed is neither.
const ERRORS: [Outcome; 2] = [Outcome::Refused(Code::Internal), Outcome::Refused(Code::DeadlineExceeded)];

/// See the module.
#[derive(Debug)]
pub(super) struct Variants(Mutex<Told>);

/// What has been told.
#[derive(Debug)]
struct Told {
    /// By place; the default is always the first.
    names: Vec<Variant>,
    sessions: [i64; PLACES],
    assigned: [[u64; AssignedBy::ALL.len()]; PLACES],
    /// What is in force.
    offered: Vec<Variant>,
    rules: Vec<Standing>,
    /// Since when.
    since: Option<Instant>,
}

/// A rule that is in force, and what it has done since.
#[derive(Debug)]
struct Standing {
    rule: RuleInForce,
    /// Connections that were held against it,
    asked: u64,
    /// and those that it fitted.
    fitted: u64,
}

impl Default for Variants {
    fn default() -> Self {
        Self(Mutex::new(Told {
            names: vec![Variant::default()],
            sessions: [0; PLACES],
            assigned: [[0; AssignedBy::ALL.len()]; PLACES],
            offered: vec![Variant::default()],
            rules: Vec::new(),
            since: None,
        }))
    }
}

impl Variants {
    fn told(&self) -> MutexGuard<'_, Told> {
        // each change is whole before anything can panic
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn place(&mut self, name: &Variant) -> usize {
        if let Some(place) = self.names.iter().position(|known| known == name) {
            return place;
        }
        if self.names.len() == VARIANTS_MAX {
            return OTHER_PLACE;
        }
        self.names.push(name.clone());
        self.names.len() - 1
    }

    /// The names that have a place, and `other` once somebody had none.
    fn shown(&self) -> Vec<(usize, String)> {
        let others = self.sessions[OTHER_PLACE] != 0 || self.assigned[OTHER_PLACE].iter().any(|count| *count > 0);
        let named = self.names.iter().enumerate().map(|(place, name)| (place, name.to_string()));
        named.chain(others.then(|| (OTHER_PLACE, OTHER.to_owned()))).collect()
    }
}

/// What is counted of one variant, for the exposition.
pub(super) struct VariantCounts {
    pub(super) name: String,
    pub(super) sessions: i64,
    /// In the order of [`AssignedBy::ALL`].
    pub(super) assigned: [u64; AssignedBy::ALL.len()],
}

/// The variants as an operator is shown them.
#[derive(Clone, Debug, Serialize)]
pub struct VariantsReport {
    /// How long the rules have been in force, seconds.
    pub in_force_seconds: f64,
    /// In the order in which they are asked.
    pub rules: Vec<RuleRow>,
    /// The default first.
    pub variants: Vec<VariantRow>,
}

/// A rule, and what it has done since it is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleRow {
    /// Its name.
    pub rule: String,
    /// Where it sends whom it fits.
    pub variant: String,
    /// Of a rule by percent, the share that it is to get.
    pub wanted_percent: Option<f64>,
    /// Connections that were held against it: those that no earlier rule fitted.
    pub asked: u64,
    /// Those that it fitted.
    pub fitted: u64,
    /// The share that it got; absent: nobody was held against it.
    pub got_percent: Option<f64>,
}

/// A variant, and how its sessions are served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantRow {
    /// Its name.
    pub variant: String,
    /// Whether a configuration that is in force names it.
    pub in_force: bool,
    /// Sessions now, lingering ones included.
    pub sessions: i64,
    /// Their share of all.
    pub sessions_percent: f64,
    /// Signals of the last minute that ended.
    pub signals: u64,
    /// P99 of those with the outcomes ok and expired, milliseconds; absent: there are none.
    pub p99_ms: Option<f64>,
    /// The share with the outcomes error and expired.
    pub errors_percent: f64,
}

impl Telemetry {
    pub(super) fn varied(&self, varied: &Varied, origin: &Origin<'_>, at: Instant) {
        match varied {
            Varied::InForce { names, rules } => self.rules_in_force(names, rules, at),
            Varied::Assigned { variant, by, rule } => {
                let mut told = self.variants.told();
                let place = told.place(variant);
                told.assigned[place][*by as usize] += 1;
                let fitted = told.rules.iter().position(|standing| Some(&standing.rule.name) == rule.as_ref());
                let asked = fitted.map_or(told.rules.len(), |at| at + 1);
                // of rules that are no longer in force nothing is counted
                if fitted.is_some() || rule.is_none() {
                    told.rules[..asked].iter_mut().for_each(|standing| standing.asked += 1);
                }
                if let Some(at) = fitted {
                    told.rules[at].fitted += 1;
                }
                drop(told);
                let (variant, by, rule) = (variant.as_str(), by.name(), rule.as_deref());
                debug!(target: "signalbox", variant, by, rule, trace_id = trace_id(origin), "variant assigned");
            }
        }
    }

    fn rules_in_force(&self, names: &[Variant], rules: &[RuleInForce], at: Instant) {
        let mut told = self.variants.told();
        let others: Vec<&str> =
            names.iter().filter(|name| told.place(name) == OTHER_PLACE).map(Variant::as_str).collect();
        let others = others.join(", ");
        told.offered = names.to_vec();
        told.rules = rules.iter().map(|rule| Standing { rule: rule.clone(), asked: 0, fitted: 0 }).collect();
        told.since = Some(at);
        drop(told);
        if names.len() > 1 || !rules.is_empty() {
            let (variants, rules) = (list(names.iter().map(Variant::as_str)), list(rules.iter().map(|r| &*r.name)));
            let counted_as_other = (!others.is_empty()).then_some(others);
            info!(target: "signalbox", variants, rules, counted_as_other, "variants in force");
        }
    }

    /// The number of a variant for the labels of its clients.
    pub fn variant(&self, name: &Variant) -> u8 {
        self.variants.told().place(name) as u8
    }

    pub(super) fn variant_name(&self, place: u8) -> String {
        let told = self.variants.told();
        told.names.get(usize::from(place)).map_or_else(|| OTHER.to_owned(), ToString::to_string)
    }

    pub(super) fn session_counted(&self, labels: Labels, by: i64) {
        self.variants.told().sessions[usize::from(labels.variant).min(OTHER_PLACE)] += by;
    }

    /// Of every name that has a place.
    pub(super) fn variant_counts(&self) -> Vec<VariantCounts> {
        let told = self.variants.told();
        let counts = |(place, name): (usize, String)| VariantCounts {
            name,
            sessions: told.sessions[place],
            assigned: told.assigned[place],
        };
        told.shown().into_iter().map(counts).collect()
    }

    /// Rules by percent that are in force: name, variant, share between 0 and 1.
    pub(super) fn shares(&self) -> Vec<(Arc<str>, Variant, f64)> {
        let told = self.variants.told();
        let share = |standing: &Standing| {
            let RuleInForce { name, variant, share } = &standing.rule;
            share.map(|share| (name.clone(), variant.clone(), f64::from(share) / 1e4))
        };
        told.rules.iter().filter_map(share).collect()
    }

    /// The variants that there are, and how they do.
    pub fn variants_report(&self, at: Instant) -> VariantsReport {
        let served = self.served();
        let told = self.variants.told();
        let all: i64 = told.sessions.iter().sum();
        let row = |(place, variant): (usize, String)| {
            let Served { promised, errors, signals } = &served[place];
            let sessions = told.sessions[place];
            VariantRow {
                in_force: told.offered.iter().any(|name| name.as_str() == variant),
                variant,
                sessions,
                sessions_percent: percent(sessions as f64, all as f64).unwrap_or_default(),
                signals: *signals,
                p99_ms: promised.quantile(0.99).map(millis),
                errors_percent: percent(*errors as f64, *signals as f64).unwrap_or_default(),
            }
        };
        let since = told.since.map_or(Duration::ZERO, |since| at.saturating_duration_since(since));
        VariantsReport {
            in_force_seconds: since.as_secs_f64(),
            rules: told.rules.iter().map(RuleRow::of).collect(),
            variants: told.shown().into_iter().map(row).collect(),
        }
    }

    /// The last minute of each place.
    fn served(&self) -> [Served; PLACES] {
        let mut served: [Served; PLACES] = std::array::from_fn(|_| Served::default());
        let drained = self.drained();
        for (series, aggregate) in drained.latency.series() {
            let Series::Variant { variant, outcome } = series else { continue };
            let (of, counts) = (&mut served[usize::from(variant).min(OTHER_PLACE)], aggregate.recent.sum());
            of.signals += counts.total();
            if Outcome::PROMISED[usize::from(outcome)] {
                of.promised.add(counts);
            }
            if ERRORS.iter().any(|error| error.place() == usize::from(outcome)) {
                of.errors += counts.total();
            }
        }
        served
    }
}

/// The last minute of a variant.
#[derive(Debug, Default)]
struct Served {
    promised: Counts,
    errors: u64,
    signals: u64,
}

impl RuleRow {
    fn of(Standing { rule, asked, fitted }: &Standing) -> Self {
        Self {
            rule: rule.name.to_string(),
            variant: rule.variant.to_string(),
            wanted_percent: rule.share.map(|share| f64::from(share) / 100.0),
            asked: *asked,
            fitted: *fitted,
            got_percent: percent(*fitted as f64, *asked as f64),
        }
    }
}

/// To a hundredth; absent: of nothing.
fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole * 1e4).round() / 100.0)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
