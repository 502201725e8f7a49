//! Which traces are kept, and which signals are listed as slow, when much happens at once.

use super::*;
use crate::event::{Origin, SpanId, SpanRef, TraceId};

const MS: Duration = Duration::from_millis(1);

/// Pushes of these kinds that took so long, handed to a recipient's socket together at that moment.
fn deliver(telemetry: &Telemetry, at: Instant, pushes: impl IntoIterator<Item = (OpKind, Duration)>) {
    let delivery = |(op, took): (OpKind, Duration)| telemetry.delivery(op, at - took, Duration::ZERO);
    let deliveries = pushes.into_iter().map(delivery).collect();
    telemetry.observe(&Event::Delivered { deliveries, others: 0 }, at);
}

fn end(telemetry: &Telemetry, at: Instant, took: Duration, outcome: Outcome) {
    telemetry.observe(&Event::SignalEnded { signal: signal(OpKind::Send, at - took, took), outcome }, at);
}

fn later(telemetry: &Telemetry) -> Instant {
    telemetry.started + Duration::from_secs(100)
}

#[test]
fn a_slow_recipient_spends_nothing_of_what_slow_signals_have_and_is_one_trace_a_batch() {
    let telemetry = telemetry(Instant::now());
    let at = later(&telemetry);
    for _ in 0..20 {
        deliver(&telemetry, at, (0..300).map(|n| (OpKind::Send, (100 + n) * MS)));
    }
    (0..500).for_each(|_| end(&telemetry, at, 90 * MS, Outcome::Ok));
    let kept = telemetry.fetch_traces(usize::MAX);
    let (deliveries, signals): (Vec<_>, Vec<_>) = kept.iter().partition(|kept| kept.case.delivery);
    assert_eq!((deliveries.len(), signals.len()), (20, 500));
    assert!(kept.iter().all(|kept| kept.reason == trace::Reason::Slow));
    assert!(deliveries.iter().all(|kept| kept.case.took == 399 * MS), "the longest of each batch");
    // and the list leads from the longest one to its trace
    let listed = telemetry.slow_signals(at);
    let slowest = listed.iter().find(|listed| listed.case.delivery).unwrap();
    assert_eq!((slowest.case.took, slowest.trace), (399 * MS, Some(deliveries[0].trace)));
}

#[test]
fn of_a_batch_of_several_kinds_each_is_listed_with_its_own() {
    let telemetry = telemetry(Instant::now());
    let at = later(&telemetry);
    deliver(&telemetry, at, (60..70).map(|n| (OpKind::Send, n * MS)));
    // the longest is of a kind that has ten slower ones
    deliver(&telemetry, at, [(OpKind::Send, 50 * MS), (OpKind::Update, 40 * MS), (OpKind::Signal, 45 * MS)]);
    let listed: Vec<_> = telemetry.slow_signals(at).iter().map(|listed| (listed.case.op, listed.case.took)).collect();
    assert!(listed.contains(&(OpKind::Update, 40 * MS)) && listed.contains(&(OpKind::Signal, 45 * MS)), "{listed:?}");
    assert!(!listed.contains(&(OpKind::Send, 50 * MS)) && listed.contains(&(OpKind::Send, 60 * MS)), "{listed:?}");
    assert!(telemetry.fetch_traces(10).is_empty(), "none is slower than the bound");
}

#[test]
fn the_bound_of_deliveries_is_theirs_and_is_shown() {
    let telemetry = telemetry(Instant::now());
    let at = later(&telemetry);
    (0..400).for_each(|_| end(&telemetry, at, 4 * MS, Outcome::Ok));
    deliver(&telemetry, at, (0..400).map(|_| (OpKind::Send, 40 * MS)));
    telemetry.drain(at, UNIX + Duration::from_secs(100));
    let report = telemetry.latency_report(Duration::from_secs(60), Some("send"));
    let [signals, deliveries] = &report.bounds[..] else { panic!("{:?}", report.bounds) };
    assert_eq!((signals.kind, deliveries.kind), ("signal", "delivery"));
    assert!((9.0..9.1).contains(&signals.bound_ms) && (50.0..50.1).contains(&deliveries.bound_ms), "{report:?}");
    let samples = scrape(&telemetry);
    for (kind, row) in [("signal", signals), ("delivery", deliveries)] {
        let gauge = samples[&format!("signalbox_{kind}_latency_bound_seconds{{op=\"send\"}}")];
        assert!((gauge * 1e3 - row.bound_ms).abs() < 1e-9, "{kind}");
    }
    deliver(&telemetry, at, [(OpKind::Send, 45 * MS)]);
    assert!(telemetry.fetch_traces(10).is_empty(), "usual for a delivery");
    end(&telemetry, at, 45 * MS, Outcome::Ok);
    assert_eq!(telemetry.fetch_traces(10).len(), 1);
}

