//! The default sampler: a timer of CPU time for each thread, whose handler walks frame pointers.
//!
//! `dial9-perf-self-profile` with its ctimer backend: exact addresses, a few microseconds a sample, no lock, no table
//! that grows. Its other backend, perf, lost most samples of threads that come and go when it was measured: it is
//! refused. Young, so its version is pinned, and nothing but this file knows it.

use std::{env, fmt, time::Duration};

use dial9_perf_self_profile::{EventSource, PerfSampler, SamplerConfig, SamplingMode};

use super::{Drained, Kind, Raw, Refused, Sampler, Urgency, period};

/// The library reads it at its start: with it, perf is not even tried.
pub(crate) const FORCED: &str = "DIAL9_FORCE_CTIMER";

/// The running sampler. There can be one in a process.
pub(crate) struct Ctimer {
    sampler: PerfSampler,
    period: Duration,
}

impl Ctimer {
    /// Starts it; samples this thread from now on, and each that says [`register`].
    ///
    /// # Errors
    /// When the library would take another backend, or the system gives no timer.
    pub(crate) fn start(hz: u32) -> Result<Self, Refused> {
        if env::var_os(FORCED).is_none() {
            return Err(Refused(format!("{FORCED} is not in the environment, so that the library might take perf")));
        }
        let config = SamplerConfig::default()
            .event_source(EventSource::SwTaskClock)
            .sampling(SamplingMode::FrequencyHz(hz.into()));
        let sampler = PerfSampler::start(config).map_err(|error| Refused(format!("no timer for samples: {error}")))?;
        let backend = sampler.active_backend().as_str();
        if backend != "ctimer" {
            return Err(Refused(format!("the library took its backend {backend}")));
        }
        Ok(Self { sampler, period: period(hz) })
    }
}

impl Sampler for Ctimer {
    fn kind(&self) -> Kind {
        Kind::Ctimer
    }

    fn period(&self) -> Duration {
        self.period
    }

    fn drain(&mut self, _: Urgency, into: &mut Vec<Raw>) -> Result<Drained, Refused> {
        self.sampler.for_each_sample(|sample| {
            // an interrupted handler leaves an empty one
            if !sample.callchain.is_empty() {
                into.push(Raw {
                    tid: Some(sample.tid),
                    name: None,
                    at: Duration::from_nanos(sample.time),
                    count: 1,
                    weight: Duration::from_nanos(sample.period),
                    stack: sample.callchain.clone(),
                });
            }
        });
        Ok(Drained::All)
    }

    fn pause(&mut self) {
        self.sampler.disable();
    }

    fn resume(&mut self) -> Result<(), Refused> {
        self.sampler.enable();
        Ok(())
    }

    fn can_ask(&self) -> bool {
        true
    }
}

impl Drop for Ctimer {
    fn drop(&mut self) {
        // the others go with their threads; this one would raise its signals into the handler of the fallback
        self.sampler.stop_tracking_current_thread();
    }
}

/// Gives this thread its timer, when the sampler runs.
///
/// # Errors
/// When the system has no more timers (`ulimit -i`).
pub(crate) fn register() -> std::io::Result<()> {
    dial9_perf_self_profile::register_current_thread()
}

/// Takes this thread's timer away. Without it the timer of a thread that ends would stay.
pub(crate) fn unregister() {
    dial9_perf_self_profile::unregister_current_thread();
}

impl fmt::Debug for Ctimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctimer").field("period", &self.period).finish_non_exhaustive()
    }
}
