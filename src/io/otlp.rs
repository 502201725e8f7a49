//! Hands kept traces, and log lines where asked for, to an OpenTelemetry collector (OTLP over gRPC).
//!
//! On a thread and a runtime of its own, so that a collector that is away, slow or refuses takes nothing from the
//! workers. Everything that waits has a bound, what is let go of is counted with its reason, and the end of the router
//! is held up no longer than the deadline. Must not know how traces are chosen.

mod collector;
mod feeds;
mod lines;
mod pump;
mod rejections;
mod resource;
mod spans;
#[cfg(test)]
mod tests;

use std::{io, sync::Arc, thread, time::Duration};

use opentelemetry_otlp::ExporterBuildError;
use tokio::{runtime::Builder, sync::watch, time::Instant};
use tracing::{Dispatch, dispatcher};

use self::{
    collector::Collector,
    feeds::{LogFeed, Parts, TraceFeed},
    pump::{Deadline, pump},
    rejections::Rejections,
};
pub use self::{lines::LogQueue, resource::ResourceSettings};
use crate::{auth::settings::Secret, profiler::threads::Sampled, telemetry::Telemetry};

/// Where the collector is, and how long it is waited for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http://` or `https://`, host and port.
    pub endpoint: String,
    /// Certificates that an `https` collector's may be signed by, in PEM.
    pub ca_pem: Option<String>,
    /// The value of the `authorization` metadata of each call.
    pub authorization: Option<Secret>,
    /// For one batch, its retries included.
    pub timeout: Duration,
    /// For what still waits when the router ends.
    pub shutdown_timeout: Duration,
    /// Who says all this.
    pub resource: ResourceSettings,
}

/// Why nothing can be exported at all; a collector that is away is no reason.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint or its certificates cannot be used.
    #[error("telemetry.otlp: the endpoint or the certificates of ca_file cannot be used")]
    Endpoint(#[from] tonic::transport::Error),
    /// The authorization is no metadata value.
    #[error("telemetry.otlp.authorization_file: holds something else than printable ASCII")]
    Authorization,
    /// The library does not take something, of the settings or of the `OTEL_EXPORTER_OTLP_` variables that it reads.
    #[error("telemetry.otlp: the exporter cannot be set up")]
    Build(#[from] ExporterBuildError),
    /// No thread, or no runtime on it.
    #[error("cannot start the exporter's thread")]
    Thread(#[from] io::Error),
}

/// Exports until it is finished or dropped.
#[derive(Debug)]
pub struct Exporter {
    /// Absent: goes on. Its end means: at once.
    deadline: watch::Sender<Option<Instant>>,
    /// Nothing is sent: its end is the signal.
    ended: watch::Receiver<()>,
    shutdown_timeout: Duration,
}

impl Exporter {
    /// Starts it. Traces are taken from telemetry, lines from the queue when there is one.
    ///
    /// # Errors
    /// When settings cannot be used, or the system gives no thread. Not when the collector is away.
    pub fn start(settings: &Settings, telemetry: Arc<Telemetry>, lines: Option<LogQueue>) -> Result<Self, ExportError> {
        // one spare thread, for the names that the resolver asks about
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).thread_name("otlp").build()?;
        let parts = Parts {
            collector: Arc::new(Collector::new(settings)?),
            rejections: Arc::new(Rejections::default()),
            telemetry,
            outside: dispatcher::get_default(Dispatch::clone),
        };
        let rejections = parts.rejections.clone();
        let (traces, lines) = rejections::listening(rejections.clone(), || {
            let _inside = runtime.enter();
            let lines = lines.map(|lines| LogFeed::new(parts.clone(), lines)).transpose()?;
            TraceFeed::new(parts).map(|traces| (traces, lines))
        })?;
        let (deadline, watched) = watch::channel(None);
        let (running, ended) = watch::channel(());
        thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            let _sampled = Sampled::enter("otlp");
            rejections::listening(rejections, || runtime.block_on(export(traces, lines, watched)));
            // a resolver that hangs holds up nobody
            runtime.shutdown_background();
            drop(running);
        })?;
        Ok(Self { deadline, ended, shutdown_timeout: settings.shutdown_timeout })
    }

    /// Hands over what waits, for as long as the shutdown timeout; what is left then is counted as lost.
    pub async fn finish(&self) {
        self.deadline.send_replace(Some(Instant::now() + self.shutdown_timeout));
        let mut ended = self.ended.clone();
        // an error is what is waited for: the thread has ended
        ended.changed().await.ok();
    }
}

async fn export(traces: TraceFeed, lines: Option<LogFeed>, deadline: Deadline) {
    let lines = async {
        if let Some(lines) = lines {
            pump(lines, deadline.clone()).await;
        }
    };
    tokio::join!(pump(traces, deadline.clone()), lines);
}
