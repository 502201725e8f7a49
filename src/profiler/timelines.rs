//! Signals with their stages as a trace that ui.perfetto.dev reads: Chrome's Trace Event Format, JSON object form.
//!
//! Each signal is a nestable async event (`b` to `e` under one `cat` and `id`) with its stages inside, so that signals
//! that overlap do not disturb each other. Knows nothing of who asks; the text is made in parts, so that a large trace
//! is never whole in memory.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
    vec,
};

use serde::Serialize;
use serde_json::json;

use crate::{
    event::Stage,
    protocol::Code,
    telemetry::{
        case::Case,
        tap::{Ended, TAPPED_MAX, Tapped},
    },
};

/// A part is handed out once it has so many bytes; a signal is one to two KiB.
const PART_BYTES: usize = 64 * 1024;
/// Of the one process. Its number in the system would say nothing to who reads the trace elsewhere.
const PROCESS: u32 = 1;
/// Of signals that were refused before they came to a shard. Neither 0, which is the idle thread, nor the process'
/// number, which is its main thread.
const NO_SHARD: u32 = 2;
const FIRST_SHARD: u32 = 3;

/// The trace, part by part.
#[derive(Debug)]
pub struct Trace {
    head: Option<Vec<u8>>,
    signals: vec::IntoIter<Arc<Ended>>,
    /// The latest one that was written.
    number: u64,
    /// Moment 0 of the trace, since the Unix epoch: when the earliest signal arrived.
    zero: Duration,
    ended: bool,
    /// The reader's place is held for as long as the trace is written.
    _tapped: Tapped,
}

impl Trace {
    /// Of what a tap got, which was open so long.
    pub fn new(mut tapped: Tapped, length: Duration) -> Self {
        let zero = tapped.cases.iter().map(|ended| ended.case.started).min().unwrap_or_default();
        let head = Some(head(&tapped, zero, length));
        let signals = std::mem::take(&mut tapped.cases).into_iter();
        Self { head, signals, number: 0, zero, ended: false, _tapped: tapped }
    }
}

impl Iterator for Trace {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut part = self.head.take().unwrap_or_else(|| Vec::with_capacity(PART_BYTES + PART_BYTES / 16));
        while part.len() < PART_BYTES {
            let Some(signal) = self.signals.next() else {
                part.extend_from_slice(b"\n]}\n");
                self.ended = true;
                break;
            };
            self.number += 1;
            write_signal(&mut part, &signal, self.number, self.zero);
        }
        Some(part)
    }
}

/// What is there beside the signals. The reader of Perfetto wants these keys before the events, and no others.
fn head(tapped: &Tapped, zero: Duration, length: Duration) -> Vec<u8> {
    let (signals, left_out) = (tapped.cases.len(), tapped.left_out);
    let about = json!({
        "program": concat!("signalbox ", env!("CARGO_PKG_VERSION")),
        "moment 0 of the trace": humantime::format_rfc3339_micros(UNIX_EPOCH + zero).to_string(),
        "seconds": format!("{:.3}", length.as_secs_f64()),
        "signals": signals.to_string(),
        "left out": left_out.to_string(),
    });
    let process = match left_out {
        0 => format!("signalbox: {signals} signals"),
        more => format!("signalbox: {signals} signals; {more} more were left out, a trace holds {TAPPED_MAX}"),
    };
    let mut out = format!("{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},\"traceEvents\":[\n").into_bytes();
    let named = |what: &str, thread: u32, name: &str| json!({ "ph": "M", "name": what, "pid": PROCESS, "tid": thread, "args": { "name": name } });
    write(&mut out, &named("process_name", NO_SHARD, &process));
    let shards: BTreeSet<_> = tapped.cases.iter().map(|ended| ended.case.shard).collect();
    for shard in shards {
        let name = shard.map_or_else(|| "no shard".to_owned(), |shard| format!("shard {shard}"));
        out.extend_from_slice(b",\n");
        write(&mut out, &named("thread_name", thread_of(shard), &name));
    }
    out
}

const fn thread_of(shard: Option<u16>) -> u32 {
    match shard {
        Some(shard) => FIRST_SHARD + shard as u32,
        None => NO_SHARD,
    }
}

/// One event of the format. The names of its fields are the format's.
#[derive(Debug, Serialize)]
struct Event<'a> {
    ph: &'static str,
    /// The op; one `cat` and `id` are one signal to the reader.
    cat: &'static str,
    id: &'a str,
    name: &'static str,
    /// Microseconds.
    ts: f64,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<About<'a>>,
}

/// What is known of a signal besides its times.
#[derive(Debug, Serialize)]
struct About<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    region: &'a str,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdk_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<&'a str>,
    /// Beside a shard only.
    #[serde(skip_serializing_if = "Option::is_none")]
    inbox_waiting: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl<'a> About<'a> {
    fn of(Ended { case, trace }: &'a Ended) -> Self {
        Self {
            outcome: case.outcome.name(),
            code: case.outcome.code().map(Code::name),
            room: case.room.as_deref(),
            session: case.session.as_deref(),
            region: &case.region,
            transport: case.transport,
            sdk_version: case.sdk_version.as_deref(),
            scenario: case.scenario.as_deref(),
            inbox_waiting: case.shard.map(|_| case.waiting),
            trace_id: trace.map(|trace| trace.to_string()),
        }
    }
}

/// The events of one signal, each after a comma.
struct Signal<'a> {
    out: &'a mut Vec<u8>,
    case: &'a Case,
    id: &'a str,
    /// Its arrival, since moment 0.
    arrived: Duration,
}

impl Signal<'_> {
    fn write(&mut self, ph: &'static str, name: &'static str, after: Duration, args: Option<About<'_>>) {
        let ts = (self.arrived + after).as_nanos() as f64 / 1e3;
        let tid = thread_of(self.case.shard);
        self.out.extend_from_slice(b",\n");
        write(self.out, &Event { ph, cat: self.case.op.name(), id: self.id, name, ts, pid: PROCESS, tid, args });
    }

    /// A stage that begins so long after the arrival, with those inside it; answers its end.
    fn stage(&mut self, (stage, took): (Stage, Duration), begins: Duration, inside: &[(Stage, Duration)]) -> Duration {
        self.write("b", stage.name(), begins, None);
        let mut end = begins;
        for call in inside {
            end = self.stage(*call, end, &[]);
        }
        end += took;
        self.write("e", stage.name(), end, None);
        end
    }
}

fn write_signal(out: &mut Vec<u8>, ended: &Ended, number: u64, zero: Duration) {
    let (case, id) = (&ended.case, format!("0x{number:x}"));
    let mut signal = Signal { out, case, id: &id, arrived: case.started.saturating_sub(zero) };
    signal.write("b", case.op.name(), Duration::ZERO, Some(About::of(ended)));
    // of calls it is only known that they happened while the signal was handled: they are drawn at its beginning, and
    // not at all when it was not handled to the end
    let (calls, stages): (Vec<_>, Vec<_>) = case.stages.iter().copied().partition(|(stage, _)| is_call(*stage));
    let mut end = Duration::ZERO;
    for stage in stages {
        let inside = if stage.0 == Stage::Handle { &calls[..] } else { &[] };
        end = signal.stage(stage, end, inside);
    }
    signal.write("e", case.op.name(), end.max(case.took), None);
}

const fn is_call(stage: Stage) -> bool {
    matches!(stage, Stage::Media | Stage::Directory | Stage::Fabric)
}

fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value).expect("text and numbers always serialise into memory");
}

#[cfg(test)]
mod tests;
