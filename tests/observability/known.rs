//! Which series there are: the catalogue's, those that rules record, and some of others'.

use std::collections::{BTreeMap, BTreeSet};

use signalbox::telemetry::catalog::{self, EDGES_US, Kind, Metric, Shown, Values};

use crate::{
    Complaint,
    expressions::{self, Labels, Series, names},
    shipped::{By, Shipped},
};

/// Labels of a scrape target.
const OF_TARGETS: [&str; 4] = ["cluster", "domain", "instance", "job"];
/// What every rule records beside what its name says.
const RECORDED_BY: [&str; 2] = ["cluster", "domain"];
/// Series that are not ours, by how their names begin: of Prometheus about its scrapes and alerts, and what it and
/// Alertmanager tell of themselves.
const OTHERS: [&str; 5] = ["up", "scrape_", "ALERTS", "prometheus_", "alertmanager_"];

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    metrics: BTreeMap<String, Metric>,
    recorded: BTreeMap<String, BTreeSet<String>>,
    /// Labels that rules make.
    made: BTreeSet<String>,
}

impl Known {
    /// What a router exposes.
    pub(crate) fn catalogue() -> Self {
        Self::of(catalog::ALL)
    }

    /// What a router with these would expose.
    pub(crate) fn of(metrics: &[Metric]) -> Self {
        let metrics = metrics.iter().map(|metric| (metric.name.to_owned(), *metric)).collect();
        Self { metrics, recorded: BTreeMap::new(), made: BTreeSet::new() }
    }

    /// With what the rules record.
    pub(crate) fn with_recorded(mut self, shipped: &Shipped) -> Self {
        let records = shipped.asked.iter().filter(|asked| matches!(asked.by, By::Record(_)));
        self.made = records.filter_map(|asked| asked.expression.as_ref().ok()).flat_map(expressions::made).collect();
        for asked in &shipped.asked {
            if let By::Record(name) = &asked.by {
                let told = told_by(name, &self.label_names()).unwrap_or_default();
                self.recorded.insert(name.clone(), told);
            }
        }
        self
    }

    fn label_names(&self) -> BTreeSet<&str> {
        let labels = self.metrics.values().flat_map(|metric| metric.labels).map(|label| label.name);
        labels.chain(RECORDED_BY).chain(self.made.iter().map(String::as_str)).collect()
    }

    /// Everything that is asked for and does not exist, and everything that is recorded under a name that does not say
    /// what it is by.
    pub(crate) fn complaints(&self, shipped: &Shipped) -> Vec<Complaint> {
        let mut complaints = Vec::new();
        for asked in &shipped.asked {
            let mut wrong = Vec::new();
            match &asked.expression {
                Ok(expression) => {
                    let labels = expressions::labels(expression, self, &mut wrong);
                    if let By::Record(name) = &asked.by {
                        wrong.extend(self.misnamed(name, labels));
                    }
                }
                Err(what) => wrong.push(what.clone()),
            }
            complaints.extend(wrong.into_iter().map(|what| Complaint::new(&asked.place, what)));
        }
        complaints.sort();
        complaints.dedup();
        complaints
    }

    fn misnamed(&self, name: &str, labels: Labels) -> Option<String> {
        let Some(told) = told_by(name, &self.label_names()) else {
            return Some("its name does not begin with labels and a colon".to_owned());
        };
        let has = labels?;
        (has != told).then(|| format!("its name tells of {told:?}, and it has {has:?}"))
    }

    /// The metric that a scraped series belongs to.
    fn metric(&self, series: &str) -> Option<(&Metric, bool)> {
        if let Some(metric) = self.metrics.get(series) {
            return (metric.kind != Kind::Histogram).then_some((metric, false));
        }
        let of = |ending: &str| {
            let metric = self.metrics.get(series.strip_suffix(ending)?)?;
            (metric.kind == Kind::Histogram).then_some(metric)
        };
        of("_bucket").map(|metric| (metric, true)).or_else(|| Some((of("_count").or_else(|| of("_sum"))?, false)))
    }
}

impl Series for Known {
    fn labels(&self, name: &str) -> Result<Labels, String> {
        if let Some(labels) = self.recorded.get(name) {
            return Ok(Some(labels.clone()));
        }
        if let Some((metric, buckets)) = self.metric(name) {
            let own = metric.labels.iter().map(|label| label.name).chain(buckets.then_some("le"));
            return Ok(Some(own.chain(OF_TARGETS).map(str::to_owned).collect()));
        }
        let ours = name.starts_with("signalbox_") || name.contains(':');
        if !ours && OTHERS.iter().any(|begins| name.starts_with(begins)) {
            return Ok(None);
        }
        Err(format!("{name} is neither in the catalogue nor recorded"))
    }

