//! The two things that are exported: kept traces, and log lines.

use std::{
    future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{ExporterBuildError, LogExporter, SpanExporter};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter as _, SdkLogRecord},
    trace::SpanExporter as _,
};
use tracing::{Dispatch, dispatcher};

use super::{
    collector::{Collector, Failure},
    lines::LogQueue,
    pump::Feed,
    rejections::Rejections,
    spans,
};
use crate::{
    event::Event,
    telemetry::{
        Telemetry,
        trace::{KeptTrace, Lost},
    },
};

/// Of a few kilobytes each: far below the 4 MiB that collectors take at once.
const TRACES_MAX: usize = 256;
/// Of ten kilobytes each at the very most, most of them a few hundred bytes.
const LINES_MAX: usize = 256;

/// What both are made of.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) collector: Arc<Collector>,
    pub(super) rejections: Arc<Rejections>,
    pub(super) telemetry: Arc<Telemetry>,
    /// Where the lines of this router go; those of the exporter's thread do not go there by themselves.
    pub(super) outside: Dispatch,
}

impl Parts {
    fn observe(&self, event: &Event) {
        dispatcher::with_default(&self.outside, || self.telemetry.observe(event, Instant::now()));
    }
}

/// Kept traces.
pub(super) struct TraceFeed {
    parts: Parts,
    exporter: SpanExporter,
    scope: InstrumentationScope,
}

impl TraceFeed {
    pub(super) fn new(parts: Parts) -> Result<Self, ExporterBuildError> {
        Ok(Self { exporter: parts.collector.spans()?, parts, scope: scope() })
    }
}

impl Feed for TraceFeed {
    type Item = KeptTrace;

    fn fetch(&self) -> Vec<KeptTrace> {
        self.parts.telemetry.fetch_traces(TRACES_MAX)
    }

    async fn much_waits(&self) {
        future::poll_fn(|context| self.parts.telemetry.poll_traces_half(context.waker())).await;
    }

    async fn export(&mut self, batch: &[KeptTrace]) -> Result<(), Failure> {
        let spans = batch.iter().flat_map(|kept| spans::of(kept, &self.scope)).collect();
        let timeout = self.parts.collector.timeout;
        let Some(result) = in_time(timeout, self.exporter.export(spans)).await else {
            // a connection may be dead without knowing it: the next batch gets a new one
            self.exporter = self.parts.collector.spans().map_err(|error| Failure::unset(&error))?;
            return Err(Failure::slow(timeout));
        };
        let rejected = self.parts.rejections.spans.swap(0, Relaxed);
        result.map_err(|error| Failure::of(&error))?;
        // whose spans, it does not tell: none of these traces can be relied on to be there
        if rejected == 0 { Ok(()) } else { Err(Failure::rejected(rejected, usize::MAX)) }
    }

    fn exported(&self, traces: &[KeptTrace]) {
        self.parts.telemetry.traces_exported(traces);
    }

    fn lost(&self, count: usize, why: Lost, cause: &str) {
        self.parts.telemetry.traces_lost(why, count as u64);
        self.parts.observe(&Event::ExportFailed { kind: "traces", cause: cause.to_owned(), lost: count as u64 });
    }

    fn recovered(&self) {
        self.parts.observe(&Event::ExportRecovered { kind: "traces" });
    }
}

/// Log lines.
pub(super) struct LogFeed {
    parts: Parts,
    exporter: LogExporter,
    lines: LogQueue,
    scope: InstrumentationScope,
}

impl LogFeed {
    pub(super) fn new(parts: Parts, lines: LogQueue) -> Result<Self, ExporterBuildError> {
        Ok(Self { exporter: parts.collector.logs()?, parts, lines, scope: scope() })
    }
}

impl Feed for LogFeed {
    type Item = SdkLogRecord;

    fn fetch(&self) -> Vec<SdkLogRecord> {
        let full = self.lines.take_full();
        if full > 0 {
            self.parts.telemetry.logs_lost(Lost::QueueFull, full);
        }
        self.lines.fetch(LINES_MAX)
    }

    async fn much_waits(&self) {
        self.lines.much_waits().await;
    }

    async fn export(&mut self, batch: &[SdkLogRecord]) -> Result<(), Failure> {
        let records: Vec<_> = batch.iter().map(|record| (record, &self.scope)).collect();
        let timeout = self.parts.collector.timeout;
        let Some(result) = in_time(timeout, self.exporter.export(LogBatch::new(&records))).await else {
            self.exporter = self.parts.collector.logs().map_err(|error| Failure::unset(&error))?;
            return Err(Failure::slow(timeout));
        };
        let rejected = self.parts.rejections.log_records.swap(0, Relaxed);
        result.map_err(|error| Failure::of(&error))?;
        let lost = usize::try_from(rejected).unwrap_or(usize::MAX);
        if rejected == 0 { Ok(()) } else { Err(Failure::rejected(rejected, lost)) }
    }

    fn exported(&self, records: &[SdkLogRecord]) {
        self.parts.telemetry.logs_exported(records.len() as u64);
    }

    fn lost(&self, count: usize, why: Lost, cause: &str) {
        self.parts.telemetry.logs_lost(why, count as u64);
        self.parts.observe(&Event::ExportFailed { kind: "logs", cause: cause.to_owned(), lost: count as u64 });
    }

    fn recovered(&self) {
        self.parts.observe(&Event::ExportRecovered { kind: "logs" });
    }
}

/// What made them.
fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("signalbox").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// The answer; absent when there was none in time.
async fn in_time(timeout: Duration, export: impl Future<Output = OTelSdkResult>) -> Option<OTelSdkResult> {
    tokio::time::timeout(timeout, export).await.ok()
}
