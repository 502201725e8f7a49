//! Log lines on their way to the collector: a layer that turns each into an OTLP record, and the queue they wait in.
//!
//! The same lines as on standard error, no more: the level is decided before this layer. A full queue takes nothing
//! more and counts; nobody who logs waits.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::UNIX_EPOCH,
};

use opentelemetry::{
    SpanId,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use tokio::sync::Notify;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::{event::TraceId, io::clock};

/// Longest value of a record, so that the queue's memory has a bound as well.
const VALUE_BYTES_MAX: usize = 1024;

/// See the module. Clones are the same queue.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    records: Mutex<VecDeque<SdkLogRecord>>,
    most: usize,
    /// Lines that found no place.
    full: AtomicU64,
    half: Notify,
    /// Makes records; has nobody to hand them to.
    logger: SdkLogger,
}

impl fmt::Debug for LogQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogQueue").field("waiting", &self.lock().len()).finish_non_exhaustive()
    }
}

impl LogQueue {
    /// In which so many may wait.
    pub fn new(most: usize) -> Self {
        let logger = SdkLoggerProvider::builder().build().logger("signalbox");
        let records = Mutex::default();
        Self(Arc::new(Shared { records, most, full: AtomicU64::new(0), half: Notify::new(), logger }))
    }

    /// What fills it.
    pub fn layer<S: Subscriber>(&self) -> Box<dyn Layer<S> + Send + Sync> {
        Box::new(Lines(self.clone()))
    }

    /// Up to so many, oldest first.
    pub(super) fn fetch(&self, most: usize) -> Vec<SdkLogRecord> {
        let mut records = self.lock();
        let count = records.len().min(most);
        records.drain(..count).collect()
    }

    /// How many found no place since last asked.
    pub(super) fn take_full(&self) -> u64 {
        self.0.full.swap(0, Relaxed)
    }

    /// Comes back once half of the places are taken.
    pub(super) async fn much_waits(&self) {
        self.0.half.notified().await;
    }

    /// Whether there is a place; if not, a line is counted as lost.
    fn has_place(&self, records: &VecDeque<SdkLogRecord>) -> bool {
        let has_place = records.len() < self.0.most;
        if !has_place {
            self.0.full.fetch_add(1, Relaxed);
        }
        has_place
    }

    fn push(&self, record: SdkLogRecord) {
        let mut records = self.lock();
        // others may have filled it while this record was made
        if !self.has_place(&records) {
            return;
        }
        records.push_back(record);
        if records.len() == self.0.most.div_ceil(2) {
            self.0.half.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SdkLogRecord>> {
        // nothing that can panic half-way runs under this lock
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Lines(LogQueue);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // a record costs more than to see that it would find no place
        if !self.0.has_place(&self.0.lock()) {
            return;
        }
        let metadata = event.metadata();
        let mut record = self.0.0.logger.create_log_record();
        let now = UNIX_EPOCH + clock::since_epoch();
        record.set_timestamp(now);
        record.set_observed_timestamp(now);
        record.set_target(metadata.target());
        record.set_severity_text(metadata.level().as_str());
        record.set_severity_number(severity(*metadata.level()));
        let mut fields = Fields { record: &mut record, trace: None, span: None };
        event.record(&mut fields);
        let (trace, span) = (fields.trace, fields.span);
        if let Some(trace) = trace {
            // whether that trace was kept, a line does not say
            record.set_trace_context(trace.bits().into(), span.unwrap_or(SpanId::INVALID), None);
        }
        self.0.push(record);
    }
}

const fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

/// Puts a line's fields where OTLP has them: the message is the body, the ids are the trace context.
struct Fields<'a> {
    record: &'a mut SdkLogRecord,
    trace: Option<TraceId>,
    span: Option<SpanId>,
}

impl Fields<'_> {
    fn text(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.record.set_body(value.into()),
            "trace_id" => self.trace = TraceId::parse(&value),
            "span_id" => self.span = SpanId::from_hex(&value).ok(),
            name => self.record.add_attribute(name, value),
        }
    }

    fn value(&mut self, field: &Field, value: impl Into<AnyValue>) {
        self.record.add_attribute(field.name(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.value(field, value),
            Err(_) => self.text(field, value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, start(value, VALUE_BYTES_MAX).to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Shortened(String::new());
        // an error says that the rest was left out
        write!(text, "{value:?}").ok();
        self.text(field, text.0);
    }
}

/// Takes so much and no more.
struct Shortened(String);

impl fmt::Write for Shortened {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = VALUE_BYTES_MAX - self.0.len();
        self.0.push_str(start(more, room));
        if more.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// At most so many bytes of it, whole characters.
fn start(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
