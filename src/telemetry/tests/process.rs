//! The process itself: its runtime, its workers, its log.

use serde_json::Value;

use super::*;
use crate::{
    event::{Fault, Origin, SpanId, TraceId, Whereabouts},
    telemetry::runtime::{Runtime, Worker},
};

const HELD_BACK: &str = "signalbox_log_lines_held_back_total";

fn stalled(place: Whereabouts) -> Event {
    Event::WorkerStalled { worker: 1, tid: Some(7), stalled_for: Duration::from_millis(250), place: Box::new(place) }
}

fn returned(stalled_ms: u64) -> Event {
    Event::WorkerReturned { worker: 1, tid: Some(7), stalled_for: Duration::from_millis(stalled_ms) }
}

/// What belongs in the table of all events.
pub(super) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let level = |text: &str| text.to_owned();
    let fault_active = "signalbox_fault_active{fault=\"cpu\"}";
    vec![
        (
            Event::AcceptFailed { error: "too many open files".to_owned() },
            vec![("signalbox_sheds_total{reason=\"router_full\"}", 1.0)],
        ),
        (
            stalled(Whereabouts::default()),
            vec![("signalbox_worker_stalls_total", 1.0), ("signalbox_workers_stalled", 1.0)],
        ),
        (returned(1_500), vec![("signalbox_worker_stalled_seconds_total", 1.5), ("signalbox_workers_stalled", -1.0)]),
        (
            Event::LogLevelChanged { from: level("info"), to: level("debug") },
            vec![("signalbox_log_level_changes_total", 1.0)],
        ),
        (
            Event::TickPanicked { thread: "metronome" },
            vec![("signalbox_ticks_panicked_total{thread=\"metronome\"}", 1.0)],
        ),
        (Event::FaultInjected { fault: Fault::Cpu }, vec![(fault_active, 1.0)]),
        (Event::FaultEnded { fault: Fault::Cpu, lasted: Duration::from_secs(60) }, vec![(fault_active, -1.0)]),
        (Event::ProfilerChanged { sampler: None, why: Some("it is switched off".to_owned()) }, Vec::new()),
        (Event::StallPlaced { worker: 1, tid: Some(7), blocked: true, stack: vec!["read".to_owned()] }, Vec::new()),
        (
            Event::BaselineFailed { doing: "read", why: "of the test".to_owned() },
            vec![("signalbox_baseline_failures_total{doing=\"read\"}", 1.0)],
        ),
        (Event::TickPanicked { thread: "new" }, vec![("signalbox_ticks_panicked_total{thread=\"other\"}", 1.0)]),
    ]
}

#[test]
fn a_limit_of_files_that_is_none_is_absent_and_not_zero() {
    let telemetry = telemetry(Instant::now());
    let scraped = |max_fds| {
        let process = Process { max_fds, ..Process::default() };
        let text = String::from_utf8(telemetry.render(exposition::Format::Text, Some(&process))).unwrap();
        text.lines().find_map(|line| line.strip_prefix("process_max_fds ").map(str::to_owned))
    };
    assert_eq!((scraped(Some(1_024)), scraped(None)), (Some("1024".to_owned()), None));
}

#[test]
fn each_drain_counts_so_that_an_alert_sees_when_there_are_none() {
    let telemetry = telemetry(Instant::now());
    let drains = || scrape(&telemetry)["signalbox_latency_drains_total"];
    assert_eq!(drains(), 0.0);
    (0..3).for_each(|_| telemetry.drain(telemetry.started, UNIX));
    assert_eq!(drains(), 3.0);
}

#[test]
fn a_tick_that_panics_each_time_is_one_line_of_its_thread_and_then_a_count() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let lines = logs::capture("info", || {
        for thread in ["metronome", "watchdog"] {
            (0..20).for_each(|_| telemetry.observe(&Event::TickPanicked { thread }, started));
        }
        telemetry.settle(started + Duration::from_secs(11));
    });
    let said: Vec<_> = lines.iter().map(|line| [&line["level"], &line["thread"], &line["held_back"]]).collect();
    assert_eq!(said[0], [&"ERROR".into(), &"metronome".into(), &Value::from(0)]);
    assert_eq!(said[1], [&"ERROR".into(), &"watchdog".into(), &Value::from(0)]);
    let held: Vec<_> = lines[2..].iter().map(|line| [&line["reason"], &line["held_back"]]).collect();
    assert_eq!(held, [[&Value::from("metronome"), &19.into()], [&"watchdog".into(), &19.into()]]);
}

