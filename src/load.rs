//! The load generator: real sockets, an open loop, and a ledger of what arrived.
//!
//! Requests and messages go out when they are due, whether or not the router keeps up, and latency counts from
//! the due time. Knows the protocol and nothing of the router's inside; results go to `cli`, the demo and `make bench`.

pub mod client;
mod interval_log;
mod ledger;
mod measure;
mod media;
mod options;
pub mod overload;
mod process;
mod progress;
mod report;
mod router_side;
mod routers;
mod run;
mod scenario;
mod seconds;
mod stamp;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

pub use measure::{Measure, Quantiles};
pub use media::MediaUse;
pub use options::{Options, PAYLOAD_BYTES_MAX, RATE_MAX, SECONDS_MAX, SESSIONS_MAX, Scenario};
pub use process::Usage;
pub use progress::{Progress, Snapshot};
pub use report::{Report, ServerUse, latency_table};
pub use router_side::{RouterSide, RouterView};
pub use seconds::SecondOfRun;
pub use tokens::TokenSource;

use self::{client::ClientError, interval_log::IntervalLog, progress::Ticker, run::Run};

/// Why a run cannot be made. What goes wrong during a run is in its [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An option is out of its bounds.
    #[error("{0}")]
    Options(String),
    /// The target cannot be reached.
    #[error(transparent)]
    Target(#[from] ClientError),
    /// The interval log cannot be written.
    #[error("the interval log cannot be written: {0}")]
    IntervalLog(#[from] std::io::Error),
}

/// Descriptors that the process needs beside its sessions.
const SPARE_FILES: u64 = 64;

/// Runs a scenario to its end, or until `stop`; `progress` hears once a second how it goes.
///
/// # Errors
/// When it cannot begin: an option out of bounds, too few open files allowed, nobody at the target.
pub async fn run(options: Options, progress: Progress, stop: CancellationToken) -> Result<Report, LoadError> {
    raise_file_limit(options.sessions())?;
    let log = options.interval_log.as_deref().map(|path| IntervalLog::create(path, SystemTime::now())).transpose()?;
    let run = Run::new(options, stop).await?;
    let ended = CancellationToken::new();
    let ticker = Ticker::new(run.clone(), progress, log);
    let ticking = tokio::spawn(ticker.run(Duration::from_secs(1), ended.clone()));
    let outcome = scenario::play(&run).await;
    ended.cancel();
    let (latencies, seconds) = ticking.await.map_err(|e| LoadError::Options(format!("the recorder broke: {e}")))??;
    outcome?;
    let mut report = Report::of(&run, latencies, seconds);
    if let Some(ops) = &run.options.ops {
        match router_side::since(run.measured_from(), ops).await {
            Ok(router) => report.router = Some(router),
            Err(error) => report.router_silent = Some(error.to_string()),
        }
    }
    Ok(report)
}

/// What a panicking task left half written is still only counts.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the soft limit to the hard one; a run that still does not fit is refused before it begins.
fn raise_file_limit(sessions: usize) -> Result<(), LoadError> {
    let needed = sessions as u64 + SPARE_FILES;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < needed => Err(LoadError::Options(format!(
            "{sessions} sessions need {needed} open files, this process may have {limit}: raise `ulimit -n`"
        ))),
        _ => Ok(()),
    }
}
