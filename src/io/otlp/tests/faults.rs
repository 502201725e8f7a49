//! A collector that is away, slow, refuses, comes back, or goes at the worst moment: bounded, counted, told once.

use std::net::TcpListener;

use super::*;

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// All that was kept has arrived, or is counted with its reason.
fn accounted(telemetry: &Telemetry) -> u64 {
    let lost: u64 =
        ["refused", "unreachable", "shutdown"].into_iter().map(|reason| traces_lost(telemetry, reason)).sum();
    lost + counted(telemetry, "signalbox_traces_exported_total")
}

#[test]
fn without_a_collector_traces_are_lost_by_count_the_queue_has_a_bound_and_the_end_is_in_time() {
    let telemetry = telemetry(8);
    let lines = LogQueue::new(100);
    let settings = Settings { timeout: 300 * MS, shutdown_timeout: 500 * MS, ..settings(nobody()) };
    let exporter = start(&settings, &telemetry, &lines);
    observe_slow(&telemetry, 100);
    assert!(traces_lost(&telemetry, "queue_full") >= 100 - 2 * 8);
    until("a lost batch", || traces_lost(&telemetry, "unreachable") > 0);
    observe_slow(&telemetry, 8);
    let ended_in = finish(&exporter);
    assert!(ended_in < settings.shutdown_timeout + SLACK, "{ended_in:?}");
    let kept = counted(&telemetry, "signalbox_traces_kept_total{reason=\"slow\"}");
    assert_eq!(kept + traces_lost(&telemetry, "queue_full"), 108);
    assert_eq!((accounted(&telemetry), counted(&telemetry, "signalbox_traces_exported_total")), (kept, 0));
    assert!(telemetry.fetch_traces(10).is_empty());
    telemetry.drain(Instant::now(), Duration::from_secs(1_800_000_001));
    assert_eq!(telemetry.exemplar_traces(), []);
    let said = said(&lines);
    assert!(said[0].0 == "not exported" && said[0].1.starts_with("Unavailable: "), "{said:?}");
}

#[test]
fn a_collector_that_never_answers_holds_up_nothing_and_is_used_again_once_it_does() {
    let sink = Sink::start();
    sink.answer(Answer::Hang);
    let telemetry = telemetry(64);
    let lines = LogQueue::new(100);
    let exporter = start(&Settings { timeout: 200 * MS, ..settings(sink.endpoint()) }, &telemetry, &lines);
    observe_slow(&telemetry, 3);
    until("the loss", || traces_lost(&telemetry, "unreachable") == 3);
    sink.answer(Answer::Take);
    observe_slow(&telemetry, 2);
    sink.until("the traces after it", |sink| sink.roots().len() == 2);
    finish(&exporter);
    let expected = [("not exported", "no answer within 200ms"), ("the collector takes them again", "")];
    assert_eq!(said(&lines), expected.map(|(text, cause)| (text.to_owned(), cause.to_owned())));
    // as many batches as the three signals were fetched in
    assert!((1..=3).contains(&counted(&telemetry, "signalbox_export_failures_total{kind=\"traces\"}")));
}

#[test]
fn a_refusal_is_final_counted_and_told_without_the_collectors_words() {
    let sink = Sink::start();
    sink.answer(Answer::Refuse(tonic::Code::PermissionDenied));
    let telemetry = telemetry(64);
    let lines = LogQueue::new(100);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &lines);
    observe_slow(&telemetry, 5);
    finish(&exporter);
    assert_eq!((traces_lost(&telemetry, "refused"), accounted(&telemetry)), (5, 5));
    // as many calls as batches: two when the first was fetched before all were there
    assert!(sink.calls() <= 2, "{}", sink.calls());
    assert_eq!(said(&lines)[0], ("not exported".to_owned(), "PermissionDenied".to_owned()));
}

