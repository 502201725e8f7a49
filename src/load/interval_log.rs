//! An interval log (HdrHistogram V2, compressed): one line a second and measure, readable by the usual tools.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};

use super::measure::Measure;

/// Values are microseconds; the readable maximum of each line is in milliseconds.
const MAX_VALUE_DIVISOR: f64 = 1_000.0;

/// The log of one run.
#[derive(Debug)]
pub(crate) struct IntervalLog {
    out: BufWriter<File>,
    written_until: SystemTime,
}

impl IntervalLog {
    /// Begins the file anew.
    pub(crate) fn create(path: &Path, now: SystemTime) -> io::Result<Self> {
        let mut out = BufWriter::new(File::create(path)?);
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_start_time(now).with_max_value_divisor(MAX_VALUE_DIVISOR);
        builder.add_comment("[Values: microseconds from when a request or message was due]");
        builder.begin_log_with(&mut out, &mut V2DeflateSerializer::new())?;
        Ok(Self { out, written_until: now })
    }

    /// Appends what was drained since the last call.
    pub(crate) fn append(&mut self, drained: &[(Measure, Histogram<u64>)], now: SystemTime) -> io::Result<()> {
        let start = self.written_until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = now.duration_since(self.written_until).unwrap_or(Duration::ZERO);
        let mut serializer = V2DeflateSerializer::new();
        let mut lines = Vec::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(MAX_VALUE_DIVISOR);
        let mut writer = builder.begin_log_with(&mut lines, &mut serializer)?;
        for (measure, histogram) in drained {
            writer
                .write_histogram(histogram, start, length, Tag::new(measure.name()))
                .map_err(|e| io::Error::other(e.to_string()))?;
        }
        // the writer begins with its header, which the file has already
        let intervals = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
        for line in intervals {
            self.out.write_all(line)?;
        }
        self.written_until = now;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hdrhistogram::serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    };

    use super::*;
    use crate::load::measure;

    #[test]
    fn intervals_read_back_with_their_tags_times_and_values() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.hlog");
        let start = UNIX_EPOCH + Duration::from_secs(1_000);
        let mut log = IntervalLog::create(&path, start).unwrap();
        for second in 1..=2_u64 {
            let mut histogram = measure::histogram();
            histogram.record(second * 1_000).unwrap();
            log.append(&[(Measure::Delivery, histogram)], start + Duration::from_secs(second)).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        let intervals: Vec<_> = IntervalLogIterator::new(&bytes)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 2);
        assert_eq!(intervals[1].start_timestamp(), Duration::from_secs(1_001));
        assert_eq!(intervals[1].duration(), Duration::from_secs(1));
        assert_eq!(intervals[1].tag().unwrap().as_str(), "delivery");
        let encoded = STANDARD.decode(intervals[1].encoded_histogram()).unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut encoded.as_slice()).unwrap();
        assert!(back.equivalent(back.max(), 2_000));
    }
}
