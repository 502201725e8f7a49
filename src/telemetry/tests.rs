mod agreement;
mod captures;
pub(super) mod directory;
mod exports;
pub(super) mod fabric;
mod guard;
pub(super) mod journal;
mod keeping;
pub(super) mod kept_rooms;
pub(super) mod media;
pub(super) mod placement;
mod process;
pub(super) mod relay;
pub(super) mod usual;
mod variants;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;
use crate::{
    event::{Captured, Changed, Delivery, DrainPhase, Event, Guarded, Outcome, Signal, Stage, Varied},
    ids::{ConnectionId, SessionId},
    protocol::{Code, OpKind},
};

/// When all tests begin, by the wall clock.
pub(super) const UNIX: Duration = Duration::from_secs(1_800_000_000);

pub(super) fn settings(started: Instant) -> Settings {
    Settings {
        version: "1.2.3".to_owned(),
        instance_id: "r1".to_owned(),
        shards: 2,
        inbox_bound: 1024,
        region: "sh".to_owned(),
        regions: vec!["sz".to_owned()],
        measures: true,
        traces_waiting_max: 1_000,
        head_rate: 0.0,
        config_hash: 0,
        started,
        started_unix: UNIX,
    }
}

pub(super) fn telemetry(started: Instant) -> Telemetry {
    Telemetry::new(settings(started))
}

/// A signal that was handled that long after its frame came, and wanted no answer.
pub(super) fn signal(op: OpKind, received: Instant, took: Duration) -> Box<Signal> {
    let mut signal = Box::new(Signal::new(op, received));
    signal.timeline.end(Stage::Handle, received + took);
    signal
}

pub(super) fn ended(op: OpKind, outcome: Outcome) -> Event {
    let received = Instant::now();
    Event::SignalEnded { signal: signal(op, received, Duration::from_millis(2)), outcome }
}

/// What is scraped, by `name{labels}`.
fn scrape(telemetry: &Telemetry) -> BTreeMap<String, f64> {
    let process = Process { cpu_seconds: 1.5, ..Process::default() };
    let text = String::from_utf8(telemetry.render(exposition::Format::Text, Some(&process))).unwrap();
    let written = |(name, labels): (String, Vec<(String, String)>)| {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if labels.is_empty() { name } else { format!("{name}{{{}}}", labels.join(",")) }
    };
    exposition::tests::read::text(&text).samples.into_iter().map(|(series, value)| (written(series), value)).collect()
}

/// The series that an event moves, and by how much.
fn moved(telemetry: &Telemetry, event: &Event, at: Instant) -> BTreeMap<String, f64> {
    telemetry.drain(at, UNIX);
    let before = scrape(telemetry);
    telemetry.observe(event, at);
    telemetry.drain(at, UNIX);
    let after = scrape(telemetry);
    after
        .into_iter()
        .map(|(series, value)| {
            let was = before.get(&series).copied().unwrap_or(0.0);
            (series, value - was)
        })
        // latencies are looked at where they are exposed; what is held back is of whatever repeats
        .filter(|(series, by)| *by != 0.0 && !series.contains("_latency_") && !series.contains("_p99_"))
        .filter(|(series, _)| series != "signalbox_log_lines_held_back_total")
        .collect()
}

fn sessions_and_rooms() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let (session, room) = (|| SessionId::from("s1"), || "r1".into());
    vec![
        (
            Event::SessionOpened {
                session: session(),
                identity: "bob".into(),
                room: room(),
                connection: ConnectionId(1),
                labels: Labels::default(),
            },
            vec![("signalbox_sessions_opened_total", 1.0), ("signalbox_variant_sessions{variant=\"default\"}", 1.0)],
        ),
        (
            Event::SessionResumed { session: session(), recovered: true },
            vec![("signalbox_resumes_total{result=\"recovered\"}", 1.0)],
        ),
        (
            Event::SessionResumed { session: session(), recovered: false },
            vec![("signalbox_resumes_total{result=\"snapshot\"}", 1.0)],
        ),
        (
            Event::SessionDropped { session: session(), reason: Code::ConnectionLost },
            vec![("signalbox_sessions_dropped_total{reason=\"connection_lost\"}", 1.0)],
        ),
        (
            Event::SessionClosed { session: session(), reason: Code::Left, labels: Labels::default() },
            vec![
                ("signalbox_sessions_closed_total{reason=\"left\"}", 1.0),
                ("signalbox_variant_sessions{variant=\"default\"}", -1.0),
            ],
        ),
        (Event::RoomCreated { room: room() }, vec![("signalbox_rooms_created_total", 1.0)]),
        (
            Event::RoomClosed { room: room(), reason: Code::RoomDeleted },
            vec![("signalbox_rooms_closed_total{reason=\"room_deleted\"}", 1.0)],
        ),
    ]
}

