//! The interval log of a run: one line a second and measure, appended as it goes.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;

use super::measure::Measure;
use crate::telemetry::interval_log::{LogInterval, head, lines};

/// The log of one run.
#[derive(Debug)]
pub(crate) struct IntervalLog {
    out: File,
    written_until: SystemTime,
}

impl IntervalLog {
    /// Begins the file anew.
    pub(crate) fn create(path: &Path, now: SystemTime) -> io::Result<Self> {
        let mut out = File::create(path)?;
        let start = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        out.write_all(&head(start, "[Values: microseconds from when a request or message was due]"))?;
        Ok(Self { out, written_until: now })
    }

    /// Appends what was drained since the last call.
    pub(crate) fn append(&mut self, drained: &[(Measure, Histogram<u64>)], now: SystemTime) -> io::Result<()> {
        let start = self.written_until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = now.duration_since(self.written_until).unwrap_or(Duration::ZERO);
        let interval = |(measure, histogram): &(Measure, Histogram<u64>)| LogInterval {
            tag: measure.name().to_owned(),
            start,
            length,
            histogram: histogram.clone(),
        };
        let intervals: Vec<_> = drained.iter().map(interval).collect();
        self.written_until = now;
        self.out.write_all(&lines(&intervals)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::measure, telemetry::interval_log::read};

    #[test]
    fn seconds_are_appended_each_from_the_end_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.hlog");
        let start = UNIX_EPOCH + Duration::from_secs(1_000);
        let mut log = IntervalLog::create(&path, start).unwrap();
        for second in 1..=2_u64 {
            let mut histogram = measure::histogram();
            histogram.record(second * 1_000).unwrap();
            log.append(&[(Measure::Delivery, histogram)], start + Duration::from_secs(second)).unwrap();
        }
        let intervals = read(&std::fs::read(&path).unwrap()).unwrap();
        let seen: Vec<_> = intervals.iter().map(|i| (i.tag.as_str(), i.start.as_secs(), i.histogram.max())).collect();
        assert_eq!(seen, [("delivery", 1_000, 1_000), ("delivery", 1_001, 2_000)]);
        assert!(intervals.iter().all(|interval| interval.length == Duration::from_secs(1)));
    }
}
