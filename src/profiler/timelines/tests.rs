use std::{collections::BTreeMap, time::Instant};

use serde_json::Value;

use super::*;
use crate::{
    event::{self, Opens, Origin, Outcome, Signal as Ending},
    protocol::{OpKind, v1},
    telemetry::{Settings, Telemetry, tap::TAPPED_MAX},
};

const UNIX: Duration = Duration::from_secs(1_800_000_000);
const HOSTILE: &str = "\"}],\u{0}\u{1f4a9}</script>\\";

/// Telemetry that began at that moment.
fn telemetry(started: Instant) -> Telemetry {
    Telemetry::new(Settings {
        version: "1.2.3".to_owned(),
        instance_id: "r1".to_owned(),
        shards: 2,
        inbox_bound: 1024,
        region: "sh".to_owned(),
        regions: Vec::new(),
        measures: true,
        traces_waiting_max: 0,
        head_rate: 0.0,
        config_hash: 0,
        started,
        started_unix: UNIX,
    })
}

/// A signal that came so many microseconds after the start and came to the ends of these stages, counted from then.
fn signal(op: OpKind, received: Instant, ends: &[(Stage, u64)]) -> Box<Ending> {
    let mut signal = Box::new(Ending::new(op, received));
    for (stage, micros) in ends {
        signal.timeline.end(*stage, received + Duration::from_micros(*micros));
    }
    signal
}

fn trace_of(telemetry: &Telemetry, at: Instant, signals: Vec<(Box<Ending>, Outcome)>) -> Trace {
    let tap = telemetry.tap().unwrap();
    for (signal, outcome) in signals {
        telemetry.observe_from(&event::Event::SignalEnded { signal, outcome }, &Origin::default(), at);
    }
    Trace::new(tap.close(), Duration::from_secs(5))
}

fn read(trace: Trace) -> Value {
    let text: Vec<u8> = trace.flatten().collect();
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&text)))
}

/// Name, beginning and end in microseconds, depth.
type Slice = (String, f64, f64, usize);

/// What a reader makes of the events of each signal, by `cat` and `id`, in the order of their beginnings. Refuses what
/// the format does not allow.
fn slices(trace: &Value) -> BTreeMap<(String, String), Vec<Slice>> {
    let mut found = BTreeMap::<_, (Vec<usize>, Vec<_>)>::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        let (ph, name) = (text("ph"), text("name"));
        if ph == "M" {
            continue;
        }
        let ts = event["ts"].as_f64().unwrap();
        assert!(ts >= 0.0 && event["pid"] == 1, "{event}");
        let (open, of_signal) = found.entry((text("cat"), text("id"))).or_default();
        if ph == "b" {
            of_signal.push((name, ts, f64::NAN, open.len()));
            open.push(of_signal.len() - 1);
        } else {
            assert_eq!(ph, "e", "{event}");
            let begun = open.pop().unwrap_or_else(|| panic!("ends what is not open: {event}"));
            assert!(of_signal[begun].0 == name && of_signal[begun].1 <= ts, "{event}");
            of_signal[begun].2 = ts;
        }
    }
    let closed = found.into_iter().map(|(key, (open, of_signal))| {
        assert!(open.is_empty(), "not all of {key:?} is closed");
        (key, of_signal)
    });
    closed.collect()
}

fn of(name: &str, from: f64, to: f64, depth: usize) -> Slice {
    (name.to_owned(), from, to, depth)
}

#[test]
fn stages_are_inside_their_signal_and_calls_inside_handle() {
    let at = Instant::now();
    let ends =
        [(Stage::Decode, 10), (Stage::Admit, 25), (Stage::Handle, 125), (Stage::Reply, 130), (Stage::Flush, 142)];
    let mut join = signal(OpKind::Join, at, &ends);
    join.timeline.call(Stage::Media, Duration::from_micros(60));
    join.timeline.call(Stage::Directory, Duration::from_nanos(20_500));
    let trace = read(trace_of(&telemetry(at), at, vec![(join, Outcome::Ok)]));
    let expected = [
        of("join", 0.0, 142.0, 0),
        of("decode", 0.0, 10.0, 1),
        of("admit", 10.0, 25.0, 1),
        of("handle", 25.0, 125.0, 1),
        of("media", 25.0, 85.0, 2),
        of("directory", 85.0, 105.5, 2),
        of("reply", 125.0, 130.0, 1),
        of("flush", 130.0, 142.0, 1),
    ];
    let slices = slices(&trace);
    assert_eq!(slices.keys().collect::<Vec<_>>(), [&("join".to_owned(), "0x1".to_owned())]);
    assert_eq!(slices.into_values().next().unwrap(), expected);
}