fn signals_and_connections() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let delivery = Delivery { op: OpKind::Send, received_ns: 0, handled_after_us: 5 };
    vec![
        (ended(OpKind::Join, Outcome::Ok), vec![("signalbox_signals_total{op=\"join\",outcome=\"ok\"}", 1.0)]),
        (
            ended(OpKind::Unknown, Outcome::Refused(Code::WrongRoom)),
            vec![
                ("signalbox_signal_refusals_total{code=\"wrong_room\"}", 1.0),
                ("signalbox_signals_total{op=\"unknown\",outcome=\"error\"}", 1.0),
                ("signalbox_traces_kept_total{reason=\"error\"}", 1.0),
                ("signalbox_traces_waiting", 1.0),
            ],
        ),
        (Event::Delivered { deliveries: vec![delivery; 3], others: 4 }, vec![("signalbox_deliveries_total", 7.0)]),
        (Event::PushDiscarded { buffer: "held" }, vec![("signalbox_pushes_discarded_total{buffer=\"held\"}", 1.0)]),
        (Event::PushDiscarded { buffer: "new" }, vec![("signalbox_pushes_discarded_total{buffer=\"other\"}", 1.0)]),
        (
            Event::ConnectionOpened { transport: "websocket" },
            vec![("signalbox_connections_total{transport=\"websocket\"}", 1.0)],
        ),
        (
            Event::ConnectionClosed { transport: "grpc", reason: Code::Idle },
            vec![("signalbox_connections_closed_total{transport=\"grpc\",reason=\"idle\"}", 1.0)],
        ),
        (
            Event::Shed { code: Code::RouterFull, peer_ip: None },
            vec![("signalbox_sheds_total{reason=\"router_full\"}", 1.0)],
        ),
    ]
}

fn operations() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let admin = |call, outcome| Event::AdminCalled { call, key: "k1".into(), room: Some("r1".into()), outcome };
    vec![
        (
            admin("delete_room", Outcome::Ok),
            vec![("signalbox_admin_calls_total{call=\"delete_room\",outcome=\"ok\"}", 1.0)],
        ),
        (
            admin("mute_track", Outcome::Refused(Code::TrackNotFound)),
            vec![("signalbox_admin_calls_total{call=\"mute_track\",outcome=\"error\"}", 1.0)],
        ),
        (
            Event::DrainAdvanced { phase: DrainPhase::Advising },
            vec![
                ("signalbox_drain_phase{phase=\"advising\"}", 1.0),
                ("signalbox_drain_phase{phase=\"serving\"}", -1.0),
            ],
        ),
        (
            Event::KeysRefreshed { source: "jwks", keys: Ok(2) },
            vec![("signalbox_keys_refreshed_total{source=\"jwks\",result=\"ok\"}", 1.0)],
        ),
        (
            Event::KeysRefreshed { source: "oidc", keys: Err("away".to_owned()) },
            vec![("signalbox_keys_refreshed_total{source=\"oidc\",result=\"error\"}", 1.0)],
        ),
        (
            Event::ExportFailed { kind: "traces", cause: "Unavailable".to_owned(), lost: 3 },
            vec![("signalbox_export_failures_total{kind=\"traces\"}", 1.0)],
        ),
        // for logs only: nothing is missing any more
        (Event::ExportRecovered { kind: "traces" }, Vec::new()),
        (
            Event::IntrospectionFailed { fault: "away".to_owned() },
            vec![("signalbox_introspection_failures_total", 1.0)],
        ),
        (Event::CertificatesReloaded { ok: true }, vec![("signalbox_certificates_reloaded_total{result=\"ok\"}", 1.0)]),
        (
            Event::CertificateShown { listener: "ops", expires: Duration::from_secs(9) },
            vec![("signalbox_certificate_expiry_timestamp_seconds{listener=\"ops\"}", 9.0)],
        ),
        (
            Event::CertificatesReloaded { ok: false },
            vec![("signalbox_certificates_reloaded_total{result=\"error\"}", 1.0)],
        ),
    ]
}

