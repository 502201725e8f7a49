use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use self::read::{Labels, Scrape};
use super::{
    model::{Family, LabelPair, Metric, MetricFamily},
    *,
};
use crate::{
    event::{Event, Origin, Outcome, RuleInForce, Varied},
    protocol::{Code, OpKind, v1},
    telemetry::{
        CaptureFigures, Settings,
        catalog::{Kind, Unit, Values},
        tests::{self, UNIX, settings, signal, telemetry, usual::learned},
        trace::KeptTrace,
    },
};

pub(in crate::telemetry) mod read;

const PROCESS: Process = Process {
    cpu_seconds: 1.5,
    resident_bytes: 4096,
    virtual_bytes: 8192,
    open_fds: 7,
    max_fds: Some(1024),
    threads: 5,
    start_seconds: 1_700_000_000.25,
    clock_seconds: 1_700_000_100.5,
    memory_limit_bytes: 1 << 30,
};

fn rendered(telemetry: &Telemetry, format: Format) -> Vec<u8> {
    telemetry.render(format, Some(&PROCESS))
}

fn as_text(telemetry: &Telemetry) -> Scrape {
    read::text(&String::from_utf8(rendered(telemetry, Format::Text)).unwrap())
}

fn as_openmetrics(telemetry: &Telemetry) -> Scrape {
    read::openmetrics(&String::from_utf8(rendered(telemetry, Format::OpenMetrics)).unwrap())
}

fn as_protobuf(telemetry: &Telemetry) -> Scrape {
    read::protobuf(&rendered(telemetry, Format::Protobuf))
}

