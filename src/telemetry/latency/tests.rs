use std::{sync::Arc, time::Instant};

use super::*;
use crate::{
    event::{Event, Labels, Origin, Stage},
    protocol::OpKind,
    telemetry::{
        Telemetry,
        catalog::{CLIENT_SERIES_MAX, OPS, OUTCOMES, REGIONS_MAX, SIGNAL_SERIES_MAX},
        counts::histogram,
        recorder::{OTHER_REGION, Recorder, SET_MAX, Slot},
        tests::{UNIX, settings, signal},
    },
};

const MS: Duration = Duration::from_millis(1);

fn place(op: u8, region: u8, outcome: u8, client: u8) -> SignalSeries {
    SignalSeries { op, region, outcome, sdk_version: client, scenario: client }
}

/// One latency in each of these series, as a thread would have recorded them.
fn record(recorder: &Recorder, series: impl IntoIterator<Item = SignalSeries>) {
    let now = Instant::now();
    for series in series {
        recorder.signal(series, &signal(OpKind::Ping, now, MS), (0, 0), 0);
    }
}

/// What a thread recorded since the last time.
fn recorded(recorder: &Recorder, thread: usize) -> Interval {
    let mut interval = Interval::default();
    recorder.exchange(thread, &mut interval);
    interval
}

fn drained(recorder: &Recorder, latency: &mut Latency, second: u64) -> [u64; 2] {
    let mut folded = [0; 2];
    for thread in 0..recorder.threads() {
        let interval = recorded(recorder, thread);
        latency.take(&interval, Tick { second, unix_ms: second * 1_000 });
        folded = [folded[0] + interval.folded[0], folded[1] + interval.folded[1]];
    }
    folded
}

fn signals(latency: &Latency) -> Vec<(SignalSeries, u64)> {
    let signals = latency.series().filter_map(|(series, aggregate)| match series {
        Series::Signal(s) => Some((s, aggregate.total.count())),
        Series::Delivery { .. } | Series::Stage(_) | Series::Variant { .. } => None,
    });
    signals.collect()
}

/// More series than there is room for: every op, 17 regions, every outcome.
fn all_series() -> impl Iterator<Item = SignalSeries> {
    let ops = 0..OPS.len() as u8;
    let outcomes = 0..OUTCOMES.len() as u8;
    let regions = 0..=OTHER_REGION;
    regions.flat_map(move |region| {
        let outcomes = outcomes.clone();
        ops.clone().flat_map(move |op| outcomes.clone().map(move |outcome| place(op, region, outcome, OTHER_CLIENT)))
    })
}

#[test]
fn a_thread_that_runs_out_of_histograms_folds_regions_and_loses_no_signal() {
    let recorder = Recorder::new(1);
    record(&recorder, all_series());
    let interval = recorded(&recorder, 0);
    let of_signals = interval.slots().iter().filter(|slot| matches!(slot.series, Series::Signal(_)));
    let count: u64 = of_signals.clone().map(|slot| slot.histogram.len()).sum();
    assert_eq!(count, all_series().count() as u64);
    assert!(interval.slots().len() <= SET_MAX, "{}", interval.slots().len());
    assert!(interval.folded[1] > 0 && interval.folded[0] == 0, "{:?}", interval.folded);
}

/// Every pair of an SDK version and a scenario that there can be, in that region.
fn every_client(op: u8, region: u8) -> impl Iterator<Item = SignalSeries> {
    (0..=OTHER_CLIENT).flat_map(move |sdk_version| {
        (0..=OTHER_CLIENT).map(move |scenario| SignalSeries { sdk_version, scenario, ..place(op, region, 0, 0) })
    })
}

