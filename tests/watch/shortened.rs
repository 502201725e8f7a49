//! The shipped files on a shortened clock: their own text, with each duration replaced by a shorter one.
//!
//! About thirty to one: five minutes are ten seconds, a scrape comes every second. What is longer is never shorter, but it
//! is not in proportion: an hour is fifteen seconds, or a watch would take half an hour. The baseline's days, hours and offsets
//! stay what they are, and a history of eight days is put into Prometheus beforehand (`history.rs`).
//!
//! A duration that is in no table is refused by name: nothing passes as it is because nobody thought of it.

use std::fmt;

/// Which file a text is from: some durations mean something else there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    /// Recording rules and alerts.
    Rules,
    /// The same of the baseline, whose long windows are over the history.
    Baseline,
    /// Prometheus's own configuration, or Alertmanager's.
    Configuration,
}

/// A place in a line, as it is shipped, and on the shortened clock.
type Row = (&'static str, &'static str, &'static str);

/// After these keys. A window of a minute needs three scrapes at least, hence not two seconds.
const KEYS: &[Row] = &[
    ("interval", "30s", "1s"),
    ("interval", "5m", "10s"),
    ("for", "0m", "0s"),
    ("for", "1m", "2s"),
    ("for", "2m", "3s"),
    ("for", "3m", "5s"),
    ("for", "5m", "8s"),
    ("for", "10m", "10s"),
    ("for", "15m", "10s"),
    ("for", "30m", "12s"),
    ("for", "1h", "15s"),
    ("for", "2h", "20s"),
    ("keep_firing_for", "10m", "10s"),
    // longer than the longest window of a fast burn, as shipped
    ("keep_firing_for", "30m", "20s"),
    ("scrape_interval", "15s", "1s"),
    ("scrape_timeout", "10s", "1s"),
    ("evaluation_interval", "30s", "1s"),
    ("group_wait", "0s", "0s"),
    ("group_wait", "10s", "1s"),
    ("group_wait", "30s", "1s"),
    ("group_wait", "2m", "1s"),
    ("group_wait", "10m", "1s"),
    ("group_interval", "30s", "2s"),
    ("group_interval", "5m", "5s"),
    ("group_interval", "30m", "5s"),
    ("group_interval", "6h", "5s"),
    // the dead-man's switch; the others are for messages that nobody sees within a watch
    ("repeat_interval", "50s", "4s"),
    ("repeat_interval", "30m", "30m"),
    ("repeat_interval", "4h", "4h"),
    ("repeat_interval", "24h", "24h"),
    ("repeat_interval", "72h", "72h"),
    // Prometheus says itself when an alert has ended
    ("resolve_timeout", "5m", "5m"),
];

const WINDOW: &str = "[]";
const OFFSET: &str = "offset";

/// In expressions, those of links included.
const WINDOWS: &[Row] = &[
    (WINDOW, "1m", "3s"),
    (WINDOW, "2m", "4s"),
    (WINDOW, "3m", "6s"),
    (WINDOW, "5m", "10s"),
    (WINDOW, "10m", "12s"),
    (WINDOW, "15m", "15s"),
    (WINDOW, "30m", "15s"),
    (WINDOW, "1h", "15s"),
    (WINDOW, "6h", "60s"),
    (WINDOW, "1d", "60s"),
    (WINDOW, "3d", "120s"),
    (OFFSET, "1h", "20s"),
];

/// In expressions of the baseline, of windows shorter than [`HISTORY`]: a point of its group comes every ten seconds.
const BASELINE_WINDOWS: &[Row] = &[
    (WINDOW, "1m", "3s"),
    (WINDOW, "5m", "10s"),
    (WINDOW, "6m", "12s"),
    (WINDOW, "9m", "20s"),
    (WINDOW, "14m", "30s"),
];

/// Windows of the baseline from that length on, in seconds, are over the history, as all its offsets are: they stay. What is
/// read of the history is older than it should be only by as long as the watch has lasted.
const HISTORY: u64 = 3_600;

/// A duration that is in no table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    line: usize,
    place: String,
    duration: String,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, place, duration } = self;
        write!(f, "line {line}: `{place}` {duration} has no place on the shortened clock; tests/watch/shortened.rs")
    }
}

