//! Interval logs (HdrHistogram V2, compressed): what the usual tools of HDR histograms read and merge.
//!
//! Values are microseconds, as the report has them: to the digit below 2,048, beyond to the three digits of a
//! histogram. The readable maximum of each line is in milliseconds. Written here and read back here; where the bytes
//! come from and go to is the caller's business.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    io,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, V2DeflateSerializer,
        interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag},
    },
};

const MAX_VALUE_DIVISOR: f64 = 1_000.0;

/// One interval of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct LogInterval {
    /// The series; free of commas, spaces and line breaks.
    pub tag: String,
    /// Its beginning, since the Unix epoch.
    pub start: Duration,
    /// Its length.
    pub length: Duration,
    /// Latencies, microseconds.
    pub histogram: Histogram<u64>,
}

/// Why a log cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A line is not one of an interval log.
    #[error("no interval log: the line at byte {at} cannot be read")]
    Line {
        /// Where.
        at: usize,
    },
    /// A line's histogram cannot be decoded.
    #[error("interval {number}: its histogram cannot be decoded: {why}")]
    Histogram {
        /// Which of the log's intervals, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
}

/// How a log begins.
pub fn head(start: Duration, comment: &str) -> Vec<u8> {
    let mut builder = IntervalLogWriterBuilder::new();
    builder.with_start_time(UNIX_EPOCH + start).with_max_value_divisor(MAX_VALUE_DIVISOR);
    builder.add_comment(comment);
    let mut out = Vec::new();
    builder.begin_log_with(&mut out, &mut V2DeflateSerializer::new()).expect("memory takes every write");
    out
}

/// A line an interval, to stand behind the head and behind other lines. Asks for an interval when the one before is
/// written: a histogram weighs a hundred kilobytes and more, and a log has thousands.
///
/// # Errors
/// When a histogram cannot be encoded.
pub fn lines(intervals: impl IntoIterator<Item: Borrow<LogInterval>>) -> io::Result<Vec<u8>> {
    let (mut out, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut builder = IntervalLogWriterBuilder::new();
    builder.with_max_value_divisor(MAX_VALUE_DIVISOR);
    let mut writer = builder.begin_log_with(&mut out, &mut serializer)?;
    for interval in intervals {
        let LogInterval { tag, start, length, histogram } = interval.borrow();
        let written = writer.write_histogram(histogram, *start, *length, Tag::new(tag));
        written.map_err(|e| io::Error::other(e.to_string()))?;
    }
    // the writer begins with a head of its own
    Ok(out.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).flatten().copied().collect())
}

/// All intervals of a log, in its order.
///
/// # Errors
/// At the first line that is not an interval's, a comment or empty.
pub fn read(log: &[u8]) -> Result<Vec<LogInterval>, ReadError> {
    let mut intervals = Vec::new();
    let mut base = Duration::ZERO;
    for entry in IntervalLogIterator::new(log) {
        let interval = match entry.map_err(|e| line_error(&e))? {
            LogEntry::Interval(interval) => interval,
            LogEntry::BaseTime(at) => {
                base = at;
                continue;
            }
            LogEntry::StartTime(_) => continue,
        };
        let number = intervals.len() + 1;
        let wrong = |why: String| ReadError::Histogram { number, why };
        let bytes = STANDARD.decode(interval.encoded_histogram()).map_err(|e| wrong(e.to_string()))?;
        let histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|e| wrong(e.to_string()))?;
        let tag = interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
        let start = base + interval.start_timestamp();
        intervals.push(LogInterval { tag, start, length: interval.duration(), histogram });
    }
    Ok(intervals)
}

/// One interval a tag and minute of all of these, in the order of time and tags: logs of several routers become one.
pub fn merge(intervals: impl IntoIterator<Item = LogInterval>) -> Vec<LogInterval> {
    let mut minutes: BTreeMap<(u64, String), LogInterval> = BTreeMap::new();
    for interval in intervals {
        let minute = (interval.start.as_secs() / 60, interval.tag.clone());
        let merged = minutes.entry(minute).or_insert_with(|| LogInterval {
            tag: interval.tag.clone(),
            start: interval.start,
            length: Duration::ZERO,
            // logs of other writers may have other bounds: this one grows as far as what is read
            histogram: Histogram::new(3).expect("three digits are few enough"),
        });
        let end = (merged.start + merged.length).max(interval.start + interval.length);
        merged.start = merged.start.min(interval.start);
        merged.length = end.saturating_sub(merged.start);
        merged.histogram.add(&interval.histogram).expect("a histogram that grows takes all");
    }
    minutes.into_values().collect()
}