#[test]
fn clients_of_all_kinds_push_no_region_out_and_are_told_apart_again_in_the_next_interval() {
    let recorder = Recorder::new(1);
    let ops = 0..OPS.len() as u8;
    let everyone = || ops.clone().flat_map(|op| every_client(op, 0).chain(every_client(op, 1)));
    let of_region = |interval: &Interval, region: u8| -> u64 {
        let slots = interval.slots().iter();
        let of = slots.filter(|slot| matches!(slot.series, Series::Signal(s) if s.region == region));
        of.map(|slot| slot.histogram.len()).sum()
    };
    // each twice in a row: the second time it is the series that was asked for last
    record(&recorder, everyone().flat_map(|series| [series; 2]));
    let mut interval = recorded(&recorder, 0);
    let each = 2 * 81 * OPS.len() as u64;
    assert_eq!([0, 1, OTHER_REGION].map(|region| of_region(&interval, region)), [each, each, 0]);
    let named = |slot: &&Slot| slot.series != slot.series.of_any_client();
    let told_apart: u64 = interval.slots().iter().filter(named).map(|slot| slot.histogram.len()).sum();
    let others = 2 * 2 * OPS.len() as u64;
    assert!(told_apart > 0 && interval.slots().len() < SET_MAX);
    assert_eq!(interval.folded, [2 * each - others - told_apart, 0], "every recording that lost its client");

    // one that was folded has its own place as soon as there is room
    interval.reset();
    recorder.exchange(0, &mut interval);
    let late = SignalSeries { sdk_version: 7, scenario: 7, ..place(OPS.len() as u8 - 1, 1, 0, 0) };
    record(&recorder, [late]);
    let interval = recorded(&recorder, 0);
    assert!(interval.slots().iter().any(|slot| slot.series == Series::Signal(late) && slot.histogram.len() == 1));
    assert_eq!(interval.folded, [0, 0]);
}

#[test]
fn series_are_bounded_and_what_finds_no_place_counts_in_other_regions() {
    let mut latency = Latency::default();
    // as many drains as it takes: a thread's own bound is not what is tested here
    let mut expected = 0;
    for (second, region) in (0..=OTHER_REGION).enumerate() {
        let recorder = Recorder::new(1);
        let of_region: Vec<_> = all_series().filter(|series| series.region == region).collect();
        expected += of_region.len() as u64;
        record(&recorder, of_region);
        assert_eq!(drained(&recorder, &mut latency, second as u64), [0, 0]);
    }
    let series = signals(&latency);
    assert!(series.len() <= SIGNAL_SERIES_MAX, "{}", series.len());
    assert_eq!(series.iter().map(|(_, count)| count).sum::<u64>(), expected);
    let elsewhere: u64 = series.iter().filter(|(s, _)| s.region == OTHER_REGION).map(|(_, count)| count).sum();
    let own = all_series().filter(|s| s.region == OTHER_REGION).count() as u64;
    assert_eq!(latency.take_folded(), [0, elsewhere - own]);
    assert_eq!(latency.take_folded(), [0, 0], "told once");
}

#[test]
fn clients_are_bounded_and_leave_after_a_minute_without_a_signal() {
    let mut latency = Latency::default();
    let series = OTHER_REGION as usize * 8 * 8;
    for (second, region) in (0..OTHER_REGION).enumerate() {
        let recorder = Recorder::new(1);
        // the bound is passed on the way: 16 regions x 8 ops x 8 clients
        record(&recorder, (0..8).flat_map(|op| (0..8).map(move |client| place(op, region, 0, client))));
        drained(&recorder, &mut latency, second as u64);
    }
    let other = latency.clients().filter(|(series, _)| series.sdk_version == OTHER_CLIENT);
    let folded: u64 = other.map(|(_, recent)| recent.sum().total()).sum();
    assert!(latency.clients().count() <= CLIENT_SERIES_MAX, "{}", latency.clients().count());
    assert_eq!(latency.take_folded(), [folded, 0]);
    assert!(folded > 0);
    assert_eq!(
        signals(&latency).iter().map(|(_, count)| count).sum::<u64>(),
        series as u64,
        "the totals have them all"
    );
    let all = |latency: &Latency| latency.clients().map(|(_, recent)| recent.sum().total()).sum::<u64>();
    let before = all(&latency);
    latency.forget_clients(&[3], &[]);
    assert!(latency.clients().count() <= CLIENT_SERIES_MAX);
    assert!(latency.clients().all(|(series, _)| series.sdk_version != 3));
    assert_eq!(all(&latency), before, "they are others now");
    latency.expire(Tick { second: u64::from(OTHER_REGION) + 60, unix_ms: 0 });
    assert_eq!(latency.clients().count(), 0);
}

/// Every place of a histogram taken, which no real second or minute has: 139 KB of them.
fn full() -> Counts {
    let mut dense = histogram::<u32>();
    let mut value = 0;
    while value < 60_000_000 {
        dense.saturating_record(value);
        value = dense.next_non_equivalent(value);
    }
    let counts = Counts::of(&dense);
    assert!(counts.bytes() > 130_000, "{}", counts.bytes());
    counts
}