fn configurations() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let changed = Changed { key: "limits.rooms".to_owned(), from: "1".to_owned(), to: "2".to_owned(), live: true };
    let reloaded =
        |generation, changes| Event::ConfigReloaded { generation, hash: 9, changes, rules: 0, refused: false };
    vec![
        (
            Event::ConfigRefused { why: vec!["server.id needs a restart".to_owned()], rules: None },
            vec![("signalbox_config_reloads_total{result=\"error\"}", 1.0), ("signalbox_config_refused", 1.0)],
        ),
        (
            Event::ConfigRefused { why: vec!["server.id: not for a whole fleet".to_owned()], rules: Some(9) },
            vec![("signalbox_config_reloads_total{result=\"error\"}", 1.0)],
        ),
        (
            reloaded(2, vec![changed]),
            vec![
                ("signalbox_config_reloads_total{result=\"ok\"}", 1.0),
                ("signalbox_config_generation", 1.0),
                ("signalbox_config_hash", 9.0),
                ("signalbox_config_refused", -1.0),
            ],
        ),
        (reloaded(2, Vec::new()), vec![("signalbox_config_reloads_total{result=\"unchanged\"}", 1.0)]),
        // the file is refused, and rules were taken up over the one that runs
        (
            Event::ConfigReloaded { generation: 2, hash: 9, changes: Vec::new(), rules: 7, refused: true },
            vec![("signalbox_config_reloads_total{result=\"unchanged\"}", 1.0), ("signalbox_config_refused", 1.0)],
        ),
    ]
}

fn every_event() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let parts = [media::events(), placement::events(), variants::events(), guard::events()].concat();
    let parts =
        [parts, directory::events(), fabric::events(), kept_rooms::events(), journal::events(), relay::events()]
            .concat();
    let quiet = [operations(), configurations(), process::events(), captures::events(), parts].concat();
    [signals_and_connections(), sessions_and_rooms(), quiet].concat()
}

/// A number for each kind of event. A new one does not compile until it is here, and fails below until it is above.
fn kind(event: &Event) -> usize {
    match event {
        Event::SignalEnded { .. } => 0,
        Event::Delivered { .. } => 1,
        Event::SessionOpened { .. } => 2,
        Event::SessionResumed { .. } => 3,
        Event::SessionDropped { .. } => 4,
        Event::SessionClosed { .. } => 5,
        Event::RoomCreated { .. } => 6,
        Event::RoomClosed { .. } => 7,
        Event::PushDiscarded { .. } => 8,
        Event::ConnectionOpened { .. } => 9,
        Event::ConnectionClosed { .. } => 10,
        Event::Shed { .. } => 11,
        Event::AdminCalled { .. } => 12,
        Event::DrainAdvanced { .. } => 13,
        Event::KeysRefreshed { .. } => 14,
        Event::IntrospectionFailed { .. } => 15,
        Event::CertificatesReloaded { .. } => 16,
        Event::AcceptFailed { .. } => 17,
        Event::WorkerStalled { .. } => 18,
        Event::WorkerReturned { .. } => 19,
        Event::LogLevelChanged { .. } => 20,
        Event::ExportFailed { .. } => 21,
        Event::ExportRecovered { .. } => 22,
        Event::TickPanicked { .. } => 23,
        Event::ProfilerChanged { .. } => 24,
        Event::StallPlaced { .. } => 25,
        Event::Captured(Captured::Made { .. }) => 26,
        Event::Captured(Captured::Joined { .. }) => 27,
        Event::Captured(Captured::Refused { .. }) => 28,
        Event::Captured(Captured::Ready { .. }) => 29,
        Event::Captured(Captured::MadeWay { .. }) => 30,
        Event::Captured(Captured::Lost { .. }) => 31,
        Event::Captured(Captured::FolderFailed { .. }) => 32,
        Event::FaultInjected { .. } => 33,
        Event::FaultEnded { .. } => 34,
        Event::CertificateShown { .. } => 35,
        Event::BaselineFailed { .. } => 36,
        Event::ConfigReloaded { .. } => 37,
        Event::ConfigRefused { .. } => 38,
        Event::Variant(Varied::InForce { .. }) => 39,
        Event::Variant(Varied::Assigned { .. }) => 40,
        Event::Media(_) => 41,
        Event::Placement(_) => 42,
        Event::Guard(Guarded::Refused { .. }) => 43,
        Event::Guard(Guarded::PressureChanged { .. }) => 44,
        Event::Guard(Guarded::Forgotten { .. }) => 45,
        Event::Directory(_) => 46,
        Event::Fabric(_) => 47,
        Event::Keeping(_) => 48,
        Event::Relay(_) => 49,
        Event::Journal(_) => 50,
    }
}