#[test]
fn a_storm_of_errors_leaves_places_for_what_is_slow_and_for_what_clients_want_kept() {
    let telemetry = Telemetry::new(Settings { traces_waiting_max: 2_048, ..settings(Instant::now()) });
    let at = later(&telemetry);
    (0..5_000).for_each(|_| end(&telemetry, at, MS, Outcome::Refused(Code::BadRequest)));
    let mut failed_and_sampled = signal(OpKind::Send, at - MS, MS);
    let (trace, span) = (TraceId::new(7).unwrap(), SpanId::new(8).unwrap());
    failed_and_sampled.parent = Some(Box::new(SpanRef { trace, span, sampled: true }));
    telemetry.observe(&Event::SignalEnded { signal: failed_and_sampled, outcome: Outcome::Gone }, at);
    (0..900).for_each(|_| end(&telemetry, at, 90 * MS, Outcome::Ok));
    telemetry.drain(at, UNIX + Duration::from_secs(100));
    let kept = telemetry.fetch_traces(usize::MAX);
    assert_eq!(scrape(&telemetry)["signalbox_traces_waiting"], kept.len() as f64);
    let of = |reason| kept.iter().filter(|kept| kept.reason == reason).count();
    let counts = trace::Reason::ALL.map(of);
    assert_eq!(counts, [1, 2_048 / 5, 900, 0]);
    assert!(kept.iter().any(|kept| kept.trace == trace && kept.case.outcome == Outcome::Gone));
    let samples = scrape(&telemetry);
    let lost = |reason: &str| samples[&format!("signalbox_traces_lost_total{{reason=\"{reason}\"}}")];
    assert_eq!(lost("queue_full") + lost("budget"), 5_000.0 - counts[1] as f64);
}

#[test]
fn the_queue_is_never_longer_than_it_may_be_when_many_threads_keep_at_once() {
    let telemetry = Telemetry::new(Settings { traces_waiting_max: 50, ..settings(Instant::now()) });
    let at = later(&telemetry);
    let origin = Origin::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let event = Event::SignalEnded { signal: signal(OpKind::Send, at, 90 * MS), outcome: Outcome::Ok };
                    telemetry.observe_from(&event, &origin, at);
                }
            });
        }
    });
    assert_eq!(telemetry.fetch_traces(usize::MAX).len(), 50);
    let samples = scrape(&telemetry);
    assert_eq!(samples["signalbox_traces_kept_total{reason=\"slow\"}"], 50.0);
    assert_eq!(samples["signalbox_traces_lost_total{reason=\"queue_full\"}"], 1_550.0);
}

#[test]
fn lines_of_slow_deliveries_hold_back_none_of_slow_signals() {
    let telemetry = telemetry(Instant::now());
    let at = later(&telemetry);
    let lines = logs::capture("info", || {
        (0..5).for_each(|_| deliver(&telemetry, at, [(OpKind::Send, 200 * MS)]));
        end(&telemetry, at, 90 * MS, Outcome::Ok);
        telemetry.settle(at + Duration::from_secs(11));
    });
    let said: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said, ["slow delivery", "slow signal", "repeated lines were held back"]);
    assert_eq!((&lines[2]["line"], &lines[2]["held_back"]), (&"slow delivery".into(), &4.into()));
}

#[test]
fn exemplars_follow_the_clock_when_it_is_set_back() {
    let telemetry = telemetry(Instant::now());
    let exemplar_after = |second: u64, unix: Duration| {
        let at = telemetry.started + Duration::from_secs(second);
        telemetry.drain(at, unix);
        end(&telemetry, at, 90 * MS, Outcome::Ok);
        telemetry.drain(at, unix);
        let kept = telemetry.fetch_traces(10);
        telemetry.traces_exported(&kept);
        telemetry.drain(at + Duration::from_secs(1), unix + Duration::from_secs(1));
        (kept[0].trace, telemetry.exemplar_traces())
    };
    let (before, shown) = exemplar_after(10, UNIX + Duration::from_secs(10));
    assert_eq!(shown, [before]);
    let (after, shown) = exemplar_after(20, UNIX - Duration::from_secs(3_600));
    assert_eq!(shown, [after]);
    let (later, shown) = exemplar_after(30, UNIX - Duration::from_secs(3_590));
    assert_eq!(shown, [later]);
}