#[test]
fn who_loses_the_rank_of_its_sdk_version_keeps_its_scenario_and_the_other_way_round() {
    let mut latency = Latency::default();
    let recorder = Recorder::new(1);
    let client = |sdk_version, scenario| SignalSeries { sdk_version, scenario, ..place(0, 0, 0, 0) };
    record(&recorder, [client(1, 2), client(1, 3), client(4, 2), client(4, 3)]);
    drained(&recorder, &mut latency, 1);
    let left = |latency: &Latency| -> Vec<_> {
        latency.clients().map(|(s, recent)| (s.sdk_version, s.scenario, recent.sum().total())).collect()
    };
    latency.forget_clients(&[1], &[]);
    assert_eq!(left(&latency), [(4, 2, 1), (4, 3, 1), (OTHER_CLIENT, 2, 1), (OTHER_CLIENT, 3, 1)]);
    latency.forget_clients(&[], &[2]);
    let others = (OTHER_CLIENT, OTHER_CLIENT, 1);
    assert_eq!(left(&latency), [(4, 3, 1), (4, OTHER_CLIENT, 1), (OTHER_CLIENT, 3, 1), others]);
    latency.forget_clients(&[4], &[3]);
    assert_eq!(left(&latency), [(OTHER_CLIENT, OTHER_CLIENT, 4)]);
}

#[test]
fn the_minute_is_bounded_in_bytes_and_the_oldest_second_goes_first() {
    let (counts, mut latency) = (full(), Latency::default());
    let series = RECENT_BYTES_MAX / (counts.bytes() * 60) + 2;
    for second in 0..60 {
        for op in 0..series as u8 {
            latency.series.entry(Series::Stage(op)).or_default().recent.add(second, &counts);
            latency.clients.entry(place(op, 0, 0, 0)).or_default().add(second, &counts);
        }
        latency.expire(Tick { second, unix_ms: second * 1_000 });
    }
    let bytes: usize = latency.recents().map(|recent| recent.bytes()).sum();
    assert!(bytes <= RECENT_BYTES_MAX && bytes > RECENT_BYTES_MAX / 2, "{bytes}");
    let oldest: Vec<_> = latency.recents().map(|recent| recent.oldest()).collect();
    assert!(oldest[0] > Some(0) && oldest.iter().all(|second| *second == oldest[0]), "{oldest:?}");
    let kept = 60 - oldest[0].unwrap();
    assert!(latency.recents().all(|recent| recent.sum().total() == kept * counts.total()), "a sum of what is there");
}

#[test]
fn what_is_said_of_memory_is_what_it_comes_to() {
    let said = include_str!("../latency.rs");
    let series = SIGNAL_SERIES_MAX + OPS.len() * (REGIONS_MAX + 1) + Stage::ALL.len();
    // of the native buckets each has a place in a tree that is at worst half full
    let mut total = Total::default();
    total.add(&full(), Duration::ZERO);
    let total = size_of::<Total>() + 2 * total.native().count() * size_of::<(i32, u64)>();
    assert!(total < 10_000, "{total}");
    for figure in [
        format!("at most {} MiB", RECENT_BYTES_MAX / MIB),
        format!("at most {series}"),
        format!("{:.1} MB", series as f64 * 10e3 / 1e6),
    ] {
        assert!(said.replace("\n//!", "").contains(&figure), "the module's docs should say {figure}");
    }
    assert_eq!((RECENT_BYTES_MAX, size_of::<(u32, u32)>()), (HOUR_BYTES_MAX, 8));
}

#[test]
fn the_hour_is_bounded_in_bytes_and_the_oldest_minute_goes_first() {
    let (counts, mut latency) = (full(), Latency::default());
    let minutes = 60;
    let series = HOUR_BYTES_MAX / (counts.bytes() * minutes) + 2;
    for minute in 0..minutes as u64 {
        let tick = Tick { second: minute * 60, unix_ms: minute * 60_000 };
        for op in 0..series {
            let series = Series::Delivery { op: (op % OPS.len()) as u8, region: (op / OPS.len()) as u8 };
            latency.series.entry(series).or_default().hour.add(tick, &counts);
        }
        latency.expire(tick);
    }
    let bytes: usize = latency.series().map(|(_, aggregate)| aggregate.hour.bytes()).sum();
    assert!(bytes <= HOUR_BYTES_MAX && bytes > HOUR_BYTES_MAX / 2, "{bytes}");
    let oldest: Vec<_> = latency.series().map(|(_, aggregate)| aggregate.hour.oldest()).collect();
    assert!(oldest[0] > Some(0) && oldest.iter().all(|minute| *minute == oldest[0]), "{oldest:?}");
}