#[test]
fn signals_that_overlap_are_apart_and_counted_from_the_earliest() {
    let at = Instant::now();
    let later = at + Duration::from_micros(40);
    let signals = vec![
        (signal(OpKind::Send, later, &[(Stage::Decode, 5), (Stage::Handle, 30)]), Outcome::Ok),
        (signal(OpKind::Send, at, &[(Stage::Decode, 50), (Stage::Handle, 90)]), Outcome::Ok),
        // its connection went away before anything was done
        (signal(OpKind::Ping, at, &[]), Outcome::Gone),
    ];
    let slices = slices(&read(trace_of(&telemetry(at), at, signals)));
    let key = |cat: &str, id: &str| (cat.to_owned(), id.to_owned());
    assert_eq!(slices[&key("send", "0x1")][0], of("send", 40.0, 70.0, 0));
    assert_eq!(slices[&key("send", "0x2")][0], of("send", 0.0, 90.0, 0));
    assert_eq!(slices[&key("send", "0x2")][2], of("handle", 50.0, 90.0, 1));
    assert_eq!(slices[&key("ping", "0x3")], [of("ping", 0.0, 0.0, 0)]);
}

#[test]
fn a_clock_that_steps_back_and_a_call_without_handle_do_not_break_the_nesting() {
    let at = Instant::now();
    let mut lost = signal(OpKind::Join, at, &[(Stage::Decode, 10), (Stage::Admit, 5)]);
    lost.timeline.call(Stage::Media, Duration::from_micros(60));
    let slices = slices(&read(trace_of(&telemetry(at), at, vec![(lost, Outcome::Gone)])));
    let expected = [of("join", 0.0, 10.0, 0), of("decode", 0.0, 10.0, 1), of("admit", 10.0, 10.0, 1)];
    assert_eq!(slices.into_values().next().unwrap(), expected);
}

#[test]
fn a_signal_says_what_is_known_of_it_and_no_name_breaks_the_text() {
    let at = Instant::now();
    let telemetry = telemetry(at);
    let mut join = signal(OpKind::Join, at, &[(Stage::Reply, 10)]);
    let labels = telemetry.labels(&v1::Join::default());
    join.opens = Some(Box::new(Opens { room: HOSTILE.into(), labels }));
    join.shard = Some(1);
    join.waiting = 17;
    let early = signal(OpKind::Send, at, &[(Stage::Reply, 1)]);
    let signals = vec![(join, Outcome::Ok), (early, Outcome::Refused(Code::BadRequest))];
    let trace = read(trace_of(&telemetry, at, signals));
    let events = trace["traceEvents"].as_array().unwrap();
    let args = |name: &str| &events.iter().find(|event| event["name"] == name && event["ph"] == "b").unwrap()["args"];
    let join = args("join");
    assert_eq!((&join["room"], &join["outcome"], &join["region"]), (&HOSTILE.into(), &"ok".into(), &"sh".into()));
    assert_eq!(join["inbox_waiting"], 17);
    assert_eq!((&args("send")["outcome"], &args("send")["code"]), (&"error".into(), &"bad_request".into()));
    assert!(args("send").get("inbox_waiting").is_none() && args("send").get("room").is_none());
    let threads: Vec<_> = events.iter().filter(|event| event["name"] == "thread_name").collect();
    let named: Vec<_> = threads.iter().map(|event| (&event["tid"], event["args"]["name"].as_str().unwrap())).collect();
    assert_eq!(named, [(&2.into(), "no shard"), (&4.into(), "shard 1")]);
    assert_eq!(events.iter().find(|event| event["name"] == "join").unwrap()["tid"], 4);
    assert_eq!(events[0]["args"]["name"], "signalbox: 2 signals");
    let about = &trace["otherData"];
    assert_eq!((&about["signals"], &about["left out"]), (&"2".into(), &"0".into()));
    assert_eq!(about["moment 0 of the trace"], "2027-01-15T08:00:00.000000Z");
}

#[test]
fn a_trace_of_nothing_is_one_and_a_large_one_comes_in_parts() {
    let at = Instant::now();
    let telemetry = telemetry(at);
    let empty = read(trace_of(&telemetry, at, Vec::new()));
    assert_eq!(empty["traceEvents"].as_array().unwrap().len(), 1);
    let ends = [(Stage::Decode, 1), (Stage::Admit, 2), (Stage::Handle, 3), (Stage::Reply, 4), (Stage::Flush, 5)];
    let many = (0..200).map(|_| (signal(OpKind::Send, at, &ends), Outcome::Ok)).collect();
    let parts: Vec<_> = trace_of(&telemetry, at, many).collect();
    assert!(parts.len() > 2, "{}", parts.len());
    assert!(parts.iter().all(|part| part.len() < PART_BYTES + PART_BYTES / 16), "none is larger than was said");
    let whole: Value = serde_json::from_slice(&parts.concat()).unwrap();
    assert_eq!(slices(&whole).len(), 200);
}

#[test]
fn what_was_left_out_is_said_where_it_is_seen() {
    let at = Instant::now();
    let telemetry = telemetry(at);
    let signals = (0..TAPPED_MAX + 2).map(|_| (signal(OpKind::Ping, at, &[]), Outcome::Ok)).collect();
    let beginning = trace_of(&telemetry, at, signals).next().unwrap();
    let beginning = String::from_utf8(beginning).unwrap();
    assert!(
        beginning.contains("signalbox: 50000 signals; 2 more were left out, a trace holds 50000"),
        "{beginning:.600}"
    );
    assert!(telemetry.tap().is_ok(), "a trace that is not read to its end gives its place back");
}