#[test]
fn every_event_moves_its_own_series_and_no_other() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let events = every_event();
    let kinds: BTreeSet<usize> = events.iter().map(|(event, _)| kind(event)).collect();
    assert_eq!(kinds, (0..=50).collect());
    for (event, expected) in events {
        let expected: BTreeMap<_, _> = expected.into_iter().map(|(series, by)| (series.to_owned(), by)).collect();
        assert_eq!(moved(&telemetry, &event, started), expected, "{event:?}");
        // the same once more: a counter that was made on demand is found again, a phase stays what it is
        let again = moved(&telemetry, &event, started);
        let stays = matches!(
            event,
            Event::DrainAdvanced { .. }
                | Event::CertificateShown { .. }
                | Event::FaultInjected { .. }
                | Event::FaultEnded { .. }
                | Event::Variant(Varied::InForce { .. })
        );
        let counted = |expected: BTreeMap<String, f64>| {
            // what runs, and whether it was refused, stays what it is; so does what is known of a node
            let state = matches!(event, Event::ConfigReloaded { .. } | Event::ConfigRefused { .. } | Event::Media(_));
            expected.into_iter().filter(|(series, _)| !state || series.contains("_total")).collect()
        };
        assert_eq!(again, if stays { BTreeMap::new() } else { counted(expected) }, "{event:?}");
    }
}

#[test]
fn levels_are_shown_as_told() {
    let telemetry = telemetry(Instant::now());
    let here = Population { sessions: 5, rooms: 2, participants: 4 };
    telemetry.set_population(here);
    telemetry.set_inbox_depth(1, 17);
    telemetry.set_inbox_depth(2, 18);
    let samples = scrape(&telemetry);
    assert_eq!(telemetry.population(), here);
    assert_eq!(samples["signalbox_sessions"], 5.0);
    assert_eq!(samples["signalbox_rooms"], 2.0);
    assert_eq!(samples["signalbox_participants"], 4.0);
    assert_eq!(samples["signalbox_shard_inbox_depth{shard=\"1\"}"], 17.0);
    assert_eq!(samples["signalbox_shard_inbox_bound{shard=\"1\"}"], 1024.0);
    assert!(!samples.contains_key("signalbox_shard_inbox_depth{shard=\"2\"}"));
}

#[test]
fn two_routers_of_one_process_do_not_count_for_each_other() {
    let (one, other) = (telemetry(Instant::now()), telemetry(Instant::now()));
    one.observe(&Event::Delivered { deliveries: Vec::new(), others: 3 }, one.started);
    one.drain(one.started, UNIX);
    other.drain(other.started, UNIX);
    assert_eq!(scrape(&one)["signalbox_deliveries_total"], 3.0);
    assert_eq!(scrape(&other)["signalbox_deliveries_total"], 0.0);
}

#[test]
fn counts_of_many_threads_add_up_also_while_they_are_drained() {
    let telemetry = telemetry(Instant::now());
    let event = ended(OpKind::Send, Outcome::Refused(Code::BadRequest));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|_| telemetry.observe(&event, telemetry.started)));
        }
        (0..20).for_each(|_| telemetry.drain(telemetry.started, UNIX));
    });
    telemetry.drain(telemetry.started, UNIX);
    let samples = scrape(&telemetry);
    assert_eq!(samples["signalbox_signals_total{op=\"send\",outcome=\"error\"}"], 4000.0);
    assert_eq!(samples["signalbox_signal_refusals_total{code=\"bad_request\"}"], 4000.0);
}