/// All intervals of a tag together, by tag.
pub fn by_tag<'a>(intervals: impl IntoIterator<Item = &'a LogInterval>) -> BTreeMap<&'a str, Histogram<u64>> {
    let mut tags: BTreeMap<&str, Histogram<u64>> = BTreeMap::new();
    for LogInterval { tag, histogram, .. } in intervals {
        let sum = tags.entry(tag).or_insert_with(|| Histogram::new(3).expect("three digits are few enough"));
        sum.add(histogram).expect("a histogram that grows takes all");
    }
    tags
}

fn line_error(error: &hdrhistogram::serialization::interval_log::LogIteratorError) -> ReadError {
    let hdrhistogram::serialization::interval_log::LogIteratorError::ParseError { offset } = error;
    ReadError::Line { at: *offset }
}

#[cfg(test)]
mod tests {
    use std::rc::{Rc, Weak};

    use super::*;

    fn interval(tag: &str, second: u64, micros: u64) -> LogInterval {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        histogram.record(micros).unwrap();
        let (start, length) = (Duration::from_secs(second), Duration::from_secs(1));
        LogInterval { tag: tag.to_owned(), start, length, histogram }
    }

    #[test]
    fn intervals_read_back_with_their_tags_times_and_values() {
        let written = [interval("signal.join.sh.ok", 1_000, 1_234), interval("delivery.send.sh", 1_001, 79_999)];
        let mut log = head(Duration::from_secs(1_000), "[Values: microseconds]");
        log.extend(lines(&written[..1]).unwrap());
        log.extend(lines(&written[1..]).unwrap());
        assert_eq!(read(&log).unwrap(), written);
        let text = String::from_utf8(log).unwrap();
        assert!(text.starts_with("#[Values: microseconds]\n#[StartTime: 1000.000"), "{text}");
        assert_eq!(text.matches("StartTime").count(), 1);
        assert!(text.contains("Tag=signal.join.sh.ok,1000.000,1.000,1.23"), "{text}");
    }

    #[test]
    fn no_two_histograms_of_a_log_need_be_there_at_once() {
        let mut before = Weak::new();
        let one_by_one = (0..100).map(|second| {
            assert_eq!(before.strong_count(), 0, "the one before is gone");
            let interval = Rc::new(interval("a", second, 5));
            before = Rc::downgrade(&interval);
            interval
        });
        assert_eq!(read(&lines(one_by_one).unwrap()).unwrap().len(), 100);
    }

    #[test]
    fn logs_of_two_routers_become_one_a_minute_and_tag_and_lose_nothing() {
        let one = [interval("a", 1_020, 500), interval("a", 1_050, 600), interval("b", 1_050, 700)];
        let other = [interval("a", 1_070, 50_000_000), interval("a", 1_080, 5)];
        let merged = merge(one.into_iter().chain(other));
        let seen: Vec<_> = merged.iter().map(|i| (i.tag.as_str(), i.start.as_secs(), i.length.as_secs())).collect();
        assert_eq!(seen, [("a", 1_020, 51), ("b", 1_050, 1), ("a", 1_080, 1)]);
        assert_eq!(merged[0].histogram.len(), 3);
        let tags = by_tag(&merged);
        assert_eq!(tags["a"].len(), 4);
        assert!(tags["a"].equivalent(tags["a"].max(), 50_000_000));
        assert_eq!(merge(merged.clone()), merged, "what is merged stays");
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_place() {
        assert_eq!(read(b""), Ok(Vec::new()));
        assert_eq!(read(b"#[comment]\nnot a log\n"), Err(ReadError::Line { at: 11 }));
        let broken = b"Tag=a,1000.000,1.000,1.0,AAAA\n";
        assert!(matches!(read(broken), Err(ReadError::Histogram { number: 1, .. })));
    }
}