impl File {
    /// A window or an offset on the shortened clock.
    fn in_expression<'a>(self, place: &str, duration: &'a str) -> Result<&'a str, (String, String)> {
        let of_history = || seconds(duration).is_some_and(|seconds| place == OFFSET || seconds >= HISTORY);
        match self {
            Self::Rules => short(WINDOWS, place, duration),
            Self::Baseline if of_history() => Ok(duration),
            Self::Baseline => short(BASELINE_WINDOWS, place, duration),
            Self::Configuration => short(&[], place, duration),
        }
    }

    /// The text of such a file on the shortened clock.
    pub(crate) fn shorten(self, text: &str) -> Result<String, Unknown> {
        let mut shortened = String::with_capacity(text.len());
        for (at, line) in text.lines().enumerate() {
            let unknown = |(place, duration): (String, String)| Unknown { line: at + 1, place, duration };
            // a comment speaks of the clock that people have
            let comment = line.trim_start().starts_with('#');
            shortened.push_str(&if comment { line.to_owned() } else { self.line(line).map_err(unknown)? });
            shortened.push('\n');
        }
        Ok(shortened)
    }

    fn line(self, line: &str) -> Result<String, (String, String)> {
        if let Some(line) = keyed(line)? {
            return Ok(line);
        }
        let line = replaced(line, "[", |rest| Some(&rest[..rest.find(']')?]), |d| self.in_expression(WINDOW, d))?;
        let word = |rest: &str| rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        replaced(&line, "offset ", |rest| Some(&rest[..word(rest)]), |d| self.in_expression(OFFSET, d))
    }
}

/// A line that is a key and a duration; `None`: it is none.
fn keyed(line: &str) -> Result<Option<String>, (String, String)> {
    let bare = line.trim_start().trim_start_matches("- ");
    let Some((key, value)) = bare.split_once(": ").filter(|(_, value)| is_duration(value.trim())) else {
        return Ok(None);
    };
    let short = short(KEYS, key, value.trim())?;
    Ok(Some(format!("{}{key}: {short}", &line[..line.len() - bare.len()])))
}

/// The line with what follows each `mark` replaced, where it begins like a duration.
fn replaced(
    line: &str,
    mark: &str,
    duration: impl Fn(&str) -> Option<&str>,
    short: impl Fn(&str) -> Result<&str, (String, String)>,
) -> Result<String, (String, String)> {
    let (mut done, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(mark) {
        let (before, after) = rest.split_at(at + mark.len());
        done.push_str(before);
        rest = after;
        if let Some(found) = duration(after).filter(|found| found.starts_with(|c: char| c.is_ascii_digit())) {
            done.push_str(short(found)?);
            rest = &after[found.len()..];
        }
    }
    done.push_str(rest);
    Ok(done)
}

fn short(rows: &[Row], place: &str, duration: &str) -> Result<&'static str, (String, String)> {
    let row = rows.iter().find(|(known, shipped, _)| *known == place && *shipped == duration);
    row.map(|(_, _, short)| *short).ok_or_else(|| (place.to_owned(), duration.to_owned()))
}

/// Of a duration as Prometheus writes them: numbers and units, `1d23h`. What is less than a second counts as none.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let units = [("ms", 0), ("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800), ("y", 31_536_000)];
    let (rest, each) = units.iter().find_map(|(known, each)| Some((unit.strip_prefix(known)?, each)))?;
    Some(number * each + if rest.is_empty() { 0 } else { seconds(rest)? })
}

fn is_duration(text: &str) -> bool {
    seconds(text).is_some()
}

