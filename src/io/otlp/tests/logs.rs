//! Log lines as OTLP records.

use opentelemetry_proto::tonic::{common::v1::any_value::Value, logs::v1::LogRecord};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

/// What is logged to the queue by this thread meanwhile.
fn logging<T>(lines: &LogQueue, speak: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines.layer()), speak)
}

/// An exporter of both, from before what is said until all of it has been handed over.
fn exporting(sink: &Sink, telemetry: &Arc<Telemetry>, lines: &LogQueue, speak: impl FnOnce()) {
    let exporter = Exporter::start(&settings(sink.endpoint()), telemetry.clone(), Some(lines.clone())).unwrap();
    logging(lines, speak);
    finish(&exporter);
}

fn body(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn logs_lost(telemetry: &Telemetry, reason: &str) -> u64 {
    counted(telemetry, &format!("signalbox_logs_lost_total{{reason=\"{reason}\"}}"))
}

#[test]
fn a_line_is_a_record_with_its_level_fields_and_trace_and_says_who_it_is_from() {
    let (sink, telemetry, lines) = (Sink::start(), telemetry(16), LogQueue::new(100));
    let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    exporting(&sink, &telemetry, &lines, || {
        let peer_ip = Some(tracing::field::display("203.0.113.9"));
        tracing::warn!(target: "signalbox", op = "join", took_ms = 81.5, waiting = 3_u64, delivery = false, peer_ip, trace_id, span_id, "slow signal");
        tracing::info!(target: "signalbox", huge = u64::MAX, absent = None::<&str>, "of {} words", 3);
        observe_slow(&telemetry, 1);
    });
    let records = sink.records();
    // the slow signal itself is a line as well
    assert_eq!(records.iter().map(body).collect::<Vec<_>>(), ["slow signal", "of 3 words", "slow signal"]);
    let first = &records[0];
    assert_eq!((first.severity_text.as_str(), first.severity_number), ("WARN", 13));
    assert_eq!((hex(&first.trace_id), hex(&first.span_id)), (trace_id.to_owned(), span_id.to_owned()));
    assert!(first.time_unix_nano > 1_700_000_000_000_000_000 && first.observed_time_unix_nano == first.time_unix_nano);
    for (name, value) in
        [("op", "join"), ("took_ms", "81.5"), ("waiting", "3"), ("delivery", "false"), ("peer_ip", "203.0.113.9")]
    {
        assert_eq!(attribute(&first.attributes, name).as_deref(), Some(value), "{name}");
    }
    assert!(first.attributes.iter().all(|attribute| !["message", "trace_id", "span_id"].contains(&&*attribute.key)));
    assert_eq!(attribute(&records[1].attributes, "huge"), Some(u64::MAX.to_string()));
    assert!(records[1].trace_id.is_empty() && attribute(&records[1].attributes, "absent").is_none());
    let root = &sink.roots()[0];
    assert_eq!((&records[2].trace_id, &records[2].span_id), (&root.trace_id, &root.span_id), "logs and traces meet");
    let (of_traces, of_logs) = sink.resources();
    assert_eq!(of_traces[0], of_logs[0]);
    assert_eq!(counted(&telemetry, "signalbox_logs_exported_total"), 3);
}

#[test]
fn exporting_makes_no_lines_that_would_be_exported() {
    let (sink, telemetry, lines) = (Sink::start(), telemetry(16), LogQueue::new(1_000));
    let speak = || {
        for count in 1..=3 {
            tracing::trace!(target: "signalbox", "said");
            sink.until("the line", |sink| sink.records().len() >= count);
        }
    };
    // what the exporter has to say itself goes to the same queue
    logging(&lines, || exporting(&sink, &telemetry, &lines, speak));
    // nothing of tonic, hyper or h2, at any level
    assert!(sink.records().iter().all(|record| body(record) == "said"), "{:?}", sink.records());
    assert_eq!((sink.records().len(), lines.fetch(10).len()), (3, 0));
}

#[test]
fn a_full_queue_takes_no_more_and_counts() {
    let (sink, telemetry, lines) = (Sink::start(), telemetry(16), LogQueue::new(4));
    logging(&lines, || (0..10).for_each(|_| tracing::info!("said")));
    exporting(&sink, &telemetry, &lines, || {});
    assert_eq!((sink.records().len(), counted(&telemetry, "signalbox_logs_exported_total")), (4, 4));
    assert_eq!(logs_lost(&telemetry, "queue_full"), 6);
}

/// Counts how often it is written.
#[derive(Default)]
struct Word(std::cell::Cell<u32>);

impl std::fmt::Display for Word {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

#[test]
fn for_a_full_queue_no_record_is_made() {
    let (lines, word) = (LogQueue::new(4), Word::default());
    logging(&lines, || (0..10).for_each(|_| tracing::info!(%word, "said")));
    assert_eq!((word.0.get(), lines.fetch(10).len(), lines.take_full()), (4, 4, 6));
}

#[test]
fn what_the_collector_rejects_or_refuses_is_counted() {
    let (sink, telemetry, lines) = (Sink::start(), telemetry(16), LogQueue::new(100));
    let speak = || logging(&lines, || (0..10).for_each(|_| tracing::info!("said")));
    sink.answer(Answer::Reject(3));
    speak();
    exporting(&sink, &telemetry, &lines, || {});
    assert_eq!((counted(&telemetry, "signalbox_logs_exported_total"), logs_lost(&telemetry, "refused")), (7, 3));
    sink.answer(Answer::Refuse(tonic::Code::Unauthenticated));
    speak();
    exporting(&sink, &telemetry, &lines, || {});
    assert_eq!((counted(&telemetry, "signalbox_logs_exported_total"), logs_lost(&telemetry, "refused")), (7, 13));
    assert_eq!(counted(&telemetry, "signalbox_export_failures_total{kind=\"logs\"}"), 2);
}

#[test]
fn many_lines_are_exported_before_the_queue_is_full() {
    let (sink, telemetry, lines) = (Sink::start(), telemetry(16), LogQueue::new(64));
    exporting(&sink, &telemetry, &lines, || {
        assert_woken(|round| {
            (0..32).for_each(|_| tracing::info!("said"));
            sink.until("the lines", |sink| sink.records().len() == round * 32);
        });
    });
    assert_eq!(logs_lost(&telemetry, "queue_full"), 0);
}

#[test]
fn a_long_value_is_cut_at_a_whole_character() {
    let (sink, telemetry, lines) = (Sink::start(), telemetry(16), LogQueue::new(100));
    exporting(&sink, &telemetry, &lines, || {
        let long = "é".repeat(1_000);
        tracing::info!(a = long.as_str(), b = %long, c = ?"x".repeat(1_024), "{long}!");
    });
    let records = sink.records();
    let cut = "é".repeat(512);
    assert_eq!(attribute(&records[0].attributes, "a").as_deref(), Some(&*cut));
    assert_eq!(attribute(&records[0].attributes, "b").as_deref(), Some(&*cut));
    assert_eq!(attribute(&records[0].attributes, "c"), Some(format!("\"{}", "x".repeat(1_023))));
    assert_eq!(body(&records[0]), cut);
}