    fn value(&self, name: &str, label: &str, value: &str) -> Option<String> {
        let (metric, buckets) = self.metric(name)?;
        if buckets && label == "le" {
            let edge = value.parse::<f64>().map(|seconds| (seconds * 1e6).round());
            let known = value == "+Inf" || edge.is_ok_and(|us| EDGES_US.iter().any(|edge| *edge as f64 == us));
            return (!known).then(|| format!("{name} has no bucket that ends at {value}"));
        }
        let label = metric.labels.iter().find(|known| known.name == label)?;
        let Values::Closed(values) = label.values else { return None };
        // a variable of Grafana's, or a label of the alert that asks
        let filled_in = value.contains('$') || value == "x";
        let unknown = !filled_in && !values.contains(&value);
        unknown.then(|| format!("{name} has no {}={value:?}; there are {}", label.name, values.join(", ")))
    }
}

/// The labels that the name of a recorded series tells of, cluster and domain always; absent: it tells of none.
fn told_by(name: &str, label_names: &BTreeSet<&str>) -> Option<BTreeSet<String>> {
    let (prefix, _) = name.split_once(':')?;
    let mut told: BTreeSet<String> = RECORDED_BY.iter().map(|&label| label.to_owned()).collect();
    let mut rest = prefix;
    while !rest.is_empty() {
        let fitting = label_names
            .iter()
            .filter(|label| rest.strip_prefix(**label).is_some_and(|after| after.is_empty() || after.starts_with('_')));
        let longest = fitting.max_by_key(|label| label.len())?;
        told.insert((*longest).to_owned());
        rest = rest[longest.len()..].trim_start_matches('_');
    }
    Some(told)
}

/// The name in the catalogue.
fn family<'a>(known: &'a Known, series: &str) -> Option<&'a str> {
    known.metric(series).map(|(metric, _)| metric.name)
}

/// Metrics of the catalogue by who looks at them, through recorded series too.
fn lookers(shipped: &Shipped) -> BTreeMap<String, BTreeSet<By>> {
    let known = Known::catalogue();
    let reads = shipped.asked.iter().filter_map(|asked| Some((&asked.by, names(asked.expression.as_ref().ok()?))));
    let mut readers = BTreeMap::<String, BTreeSet<By>>::new();
    for (by, names) in reads {
        for name in names {
            let name = family(&known, &name).map_or(name.clone(), str::to_owned);
            readers.entry(name).or_default().insert(by.clone());
        }
    }
    // who reads what is recorded reads what it is made of; as often as one is made of another
    loop {
        let mut more = Vec::new();
        for (name, by) in &readers {
            for record in by {
                let By::Record(record) = record else { continue };
                let indirect = readers.get(record).into_iter().flatten().filter(|reader| !by.contains(reader));
                more.extend(indirect.map(|reader| (name.clone(), reader.clone())));
            }
        }
        if more.is_empty() {
            return readers;
        }
        for (name, reader) in more {
            readers.entry(name).or_default().insert(reader);
        }
    }
}

/// The board that the catalogue means; absent: none is needed.
fn board(shown: Shown) -> Option<&'static str> {
    match shown {
        Shown::Overview => Some("signalbox-overview"),
        Shown::Latency => Some("signalbox-latency"),
        Shown::Sessions => Some("signalbox-sessions"),
        Shown::Dependencies => Some("signalbox-dependencies"),
        Shown::Runtime => Some("signalbox-runtime"),
        Shown::Guard => Some("signalbox-guard"),
        Shown::Variants => Some("signalbox-variants"),
        Shown::Media => Some("signalbox-media"),
        Shown::Placement => Some("signalbox-placement"),
        Shown::Observers => Some("signalbox-observers"),
        Shown::Alert | Shown::Debug => None,
    }
}

/// Metrics that are not where the catalogue says.
pub(crate) fn unseen(shipped: &Shipped) -> Vec<Complaint> {
    let lookers = lookers(shipped);
    let nobody = BTreeSet::new();
    let mut complaints = Vec::new();
    for metric in catalog::ALL {
        let by = lookers.get(metric.name).unwrap_or(&nobody);
        let seen = match metric.shown {
            Shown::Debug => true,
            Shown::Alert => by.iter().any(|by| matches!(by, By::Alert(_))),
            shown => board(shown).is_some_and(|uid| by.contains(&By::Board(uid.to_owned()))),
        };
        if !seen {
            let where_else: Vec<_> = by.iter().filter(|by| !matches!(by, By::Record(_))).collect();
            let what = format!("the catalogue says `{}`, and it is seen by {where_else:?}", metric.shown.name());
            complaints.push(Complaint::new(metric.name, what));
        }
    }
    complaints
}

/// Recorded series that no board, alert or other rule reads.
pub(crate) fn unread(shipped: &Shipped) -> Vec<Complaint> {
    let lookers = lookers(shipped);
    let mut complaints = Vec::new();
    for asked in &shipped.asked {
        let By::Record(name) = &asked.by else { continue };
        let readers = lookers.get(name).into_iter().flatten();
        if !readers.into_iter().any(|by| !matches!(by, By::Record(_))) {
            complaints.push(Complaint::new(&asked.place, "nothing shows it, and no alert stands on it"));
        }
    }
    complaints
}