/// What looks like a duration in an expression and is neither a window nor an offset: there the replacement would pass it
/// by. What is quoted is no duration.
pub(crate) fn loose(expression: &str) -> Vec<String> {
    let unquoted: String = expression.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let mut loose = Vec::new();
    let mut before = "";
    for word in unquoted.split(|c: char| !c.is_ascii_alphanumeric() && !"_:[".contains(c)).filter(|w| !w.is_empty()) {
        let in_window = word.contains('[');
        let last = word.rsplit('[').next().unwrap_or(word);
        if is_duration(last) && !in_window && before != OFFSET {
            loose.push(last.to_owned());
        }
        before = word;
    }
    loose
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::shipped::{self, Shipped};

    #[test]
    fn windows_offsets_and_keys_are_replaced_and_nothing_else_is() {
        let text = "\
# for: 5m is for people
groups:
- name: signalbox-5m
  interval: 30s
  rules:
  - alert: A
    expr: |
      rate(a{le=\"0.08\"}[5m]) > b:rate1m and c[30m] offset 1h
    for: 5m
    keep_firing_for: 30m
    annotations:
      summary: for 5 minutes, see [this]
      capture_url: '{{ query \"x[1m]\" }}/latency?window=5m&from=now-1h'
";
        let wanted = text
            .replace("interval: 30s", "interval: 1s")
            .replace("[5m]", "[10s]")
            .replace("[30m] offset 1h", "[15s] offset 20s")
            .replace("\n    for: 5m", "\n    for: 8s")
            .replace("keep_firing_for: 30m", "keep_firing_for: 20s")
            .replace("x[1m]", "x[3s]");
        assert_eq!(File::Rules.shorten(text).unwrap(), wanted);
    }

    #[test]
    fn what_the_baseline_reads_of_its_history_stays() {
        let text = "    expr: a[14m] and b[6d23h59m] and c[1h1m] offset 1d20h45m and d offset 15m\n";
        assert_eq!(File::Baseline.shorten(text).unwrap(), text.replace("[14m]", "[30s]"));
        assert_eq!(seconds("1d20h45m"), Some(86_400 + 20 * 3_600 + 45 * 60));
        assert_eq!((seconds("5"), seconds("m"), seconds("5m3"), seconds("1h5x")), (None, None, None, None));
    }

    #[test]
    fn a_duration_that_is_in_no_table_is_refused_by_its_line_and_name() {
        for (file, line, place, duration) in [
            (File::Rules, "    expr: rate(a[7m])", "[]", "7m"),
            (File::Rules, "    expr: rate(a[300s])", "[]", "300s"),
            (File::Rules, "      rate(a[5m]) and rate(b[5m:1m])", "[]", "5m:1m"),
            (File::Rules, "    expr: a offset 2h", "offset", "2h"),
            (File::Rules, "    expr: avg_over_time(a[7d])", "[]", "7d"),
            (File::Rules, "    for: 4m", "for", "4m"),
            (File::Rules, "    for: 1h30m", "for", "1h30m"),
            (File::Rules, "    query_offset: 1m", "query_offset", "1m"),
            (File::Baseline, "    expr: rate(a[30m])", "[]", "30m"),
            (File::Baseline, "    expr: rate(a[8m59s])", "[]", "8m59s"),
            (File::Baseline, "    expr: rate(a[1h:5m])", "[]", "1h:5m"),
            (File::Configuration, "  group_wait: 45s", "group_wait", "45s"),
        ] {
            let unknown = Unknown { line: 2, place: place.to_owned(), duration: duration.to_owned() };
            assert_eq!(file.shorten(&format!("x:\n{line}\n")), Err(unknown), "{line}");
        }
    }

    #[test]
    fn what_is_longer_is_never_shorter() {
        let places = ["interval", "for", "keep_firing_for", "group_wait", "group_interval", WINDOW, OFFSET];
        for rows in [KEYS, WINDOWS, BASELINE_WINDOWS] {
            for place in places {
                let mut of: Vec<_> = rows
                    .iter()
                    .filter(|row| row.0 == place)
                    .map(|row| (seconds(row.1).unwrap(), seconds(row.2).unwrap()))
                    .collect();
                of.sort_unstable();
                assert!(of.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1), "{place}: {of:?}");
                assert!(of.iter().all(|(shipped, short)| short <= shipped), "{place}: {of:?}");
            }
        }
    }

    #[test]
    fn every_shipped_file_has_a_shortened_clock_and_loses_nothing_by_it() {
        for Shipped { path, file, text } in shipped::all() {
            let shortened = file.shorten(&text).unwrap_or_else(|unknown| panic!("{path}: {unknown}"));
            assert_eq!(shortened.lines().count(), text.lines().count(), "{path}");
            if file == File::Configuration {
                continue;
            }
            let rules = |text: &str| shipped::rules(&serde_saphyr::from_str::<Value>(text).unwrap());
            let (before, after) = (rules(&text), rules(&shortened));
            assert!(!before.is_empty() && before.len() == after.len(), "{path}");
            for rule in &before {
                let expression = rule["expr"].as_str().unwrap();
                assert_eq!(loose(expression), [""; 0], "{path}: {expression}");
            }
        }
    }

    #[test]
    fn a_duration_that_is_neither_a_window_nor_an_offset_is_found() {
        assert_eq!(loose("rate(a[5m]) > 5 * 3600 and b:rate5m offset 1h"), [""; 0]);
        assert_eq!(loose("a{x=\"5m\"} > 1h"), ["1h"]);
        assert_eq!(loose("min_over_time(a[5m:30s])"), [""; 0], "refused as a window");
    }
}
