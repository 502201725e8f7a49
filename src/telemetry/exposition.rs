//! What is scraped: one model of everything that is measured, and three encoders of it.
//!
//! Counters and gauges come from the recorder, latencies and their quantiles from the drain, the process' own figures
//! from whoever asks. Takes milliseconds at ten thousand series: not for a worker thread. Knows nothing of HTTP but
//! the two headers that choose a form.

mod accept;
mod collect;
mod lines;
mod model;
mod openmetrics;
mod protobuf;
#[cfg(test)]
pub(super) mod tests;
mod text;

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};

pub use self::accept::accepts_gzip;
use super::{Process, Telemetry, catalog};

/// A form of the exposition, in the order of [`catalog::FORMATS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: what people and old scrapers read.
    Text,
    /// OpenMetrics 1.0: text with units and exemplars.
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily`: classic and native histograms, exemplars on both.
    Protobuf,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// The one that an `Accept` header asks for; text when it asks for nothing that there is.
    pub fn negotiate(accept: &str) -> Self {
        accept::negotiate(accept)
    }

    /// Its `Content-Type`, as Prometheus knows it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        catalog::FORMATS[self as usize]
    }
}

/// Gzip at the level that costs least: a scrape travels a short way.
pub fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(plain).and_then(|()| gzip.finish()).expect("a vector takes every write")
}

impl Telemetry {
    /// Everything as it is now, families in the order of the catalogue.
    pub fn render(&self, format: Format, process: Option<&Process>) -> Vec<u8> {
        let families = self.families(process);
        match format {
            Format::Text => text::encode(&families).into_bytes(),
            Format::OpenMetrics => openmetrics::encode(&families).into_bytes(),
            Format::Protobuf => protobuf::encode(&families),
        }
    }

    /// The counters that the recorder has: name, what its label `outcome` says, count.
    pub(super) fn counted(&self) -> Vec<(String, Option<String>, u64)> {
        let mut counted = Vec::new();
        for (name, series) in collect::recorded(&self.recorder.handle().render_protobuf()) {
            for metric in series {
                let Some(count) = metric.counter.and_then(|counter| counter.value) else { continue };
                let outcome = metric.label.into_iter().find(|label| label.name.as_deref() == Some("outcome"));
                counted.push((name.clone(), outcome.and_then(|label| label.value), count as u64));
            }
        }
        counted
    }

    /// A scrape was answered that took so long to render.
    pub fn scraped(&self, format: Format, took: Duration) {
        self.metrics.scrapes.at(format as usize).increment(1);
        self.metrics.scrape_seconds.set(took.as_secs_f64());
    }
}
