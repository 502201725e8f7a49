//! What the two text forms have in common: escapes, numbers, and the lines of a series.

use std::fmt::Write as _;

use super::model::{Bucket, Exemplar, Histogram, LabelPair, Metric};

/// Text that grows line by line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
    /// Of the series that is being written, without the braces.
    labels: String,
}

impl Lines {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// `# KEYWORD name rest`; what `rest` needs escaped is its writer's business.
    pub(super) fn comment(&mut self, keyword: &str, name: &str, rest: impl FnOnce(&mut String)) {
        for part in ["# ", keyword, " ", name, " "] {
            self.text.push_str(part);
        }
        rest(&mut self.text);
        self.text.push('\n');
    }

    /// All lines of a series, or of a histogram; `exemplar` writes what comes behind the value of a bucket.
    pub(super) fn series(&mut self, name: &str, metric: &Metric, exemplar: impl Fn(&mut String, &Exemplar)) {
        self.labels.clear();
        write_labels(&mut self.labels, &metric.label);
        if let Some(histogram) = &metric.histogram {
            self.histogram(name, histogram, exemplar);
            return;
        }
        let counter = metric.counter.as_ref().and_then(|counter| counter.value);
        let gauge = metric.gauge.as_ref().and_then(|gauge| gauge.value);
        if let Some(value) = counter.or(gauge) {
            self.begin(name, "", None);
            write_number(&mut self.text, value);
            self.text.push('\n');
        }
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram, exemplar: impl Fn(&mut String, &Exemplar)) {
        for Bucket { cumulative_count, upper_bound, exemplar: example } in &histogram.bucket {
            self.begin(name, "_bucket", *upper_bound);
            self.count(*cumulative_count);
            if let Some(example) = example {
                exemplar(&mut self.text, example);
            }
            self.text.push('\n');
        }
        self.begin(name, "_sum", None);
        write_number(&mut self.text, histogram.sample_sum.unwrap_or_default());
        self.text.push('\n');
        self.begin(name, "_count", None);
        self.count(histogram.sample_count);
        self.text.push('\n');
    }

    fn count(&mut self, count: Option<u64>) {
        write!(self.text, "{}", count.unwrap_or_default()).expect("a string takes every write");
    }

    /// The name and the labels of a line, up to its value.
    fn begin(&mut self, name: &str, suffix: &str, le: Option<f64>) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        if !self.labels.is_empty() || le.is_some() {
            self.text.push('{');
            self.text.push_str(&self.labels);
            if let Some(edge) = le {
                self.text.push_str(if self.labels.is_empty() { "le=\"" } else { ",le=\"" });
                write_number(&mut self.text, edge);
                self.text.push('"');
            }
            self.text.push('}');
        }
        self.text.push(' ');
    }
}

/// `name="value",…`
pub(super) fn write_labels(into: &mut String, labels: &[LabelPair]) {
    for (at, LabelPair { name, value }) in labels.iter().enumerate() {
        if at > 0 {
            into.push(',');
        }
        into.push_str(name.as_deref().unwrap_or_default());
        into.push_str("=\"");
        write_escaped(into, value.as_deref().unwrap_or_default(), &['\\', '\n', '"']);
        into.push('"');
    }
}

/// With a backslash before what would end the text or begin an escape.
pub(super) fn write_escaped(into: &mut String, text: &str, special: &[char]) {
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        into.push_str(&rest[..at]);
        into.push('\\');
        into.push_str(if rest[at..].starts_with('\n') { "n" } else { &rest[at..=at] });
        rest = &rest[at + 1..];
    }
    into.push_str(rest);
}

/// As Go's `ParseFloat` reads it.
pub(super) fn write_number(into: &mut String, number: f64) {
    if number.is_infinite() {
        into.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        write!(into, "{number}").expect("a string takes every write");
    }
}