#[test]
fn a_stall_is_a_line_that_says_where_the_thread_is_and_what_the_system_does_not_tell() {
    let telemetry = telemetry(Instant::now());
    let place = Whereabouts {
        state: Some("sleeping"),
        waits_in: Some("futex_do_wait".to_owned()),
        syscall: Some(202),
        kernel_stack: None,
    };
    let lines = logs::capture("info", || {
        telemetry.observe(&stalled(place), telemetry.started);
        telemetry.observe(&returned(1_500), telemetry.started);
    });
    let [stalled, returned] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&stalled["level"], &returned["level"]), (&"WARN".into(), &"INFO".into()));
    assert_eq!((&stalled["worker"], &stalled["tid"], &stalled["stalled_ms"]), (&1.into(), &7.into(), &250.into()));
    assert_eq!((&stalled["state"], &stalled["waits_in"]), (&"sleeping".into(), &"futex_do_wait".into()));
    assert_eq!((&stalled["syscall"], &stalled["kernel_stack"]), (&202.into(), &"not told".into()));
    assert_eq!(returned["stalled_ms"], 1_500);
}

#[test]
fn a_line_that_was_held_back_counts_once_and_is_told_of_once() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let lines = logs::capture("info", || {
        (0..10).for_each(|_| telemetry.observe(&stalled(Whereabouts::default()), started));
        (0..5).for_each(|_| telemetry.observe(&Event::AcceptFailed { error: "no files".to_owned() }, started));
        assert_eq!(scrape(&telemetry)[HELD_BACK], 13.0);
        telemetry.settle(started + Duration::from_secs(20));
        telemetry.settle(started + Duration::from_secs(40));
    });
    let held: Vec<_> = lines.iter().map(|line| (line["line"].as_str(), line["held_back"].as_u64())).collect();
    let told = [(Some("connections not accepted"), Some(4)), (Some("worker stalled"), Some(9))];
    assert_eq!(held, [&[(None, Some(0)), (None, Some(0))], &told[..]].concat());
    assert_eq!(scrape(&telemetry)[HELD_BACK], 13.0);
}

#[allow(clippy::needless_update)] // a build with tokio_unstable has more fields
#[test]
fn the_runtimes_figures_are_shown_as_told_and_workers_that_were_not_announced_are_left_out() {
    let telemetry = telemetry(Instant::now());
    let worker = |busy_ratio, parks| Worker { busy_ratio, parks, ..Worker::default() };
    let mut now = Runtime {
        workers: vec![worker(0.25, 10), worker(1.0, 20), worker(0.5, 30)],
        alive_tasks: 7,
        global_queue_depth: 3,
        ..Runtime::default()
    };
    telemetry.set_runtime(&now);
    let samples = scrape(&telemetry);
    let busy = |worker: u8| format!("signalbox_runtime_worker_busy_ratio{{worker=\"{worker}\"}}");
    assert_eq!((samples[&busy(0)], samples[&busy(1)]), (0.25, 1.0));
    assert!(!samples.contains_key(&busy(2)));
    assert_eq!(samples["signalbox_runtime_workers"], 3.0);
    assert_eq!(samples["signalbox_runtime_alive_tasks"], 7.0);
    assert_eq!(samples["signalbox_runtime_global_queue_depth"], 3.0);
    now.workers[0] = worker(0.0, 15);
    telemetry.set_runtime(&now);
    let samples = scrape(&telemetry);
    assert_eq!(samples[&busy(0)], 0.0);
    assert_eq!(samples["signalbox_runtime_worker_parks_total{worker=\"0\"}"], 15.0);
}

#[test]
fn lines_of_a_connection_carry_its_address_trace_and_room() {
    let telemetry = telemetry(Instant::now());
    let (trace, span) = (TraceId::new(0xabc).unwrap(), SpanId::new(1).unwrap());
    let (room, session) = ("r1".into(), SessionId::from("s1"));
    let origin = Origin {
        peer_ip: Some([203, 0, 113, 9].into()),
        transport: "websocket",
        trace: Some((trace, span)),
        room: Some(&room),
        session: Some(&session),
        ..Origin::default()
    };
    let opened = Event::SessionOpened {
        session: session.clone(),
        identity: "bob".into(),
        room: room.clone(),
        connection: ConnectionId(4),
        labels: origin.labels,
    };
    let events = [
        Event::ConnectionOpened { transport: "websocket" },
        opened,
        Event::ConnectionClosed { transport: "websocket", reason: Code::Idle },
        Event::Shed { code: Code::Draining, peer_ip: origin.peer_ip },
    ];
    let lines = logs::capture("trace", || {
        events.iter().for_each(|event| telemetry.observe_from(event, &origin, telemetry.started));
    });
    assert_eq!(lines.len(), events.len(), "{lines:?}");
    for line in &lines {
        assert_eq!((&line["peer_ip"], &line["trace_id"]), (&"203.0.113.9".into(), &trace.to_string().into()), "{line}");
    }
    assert_eq!(
        (&lines[1]["room"], &lines[2]["room"], &lines[2]["session"]),
        (&"r1".into(), &"r1".into(), &"s1".into())
    );
}