/// A client that says something else of itself with every join.
#[test]
fn a_new_sdk_version_with_every_join_makes_no_more_series() {
    let started = Instant::now();
    let telemetry = Telemetry::new(settings(started));
    for second in 0..60_u64 {
        let at = started + Duration::from_secs(second);
        for number in 0..100 {
            let client = crate::protocol::v1::ClientInfo {
                sdk: "junk".to_owned(),
                version: format!("{second}.{number}"),
                device: String::new(),
            };
            let join = crate::protocol::v1::Join {
                scenario: format!("s{number}"),
                client: Some(client),
                ..crate::protocol::v1::Join::default()
            };
            let origin = Origin { labels: telemetry.labels(&join), ..Origin::default() };
            let event = Event::SignalEnded { signal: signal(OpKind::Join, at, MS), outcome: Outcome::Ok };
            telemetry.observe_from(&event, &origin, at);
        }
        telemetry.drain(at, UNIX + Duration::from_secs(second));
    }
    let report = telemetry.latency_report(Duration::from_secs(60), None);
    assert!(report.clients.len() <= 81, "{}", report.clients.len());
    assert_eq!(report.clients.iter().map(|row| row.quantiles.count).sum::<u64>(), 6_000);
    assert!(report.clients.iter().any(|row| row.sdk_version == "other"));
    assert_eq!(report.rows.iter().find(|row| row.subject.op == "join").unwrap().quantiles.count, 6_000);
}

#[test]
fn a_region_that_is_not_configured_is_other_and_none_is_the_routers_own() {
    let telemetry = Telemetry::new(settings(Instant::now()));
    let region = |said: &str| {
        let join = crate::protocol::v1::Join { region: said.to_owned(), ..crate::protocol::v1::Join::default() };
        telemetry.region(telemetry.labels(&join).region).to_owned()
    };
    assert_eq!(["", "sh", "sz", "nowhere", "other"].map(region), ["sh", "sh", "sz", "other", "other"]);
    assert_eq!(telemetry.region(Labels::default().region), "other");
}

#[test]
fn an_interval_log_points_at_the_minutes_and_what_is_drained_meanwhile_does_not_change_it() {
    let started = Instant::now();
    let telemetry = Telemetry::new(settings(started));
    let end_and_drain = |second: u64| {
        let at = started + Duration::from_secs(second);
        let event = Event::SignalEnded { signal: signal(OpKind::Ping, at, MS), outcome: Outcome::Ok };
        telemetry.observe(&event, at);
        telemetry.drain(at, UNIX + Duration::from_secs(second));
    };
    end_and_drain(1);
    let slices = telemetry.minutes(Duration::from_secs(3_600));
    let again = telemetry.minutes(Duration::from_secs(3_600));
    assert_eq!(slices.len(), 2, "the signal and its one stage");
    assert!(slices.iter().zip(&again).all(|((_, one), (_, other))| Arc::ptr_eq(&one.counts, &other.counts)));
    end_and_drain(2);
    assert!(slices.iter().all(|(_, slice)| slice.counts.total() == 1 && slice.length() == Duration::from_secs(1)));
    let after = telemetry.minutes(Duration::from_secs(3_600));
    assert!(after.iter().all(|(_, slice)| slice.counts.total() == 2 && slice.length() == Duration::from_secs(2)));
}

#[test]
fn a_minute_is_as_long_as_it_is_also_when_the_clock_is_set_back() {
    let started = Instant::now();
    let telemetry = Telemetry::new(settings(started));
    for (second, unix) in [(1, 4_000), (2, 4_001), (3, 402), (4, 403)] {
        let at = started + Duration::from_secs(second);
        let event = Event::SignalEnded { signal: signal(OpKind::Ping, at, MS), outcome: Outcome::Ok };
        telemetry.observe(&event, at);
        telemetry.drain(at, UNIX + Duration::from_secs(unix));
    }
    let log = telemetry.latency_log(Duration::from_secs(3_600)).unwrap();
    let intervals = crate::telemetry::interval_log::read(&log).unwrap();
    let told: Vec<_> = intervals.iter().map(|i| (i.tag.as_str(), i.start, i.length, i.histogram.len())).collect();
    let (start, length) = (UNIX + Duration::from_secs(3_999), Duration::from_secs(4));
    assert_eq!(told, [("signal.ping.other.ok", start, length, 4), ("stage.handle", start, length, 4)]);
}