/// Signals of every outcome and deliveries, one signal at the promise and one above it, drained in that second.
fn with_traffic(settings: Settings, second: u64) -> Telemetry {
    let started = settings.started;
    let telemetry = Telemetry::new(settings);
    let at = started + Duration::from_secs(second);
    let join = |region: &str, sdk: &str| v1::Join {
        region: region.to_owned(),
        scenario: "video_call".to_owned(),
        client: Some(v1::ClientInfo { sdk: sdk.to_owned(), version: "6.1".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    for (region, sdk) in [("sh", "web"), ("sz", "ios"), ("elsewhere", "web")] {
        let labels = telemetry.labels(&join(region, sdk));
        let origin = Origin { labels, ..Origin::default() };
        let outcomes = [Outcome::Ok, Outcome::Gone, Outcome::Refused(Code::BadRequest)];
        for (outcome, took_us) in outcomes.into_iter().zip([80_000, 80_001, 3]) {
            let signal = signal(OpKind::Send, at - Duration::from_secs(1), Duration::from_micros(took_us));
            telemetry.observe_from(&Event::SignalEnded { signal, outcome }, &origin, at);
        }
        let received = at - Duration::from_millis(90);
        let deliveries = vec![telemetry.delivery(OpKind::Send, received, Duration::from_micros(5))];
        telemetry.observe_from(&Event::Delivered { deliveries, others: 0 }, &origin, at);
    }
    telemetry.drain(at, UNIX + Duration::from_secs(second));
    telemetry
}

/// The collector took them, and the drain after that has made exemplars of them.
fn exported(telemetry: &Telemetry, traces: &[KeptTrace]) {
    telemetry.traces_exported(traces);
    telemetry.drain(telemetry.started + Duration::from_secs(6), UNIX + Duration::from_secs(6));
}

fn busy() -> Telemetry {
    with_traffic(settings(Instant::now()), 5)
}

/// A runtime that has polled a task.
#[cfg(tokio_unstable)]
fn polled_once() -> crate::telemetry::runtime::Runtime {
    let mut runtime = crate::telemetry::runtime::Runtime::default();
    runtime.unstable.polls.counts[0] = 1;
    runtime
}

/// The row of a series, and its labels without those that histograms add.
fn row_of<'a>(name: &str, labels: &'a [(String, String)]) -> (&'static catalog::Metric, &'a [(String, String)]) {
    let row = catalog::ALL.iter().find(|row| {
        let histogram = row.kind == Kind::Histogram;
        let suffixes: &[&str] = if histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        name.strip_prefix(row.name).is_some_and(|rest| suffixes.contains(&rest))
    });
    let row = row.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
    let edge = name.ends_with("_bucket") && row.kind == Kind::Histogram;
    assert!(!edge || labels.last().is_some_and(|(name, _)| name == "le"), "{name} {labels:?}");
    (row, &labels[..labels.len() - usize::from(edge)])
}

#[test]
fn catalogue_and_scrape_agree_in_both_directions_in_every_form() {
    let telemetry = busy();
    #[cfg(tokio_unstable)]
    telemetry.set_runtime(&polled_once());
    let latest_of = [(("join".to_owned(), "sh".to_owned()), Duration::from_secs(1))].into();
    telemetry.set_captures(&CaptureFigures { latest_of, ..CaptureFigures::default() });
    telemetry.restore_baseline(learned("sz"));
    let shown = Event::CertificateShown { listener: "ops", expires: Duration::from_secs(9) };
    telemetry.observe(&shown, telemetry.started);
    // a node in full: it has come, stands, and has been heard of
    for (event, _) in crate::telemetry::tests::media::events() {
        if !matches!(event, Event::Media(crate::event::MediaFact::Gone { .. })) {
            telemetry.observe(&event, telemetry.started);
        }
    }
    let (of_the_fleet, of_rooms) = (tests::directory::events(), tests::kept_rooms::events());
    for (event, _) in [of_the_fleet, of_rooms, tests::fabric::events(), tests::relay::events()].concat() {
        telemetry.observe(&event, telemetry.started);
    }
    telemetry.set_journal(crate::telemetry::JournalFigures { rooms: 1, writes: 2, bytes: 3, ..Default::default() });
    telemetry.set_keeping(crate::telemetry::KeepingFigures { rooms_behind: 1, behind: Duration::from_secs(1) });
    telemetry.set_directory(crate::telemetry::DirectoryFigures {
        lease: Duration::from_secs(1),
        lease_age: Duration::from_secs(1),
        watch_lag: Duration::from_secs(1),
        routers: 2,
        rooms_unwritten: 2,
        rooms: Some(crate::telemetry::RoomsCompared { age: Duration::from_secs(1), digests: [7, 7], alone: [0, 0] }),
        unreadable: 0,
        digest: 7,
        rules_revision: 9,
        rules_refused: false,
    });
    telemetry.set_relay(crate::telemetry::RelayFigures { links: [1, 2], connections: [3, 4], frames: [5, 6] });
    telemetry.set_fabric(crate::telemetry::FabricFigures {
        servers: 1,
        connections: 2,
        silent: Duration::from_secs(1),
    });
    let rule = RuleInForce { name: "few".into(), variant: "canary".into(), share: Some(500) };
    let names = vec!["default".into(), "canary".into()];
    telemetry.observe(&Event::Variant(Varied::InForce { names, rules: vec![rule] }), telemetry.started);
    telemetry.set_nodes(vec![crate::telemetry::tests::placement::seen()]);
    let catalogued = |form: Format, row: &catalog::Metric| {
        let (name, kind) = match (form, row.kind) {
            (Format::OpenMetrics, Kind::Counter) => (row.name.strip_suffix("_total").unwrap(), "counter"),
            (Format::OpenMetrics, Kind::Info) => (row.name.strip_suffix("_info").unwrap(), "info"),
            (_, Kind::Info) => (row.name, "gauge"),
            (_, kind) => (row.name, kind.name()),
        };
        let unit = if form == Format::Text { None } else { row.unit.suffix() };
        [name, kind, row.help, unit.unwrap_or_default()].map(str::to_owned)
    };
    let read = [as_text, as_openmetrics, as_protobuf];
    for (format, read) in Format::ALL.into_iter().zip(read) {
        let scrape = read(&telemetry);
        let all: Vec<_> = catalog::ALL.iter().map(|row| catalogued(format, row)).collect();
        assert_eq!(scrape.families, all, "{format:?}");
        let sampled: BTreeSet<_> = scrape.samples.keys().map(|(name, labels)| row_of(name, labels).0.name).collect();
        assert_eq!(sampled.len(), catalog::ALL.len(), "{format:?}");
        for (name, labels) in scrape.samples.keys() {
            check_labels(name, labels);
        }
    }
}

fn check_labels(name: &str, labels: &Labels) {
    let (row, labels) = row_of(name, labels);
    assert_eq!(labels.len(), row.labels.len(), "{name} {labels:?}");
    for ((of, value), label) in labels.iter().zip(row.labels) {
        assert_eq!(of, label.name);
        let value = value.as_str();
        let allowed = match label.values {
            Values::Closed(set) => set.contains(&value),
            Values::Numbered { max } => value.parse::<usize>().is_ok_and(|number| number < max),
            Values::Configured { .. } if of == "variant" => ["default", "canary"].contains(&value),
            Values::Configured { .. } if of == "rule" => value == "few",
            Values::Configured { .. } => ["sh", "sz", "other"].contains(&value),
            Values::Nodes { .. } => value == "n1",
            Values::Busiest { .. } => ["web/6.1", "ios/6.1", "video_call", "other"].contains(&value),
            Values::Fixed => ["1.2.3", "r1", "signalbox"].contains(&value),
        };
        assert!(allowed, "{name} {of}={value}");
    }
}

#[test]
fn closed_sets_are_there_at_zero_from_the_start_and_latencies_are_not() {
    let scrape = as_text(&telemetry(Instant::now()));
    let latencies = [catalog::SIGNAL_QUANTILE, catalog::DELIVERY_QUANTILE, catalog::SIGNAL_P99];
    // captures, a baseline, a certificate, a rule, nodes and a fleet come in their time
    let later =
        [catalog::CAPTURE_LATEST_OF, catalog::SIGNAL_BASELINE, catalog::BASELINE_POINTS, catalog::VARIANT_SHARE];
    let of_nodes = [
        catalog::MEDIA_NODE_UP,
        catalog::MEDIA_RTT,
        catalog::MEDIA_CLOCK_SKEW,
        catalog::MEDIA_BREAKER_STATE,
        catalog::PLACEMENT_NODES,
        catalog::NODE_SCORE,
        catalog::NODE_WEIGHT,
        catalog::NODE_SHARE,
        catalog::NODE_ROOMS,
    ];
    let latencies = latencies
        .into_iter()
        .chain(later)
        .chain(of_nodes)
        .chain([
            catalog::CERTIFICATE_EXPIRY,
            catalog::DIRECTORY_LEASE,
            catalog::DIRECTORY_LEASE_AGE,
            catalog::DIRECTORY_WATCH_LAG,
            catalog::DIRECTORY_ROUTERS,
            catalog::DIRECTORY_UNREADABLE,
            catalog::DIRECTORY_ROOMS_UNWRITTEN,
            catalog::DIRECTORY_ROOMS_DIGEST,
            catalog::DIRECTORY_ROOMS_ALONE,
            catalog::DIRECTORY_ROOMS_COMPARED_AGE,
            catalog::DIRECTORY_DIGEST,
            catalog::DIRECTORY_RULES_REVISION,
            catalog::DIRECTORY_RULES_REFUSED,
            catalog::FABRIC_ROOMS_BEHIND,
            catalog::FABRIC_BEHIND,
            catalog::FABRIC_SERVERS,
            catalog::FABRIC_CONNECTIONS,
            catalog::FABRIC_SILENT,
            catalog::JOURNAL_DEPTH,
            catalog::JOURNAL_BYTES,
            catalog::JOURNAL_AGE,
            catalog::RELAY_LINKS,
            catalog::RELAY_CONNECTIONS,
        ])
        .map(|row| row.name)
        .collect::<Vec<_>>();
    for row in catalog::ALL {
        let each = row.labels.iter().map(|label| match label.values {
            Values::Closed(set) => set.len(),
            Values::Numbered { .. } => settings(Instant::now()).shards,
            Values::Configured { .. } | Values::Busiest { .. } | Values::Nodes { .. } | Values::Fixed => 1,
        });
        let later = row.kind == Kind::Histogram || latencies.contains(&row.name);
        let expected = if later { 0 } else { each.product() };
        assert_eq!(scrape.named(row.name).len(), expected, "{}", row.name);
        assert_eq!(scrape.families.iter().any(|[name, ..]| name == row.name), !later, "{}", row.name);
        if row.kind == Kind::Counter && row.name.starts_with("signalbox_") {
            assert!(scrape.named(row.name).iter().all(|(_, value)| *value == 0.0), "{}", row.name);
        }
    }
    assert_eq!(scrape.value("signalbox_drain_phase", &[("phase", "serving")]), Some(1.0));
    assert_eq!(scrape.value("signalbox_build_info", &[("version", "1.2.3")]), Some(1.0));
    assert_eq!(scrape.value("process_cpu_seconds_total", &[]), Some(1.5));
    assert_eq!(scrape.value("process_start_time_seconds", &[]), Some(1_700_000_000.25));
}

#[test]
fn without_the_process_figures_the_rest_is_there() {
    let telemetry = telemetry(Instant::now());
    let scrape = read::text(&String::from_utf8(telemetry.render(Format::Text, None)).unwrap());
    assert!(scrape.samples.keys().all(|(name, _)| !name.starts_with("process_")));
    assert_eq!(scrape.value("signalbox_sessions", &[]), Some(0.0));
}

#[test]
fn all_three_forms_say_the_same() {
    let telemetry = busy();
    exported(&telemetry, &telemetry.fetch_traces(10));
    let (text, openmetrics, protobuf) = (as_text(&telemetry), as_openmetrics(&telemetry), as_protobuf(&telemetry));
    assert!(text.samples.len() > 1_000, "{}", text.samples.len());
    assert_eq!(text.samples, openmetrics.samples);
    assert_eq!(text.samples, protobuf.samples);
    assert!(!openmetrics.exemplars.is_empty());
    assert_eq!(openmetrics.exemplars, protobuf.exemplars);
    assert_eq!(text.exemplars.len(), 0);
}

#[test]
fn what_met_the_promise_is_below_its_edge_and_what_missed_it_by_a_microsecond_is_not() {
    let scrape = as_text(&busy());
    let below = |outcome, le| {
        let labels = [("op", "send"), ("region", "sz"), ("outcome", outcome), ("le", le)];
        scrape.value("signalbox_signal_latency_seconds_bucket", &labels)
    };
    assert_eq!((below("ok", "0.076032"), below("ok", "0.08"), below("ok", "+Inf")), (Some(0.0), Some(1.0), Some(1.0)));
    assert_eq!((below("gone", "0.08"), below("gone", "0.084032")), (Some(0.0), Some(1.0)));
    let sum = [("op", "send"), ("region", "sz"), ("outcome", "gone")];
    assert_eq!(scrape.value("signalbox_signal_latency_seconds_sum", &sum), Some(0.080_001));
    let p99 = [("op", "send"), ("region", "sz"), ("sdk_version", "ios/6.1"), ("scenario", "video_call")];
    let p99 = scrape.value("signalbox_signal_p99_seconds", &p99).unwrap();
    assert!((0.08..0.0801).contains(&p99), "{p99}");
    let median = [("op", "send"), ("region", "other"), ("q", "0.5")];
    let median = scrape.value("signalbox_delivery_latency_quantile_seconds", &median).unwrap();
    assert!((0.09..0.0901).contains(&median), "{median}");
}

#[test]
fn gauges_of_the_last_minute_go_with_it_and_histograms_stay() {
    let started = Instant::now();
    let telemetry = with_traffic(settings(started), 5);
    let rolling = [catalog::SIGNAL_QUANTILE, catalog::DELIVERY_QUANTILE, catalog::SIGNAL_P99].map(|row| row.name);
    for (second, there) in [(64, true), (65, false)] {
        telemetry.drain(started + Duration::from_secs(second), UNIX + Duration::from_secs(second));
        let scrape = as_text(&telemetry);
        for name in rolling {
            assert_eq!(!scrape.named(name).is_empty(), there, "{name} at {second}");
        }
        assert_eq!(scrape.named("signalbox_signal_latency_seconds_count").len(), 9);
    }
}

#[test]
fn a_client_that_calls_itself_other_is_one_of_the_others() {
    let telemetry = telemetry(Instant::now());
    for sdk in ["other", "a b"] {
        let client = Some(v1::ClientInfo { sdk: sdk.to_owned(), ..Default::default() });
        let labels = telemetry.labels(&v1::Join { client, scenario: sdk.to_owned(), ..Default::default() });
        let signal = signal(OpKind::Send, Instant::now(), Duration::from_millis(1));
        let origin = Origin { labels, ..Origin::default() };
        telemetry.observe_from(&Event::SignalEnded { signal, outcome: Outcome::Ok }, &origin, Instant::now());
    }
    telemetry.drain(Instant::now(), UNIX);
    // the reader refuses a series that is there twice
    assert_eq!(as_text(&telemetry).named("signalbox_signal_p99_seconds").len(), 1);
}

#[test]
fn native_histograms_hold_what_the_classic_ones_hold() {
    let telemetry = busy();
    exported(&telemetry, &telemetry.fetch_traces(10));
    let families = read::families(&rendered(&telemetry, Format::Protobuf));
    let histograms = families.iter().flat_map(|family| &family.metric).filter_map(|metric| metric.histogram.as_ref());
    let (mut seen, mut exemplars) = (0, 0);
    for histogram in histograms {
        seen += 1;
        assert_eq!((histogram.schema, histogram.zero_count), (Some(3), Some(0)));
        assert!(histogram.zero_threshold.unwrap() > 0.0, "without it an empty one is taken for a classic one");
        let length: u32 = histogram.positive_span.iter().map(|span| span.length.unwrap()).sum();
        assert_eq!(histogram.positive_delta.len(), length as usize);
        let counts = histogram.positive_delta.iter().scan(0, |count, delta| {
            *count += delta;
            Some(*count)
        });
        assert_eq!(counts.sum::<i64>() as u64, histogram.sample_count.unwrap());
        assert_eq!(histogram.bucket.last().unwrap().cumulative_count, histogram.sample_count);
        assert_eq!(histogram.bucket.len(), catalog::EDGES_US.len() + 1);
        let on_buckets = histogram.bucket.iter().filter_map(|bucket| bucket.exemplar.as_ref());
        assert_eq!(histogram.exemplars, on_buckets.cloned().collect::<Vec<_>>());
        exemplars += histogram.exemplars.len();
    }
    assert!(seen > 10 && exemplars == 9, "{seen} {exemplars}");
}

#[test]
fn an_exemplar_lies_in_its_bucket_and_names_a_trace_that_the_collector_took() {
    let telemetry = busy();
    let traces = telemetry.fetch_traces(10);
    assert_eq!(as_openmetrics(&telemetry).exemplars.len(), 0, "none was taken yet");
    exported(&telemetry, &traces);
    let taken: BTreeSet<_> = traces.iter().map(|kept| (kept.trace.to_string(), kept.span.to_string())).collect();
    let exemplars = as_openmetrics(&telemetry).exemplars;
    // of each region: a refusal, a signal that missed the promise, a delivery that did
    let mut expected = [("0.0005", 0.000_003), ("0.084032", 0.080_001), ("0.092032", 0.09)].repeat(3);
    for ((_, series), (labels, seconds, at)) in exemplars {
        let [(trace, trace_id), (span, span_id)] = labels.try_into().unwrap();
        assert_eq!((trace.as_str(), span.as_str()), ("trace_id", "span_id"));
        assert!(taken.contains(&(trace_id, span_id)));
        let found = (series.last().unwrap().1.as_str(), seconds);
        let place = expected.iter().position(|expected| *expected == found);
        expected.remove(place.unwrap_or_else(|| panic!("{found:?}")));
        assert!((4.0..=5.0).contains(&(at - UNIX.as_secs_f64())), "{at}");
    }
    assert_eq!(expected, []);
}

#[test]
fn counters_and_histograms_tell_since_when_they_count() {
    let families = read::families(&rendered(&busy(), Format::Protobuf));
    for family in families {
        let cpu = family.name.as_deref() == Some(catalog::PROCESS_CPU.name);
        let expected = if cpu { (1_700_000_000, 250_000_000) } else { (UNIX.as_secs() as i64, 0) };
        for metric in family.metric {
            let created = metric.counter.map(|counter| counter.created_timestamp);
            let created = created.or(metric.histogram.map(|histogram| histogram.created_timestamp));
            if let Some(created) = created {
                assert_eq!(created.map(|at| (at.seconds, at.nanos)), Some(expected), "{:?}", family.name);
            }
        }
    }
}

/// A family with one series of these label values and that help.
fn family(help: &str, values: [&str; 2]) -> Family {
    // rows are made at build time; a test may leak one
    let help: &'static str = Box::leak(help.to_owned().into_boxed_str());
    let row = Box::leak(Box::new(catalog::Metric { help, unit: Unit::Count, ..catalog::CONNECTIONS_CLOSED }));
    let label = ["transport", "reason"].iter().zip(values).map(|(name, value)| LabelPair::new(name, value)).collect();
    let counter = Some(model::Counter { value: Some(3.0), ..Default::default() });
    let metric = vec![Metric { label, counter, ..Metric::default() }];
    let message = MetricFamily {
        name: Some(row.name.to_owned()),
        help: Some(help.to_owned()),
        r#type: Some(0),
        metric,
        unit: None,
    };
    Family { row, message }
}

fn survives(help: &str, values: [&str; 2]) {
    let families = [family(help, values)];
    let read = [
        read::text(&text::encode(&families)),
        read::openmetrics(&openmetrics::encode(&families)),
        read::protobuf(&protobuf::encode(&families)),
    ];
    let labels: Labels =
        ["transport", "reason"].iter().zip(values).map(|(n, v)| ((*n).to_owned(), v.to_owned())).collect();
    for scrape in read {
        assert_eq!(scrape.families[0][2], help);
        assert_eq!(scrape.named("signalbox_connections_closed_total"), [(&labels, 3.0)]);
    }
}

#[test]
fn hostile_values_are_read_as_they_were_written() {
    for value in ["", "\"", "\\", "\n", "\\n", "a\"} 7\nb{c=\"", "\\\"", "# EOF", "\r\t", "ünï 😀", "a # {x=\"y\"} 1"]
    {
        survives("A help.", [value, "ok"]);
        survives(&format!("A {value} help."), ["ok", value]);
    }
    let hostile = Settings { instance_id: "a\"\\\n😀".to_owned(), ..settings(Instant::now()) };
    let scrape = as_openmetrics(&Telemetry::new(hostile));
    let (labels, _) = scrape.named("target_info")[0];
    assert_eq!(labels[2], ("service_instance_id".to_owned(), "a\"\\\n😀".to_owned()));
}

proptest! {
    #[test]
    fn any_value_is_read_as_it_was_written(values in prop::array::uniform2(any::<String>()), help in "[ -~\n\\\\\"ü]{1,40}") {
        survives(&help, [&values[0], &values[1]]);
    }
}

#[test]
fn numbers_are_written_as_prometheus_reads_them() {
    let numbers = [
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
        (0.08, "0.08"),
        (3.0, "3"),
        (1e-7, "0.0000001"),
        (1.8e19, "18000000000000000000"),
    ];
    for (number, expected) in numbers {
        let mut text = String::new();
        lines::write_number(&mut text, number);
        assert_eq!(text, expected);
    }
}

#[test]
fn an_exemplar_that_is_too_long_is_left_out_of_openmetrics_and_the_sample_stays() {
    for (length, there) in [(128 - "trace_id".len(), true), (129 - "trace_id".len(), false)] {
        let label = vec![LabelPair::new("trace_id", &"ü".repeat(length))];
        let exemplar = Some(model::Exemplar { label, value: Some(0.01), timestamp: Some(Default::default()) });
        let bucket = model::Bucket { cumulative_count: Some(1), upper_bound: Some(f64::INFINITY), exemplar };
        let histogram = Some(model::Histogram { bucket: vec![bucket], ..Default::default() });
        let metric = vec![Metric { histogram, ..Metric::default() }];
        let message = MetricFamily { metric, ..MetricFamily::default() };
        let scrape = read::openmetrics(&openmetrics::encode(&[Family { row: &catalog::STAGE_LATENCY, message }]));
        assert_eq!(scrape.exemplars.len(), usize::from(there));
        assert_eq!(scrape.value("signalbox_stage_latency_seconds_bucket", &[("le", "+Inf")]), Some(1.0));
    }
}

#[test]
fn a_scrape_is_counted_by_its_form_with_how_long_it_took() {
    let telemetry = telemetry(Instant::now());
    for (format, took_ms) in [(Format::Text, 1), (Format::Protobuf, 2), (Format::Protobuf, 3)] {
        telemetry.scraped(format, Duration::from_millis(took_ms));
    }
    let scrape = as_text(&telemetry);
    let counted = catalog::FORMATS.iter().map(|format| scrape.value("signalbox_scrapes_total", &[("format", format)]));
    assert_eq!(counted.collect::<Vec<_>>(), [Some(1.0), Some(0.0), Some(2.0)]);
    assert_eq!(scrape.value("signalbox_scrape_seconds", &[]), Some(0.003));
    assert_eq!(Format::ALL.map(Format::name), catalog::FORMATS);
}
