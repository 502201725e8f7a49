//! How many series there are, and what their labels say, is what the catalogue allows; whatever clients say.

use std::collections::{BTreeMap, BTreeSet};

use signalbox::telemetry::catalog::{
    ALL, BASELINE_POINTS, CAPTURE_LATEST_OF, CERTIFICATE_EXPIRY, DIRECTORY_CALL_LATENCY, DIRECTORY_DIGEST,
    DIRECTORY_LEASE, DIRECTORY_LEASE_AGE, DIRECTORY_ROOMS_ALONE, DIRECTORY_ROOMS_COMPARED_AGE, DIRECTORY_ROOMS_DIGEST,
    DIRECTORY_ROOMS_UNWRITTEN, DIRECTORY_ROUTERS, DIRECTORY_RULES_REFUSED, DIRECTORY_RULES_REVISION,
    DIRECTORY_UNREADABLE, DIRECTORY_WATCH_LAG, FABRIC_BEHIND, FABRIC_CALL_LATENCY, FABRIC_CONNECTIONS,
    FABRIC_ROOMS_BEHIND, FABRIC_SERVERS, FABRIC_SILENT, FABRIC_WRITE_LATENCY, JOURNAL_AGE, JOURNAL_BYTES,
    JOURNAL_DEPTH, Kind, MEDIA_BREAKER_STATE, MEDIA_CLOCK_SKEW, MEDIA_NODE_UP, MEDIA_RTT, Metric, NODE_ROOMS,
    NODE_SCORE, NODE_SHARE, NODE_WEIGHT, PLACEMENT_NODES, RELAY_CONNECTIONS, RELAY_LINKS, RELAY_ROUND_TRIP,
    SIGNAL_BASELINE, VARIANT_SHARE, Values,
};

use super::{Labels, job::Job};

/// Nothing leaves its band here, no five minutes pass, nobody speaks TLS, no rule has a share, there is no media node,
/// and the router runs alone, without links to others, and keeps no rooms outside.
pub(super) const ABSENT: [Metric; 40] = [
    CAPTURE_LATEST_OF,
    SIGNAL_BASELINE,
    BASELINE_POINTS,
    CERTIFICATE_EXPIRY,
    VARIANT_SHARE,
    MEDIA_NODE_UP,
    MEDIA_RTT,
    MEDIA_CLOCK_SKEW,
    MEDIA_BREAKER_STATE,
    PLACEMENT_NODES,
    NODE_SCORE,
    NODE_WEIGHT,
    NODE_SHARE,
    NODE_ROOMS,
    DIRECTORY_LEASE,
    DIRECTORY_LEASE_AGE,
    DIRECTORY_WATCH_LAG,
    DIRECTORY_ROUTERS,
    DIRECTORY_UNREADABLE,
    DIRECTORY_ROOMS_UNWRITTEN,
    DIRECTORY_ROOMS_DIGEST,
    DIRECTORY_ROOMS_ALONE,
    DIRECTORY_ROOMS_COMPARED_AGE,
    DIRECTORY_DIGEST,
    DIRECTORY_RULES_REVISION,
    DIRECTORY_RULES_REFUSED,
    DIRECTORY_CALL_LATENCY,
    FABRIC_SERVERS,
    FABRIC_CONNECTIONS,
    FABRIC_SILENT,
    FABRIC_CALL_LATENCY,
    FABRIC_ROOMS_BEHIND,
    FABRIC_BEHIND,
    FABRIC_WRITE_LATENCY,
    JOURNAL_DEPTH,
    JOURNAL_BYTES,
    JOURNAL_AGE,
    RELAY_LINKS,
    RELAY_CONNECTIONS,
    RELAY_ROUND_TRIP,
];

/// Of all series that there ever were.
pub(super) async fn series_stay_within_the_catalogue(job: &Job<'_>) {
    let selector = job.selecting("{$job, __name__=~\"signalbox_.+|process_.+|target_info\"}");
    let answer = job.server.ask("/api/v1/series", &[("match[]", &*selector), ("start", "0")]).await;
    let mut families: BTreeMap<&str, Vec<Labels>> = BTreeMap::new();
    for series in answer.as_array().unwrap() {
        let labels: Labels = serde_json::from_value(series.clone()).unwrap();
        families.entry(row(&labels["__name__"]).name).or_default().push(labels);
    }
    for absent in ABSENT {
        families.entry(absent.name).or_default();
    }
    assert_eq!(families.len(), ALL.len(), "{job}");
    for row in ALL {
        let series = &families[row.name];
        let natives = if job.native && row.kind == Kind::Histogram { row.sets() } else { 0 };
        assert!(series.len() <= row.series() + natives, "{job}: {} series of {}", series.len(), row.name);
        labels_are_of_their_sets(job, row, series);
    }
    strangers_are_others(job, &families["signalbox_signal_p99_seconds"]);
}

/// The row of a series; of a histogram, by the name of one of its parts.
fn row(name: &str) -> &'static Metric {
    let part = |row: &Metric| {
        let rest = name.strip_prefix(row.name);
        let parts: &[&str] = if row.kind == Kind::Histogram { &["", "_bucket", "_sum", "_count"] } else { &[""] };
        rest.is_some_and(|rest| parts.contains(&rest))
    };
    ALL.iter().find(|row| part(row)).unwrap_or_else(|| panic!("{name} is not in the catalogue"))
}

fn labels_are_of_their_sets(job: &Job<'_>, row: &Metric, series: &[Labels]) {
    let of_prometheus = ["__name__", "job", "instance", "le"];
    for labels in series {
        let names = labels.keys().map(String::as_str).filter(|name| !of_prometheus.contains(name));
        let expected: BTreeSet<&str> = row.labels.iter().map(|label| label.name).collect();
        assert_eq!(names.collect::<BTreeSet<_>>(), expected, "{job}: {labels:?}");
    }
    for label in row.labels {
        let values: BTreeSet<&str> = series.iter().map(|labels| labels[label.name].as_str()).collect();
        assert!(values.len() <= label.values.bound(), "{job}: {}: {values:?}", row.name);
        if let Values::Closed(allowed) = label.values {
            assert!(values.iter().all(|value| allowed.contains(value)), "{job}: {}: {values:?}", row.name);
        }
    }
}

/// All regions that nobody configured are `other`, and so are most of the SDK versions that come once; the usual one
/// keeps its name.
fn strangers_are_others(job: &Job<'_>, series: &[Labels]) {
    let values = |label: &str| series.iter().map(|labels| labels[label].as_str()).collect::<BTreeSet<_>>();
    assert_eq!(values("region"), ["other", "sh", "sz"].into(), "{job}");
    let versions = values("sdk_version");
    assert!(versions.is_superset(&["other", "web/6.12.0"].into()), "{job}: {versions:?}");
}