#[test]
fn a_collector_that_is_unavailable_for_a_moment_gets_everything_once() {
    let sink = Sink::start();
    sink.answer(Answer::RefuseOften(tonic::Code::Unavailable, 2));
    let telemetry = telemetry(64);
    let lines = LogQueue::new(100);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &lines);
    observe_slow(&telemetry, 4);
    sink.until("all of them", |sink| sink.roots().len() == 4);
    finish(&exporter);
    assert_eq!((sink.roots().len(), counted(&telemetry, "signalbox_traces_exported_total")), (4, 4));
    assert_eq!((accounted(&telemetry), said(&lines).len()), (4, 0));
}

#[test]
fn a_collector_that_restarts_gets_what_comes_after() {
    let sink = Sink::start();
    let telemetry = telemetry(64);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    observe_slow(&telemetry, 1);
    sink.until("the first", |sink| sink.roots().len() == 1);
    let addr = sink.addr;
    drop(sink);
    // its port is free once its thread has ended
    until("the end of the collector", || TcpListener::bind(addr).is_ok());
    observe_slow(&telemetry, 1);
    let sink = Sink::start_at(addr, None);
    sink.until("the second", |sink| sink.roots().len() == 1);
    finish(&exporter);
    assert_eq!(counted(&telemetry, "signalbox_traces_exported_total"), 2);
}

#[test]
fn when_the_router_ends_while_the_collector_hangs_the_deadline_holds_and_the_rest_is_counted() {
    let sink = Sink::start();
    sink.answer(Answer::Hang);
    let telemetry = telemetry(1024);
    let settings = Settings { shutdown_timeout: 300 * MS, ..settings(sink.endpoint()) };
    let exporter = start(&settings, &telemetry, &LogQueue::new(100));
    observe_slow(&telemetry, 1);
    sink.until("a batch on its way", |sink| sink.calls() == 1);
    observe_slow(&telemetry, 600);
    let ended_in = finish(&exporter);
    assert!(ended_in >= 300 * MS && ended_in < settings.shutdown_timeout + SLACK, "{ended_in:?}");
    assert_eq!((traces_lost(&telemetry, "shutdown"), accounted(&telemetry)), (601, 601));
}

#[test]
fn what_waits_at_the_end_is_flushed_when_the_collector_takes_it() {
    let sink = Sink::start();
    let telemetry = telemetry(1024);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    observe_slow(&telemetry, 700);
    let ended_in = finish(&exporter);
    assert!(ended_in < 10 * SLACK, "it ends when it is done: {ended_in:?}");
    assert_eq!((sink.roots().len(), accounted(&telemetry)), (700, 700));
}

#[test]
fn a_burst_is_fetched_before_the_queue_is_full() {
    let sink = Sink::start();
    let telemetry = telemetry(64);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    assert_woken(|round| {
        observe_slow(&telemetry, 32);
        sink.until("the burst", |sink| sink.roots().len() == round * 32);
    });
    finish(&exporter);
    assert_eq!((traces_lost(&telemetry, "queue_full"), accounted(&telemetry)), (0, 288));
}

#[test]
fn a_dropped_exporter_ends_at_once() {
    let sink = Sink::start();
    sink.answer(Answer::Hang);
    let telemetry = telemetry(64);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    observe_slow(&telemetry, 3);
    sink.until("a batch on its way", |sink| sink.calls() == 1);
    drop(exporter);
    until("its end", || accounted(&telemetry) == 3);
}

#[test]
fn of_a_batch_that_was_taken_in_part_no_trace_is_pointed_at() {
    let sink = Sink::start();
    sink.answer(Answer::Reject(2));
    let telemetry = telemetry(64);
    let lines = LogQueue::new(100);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &lines);
    observe_slow(&telemetry, 1);
    finish(&exporter);
    assert_eq!((traces_lost(&telemetry, "refused"), accounted(&telemetry)), (1, 1));
    telemetry.drain(Instant::now(), Duration::from_secs(1_800_000_001));
    assert_eq!(telemetry.exemplar_traces(), []);
    assert_eq!(said(&lines)[0].1, "the collector rejected 2 of them");
}