#[test]
fn histograms_that_were_used_are_used_again() {
    let telemetry = telemetry(Instant::now());
    for _ in 0..3 {
        telemetry.observe(&ended(OpKind::Send, Outcome::Ok), telemetry.started);
        telemetry.drain(telemetry.started, UNIX);
    }
    let threads = 0..telemetry.recorder_of_latency.threads();
    let kept = threads.map(|thread| {
        let mut set = recorder::Interval::default();
        telemetry.recorder_of_latency.exchange(thread, &mut set);
        set.histograms()
    });
    let kept = kept.sum::<usize>() + telemetry.drained().spare.histograms();
    assert!(kept >= 2, "{kept} are left for what is recorded next");
}

#[test]
fn a_scrape_between_drains_finds_counters_and_latencies_of_the_same_moment() {
    let telemetry = telemetry(Instant::now());
    let event = ended(OpKind::Send, Outcome::Ok);
    let ends = std::sync::atomic::AtomicBool::new(false);
    let scraped = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                telemetry.observe(&event, telemetry.started);
                telemetry.drain(telemetry.started, UNIX);
            }
        });
        let of = |samples: &BTreeMap<String, f64>, name: &str| {
            let of_sends = |(series, _): &(&String, _)| series.starts_with(name) && series.contains("op=\"send\"");
            samples.iter().filter(of_sends).map(|(_, value)| value).sum::<f64>()
        };
        let scraped = (0..200).map(|_| scrape(&telemetry)).map(|samples| {
            (of(&samples, "signalbox_signals_total{"), of(&samples, "signalbox_signal_latency_seconds_count{"))
        });
        let scraped: Vec<_> = scraped.collect();
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        scraped
    });
    assert!(scraped.iter().all(|(counted, measured)| counted == measured), "{scraped:?}");
    assert!(scraped.last() > scraped.first(), "nothing was drained meanwhile");
}

#[test]
fn a_storm_of_sheds_is_one_line_and_then_a_count() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let shed = |code| Event::Shed { code, peer_ip: Some([203, 0, 113, 9].into()) };
    let lines = logs::capture("info", || {
        (0..100).for_each(|_| telemetry.observe(&shed(Code::RouterFull), started));
        telemetry.observe(&shed(Code::OriginRefused), started);
        telemetry.settle(started + Duration::from_secs(1));
        telemetry.settle(started + Duration::from_secs(11));
        telemetry.settle(started + Duration::from_secs(30));
    });
    let said: Vec<_> = lines.iter().map(|line| (line["message"].as_str(), line["reason"].as_str())).collect();
    let shed = |reason| (Some("shed"), Some(reason));
    let held = (Some("repeated lines were held back"), Some("router_full"));
    assert_eq!(said, [shed("router_full"), shed("origin_refused"), held]);
    assert_eq!(lines[0]["peer_ip"], "203.0.113.9");
    assert_eq!(lines[2]["held_back"], 99);
}

#[test]
fn admin_changes_are_each_on_record_with_their_key_and_signals_are_not() {
    let telemetry = telemetry(Instant::now());
    let lines = logs::capture("info", || {
        telemetry.observe(&ended(OpKind::Send, Outcome::Ok), telemetry.started);
        telemetry.observe(&Event::Delivered { deliveries: Vec::new(), others: 1 }, telemetry.started);
        for room in ["r1", "r2", "r3"] {
            let (call, key, room) = ("delete_room", "k1".to_owned(), Some(room.to_owned()));
            telemetry.observe(&Event::AdminCalled { call, key, room, outcome: Outcome::Ok }, telemetry.started);
        }
    });
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, room) in lines.iter().zip(["r1", "r2", "r3"]) {
        assert_eq!((&line["call"], &line["key"], &line["room"]), (&"delete_room".into(), &"k1".into(), &room.into()));
        assert_eq!(line["level"], "INFO");
    }
}

#[test]
fn an_event_is_at_most_one_line_at_any_level() {
    let started = Instant::now();
    for (event, _) in every_event() {
        let telemetry = telemetry(started);
        let lines = logs::capture("trace", || telemetry.observe(&event, started));
        let silent = matches!(event, Event::SignalEnded { outcome: Outcome::Ok, .. } | Event::Delivered { .. });
        assert_eq!(lines.len(), usize::from(!silent), "{event:?}: {lines:?}");
    }
}
