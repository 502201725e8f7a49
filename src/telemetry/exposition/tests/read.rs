//! Readers of the three forms, stricter than Prometheus: what they read is compared.

use std::collections::BTreeMap;

use prost::Message as _;

use super::super::model::{Exemplar, LabelPair, MetricFamily};

/// Names and values, in the order in which they stand.
pub(in crate::telemetry) type Labels = Vec<(String, String)>;
/// One series: its full name and its labels.
pub(in crate::telemetry) type Series = (String, Labels);

/// What a scrape says.
#[derive(Debug, Default, PartialEq)]
pub(in crate::telemetry) struct Scrape {
    /// Name, kind, help, unit, in the order in which they stand.
    pub(in crate::telemetry) families: Vec<[String; 4]>,
    pub(in crate::telemetry) samples: BTreeMap<Series, f64>,
    /// Of buckets: labels, value, and Unix time in seconds.
    pub(in crate::telemetry) exemplars: BTreeMap<Series, (Labels, f64, f64)>,
}

impl Scrape {
    fn sample(&mut self, series: Series, value: f64) {
        assert!(self.samples.insert(series.clone(), value).is_none(), "{series:?} twice");
    }

    /// All series of a name.
    pub(super) fn named(&self, name: &str) -> Vec<(&Labels, f64)> {
        self.samples.iter().filter(|((of, _), _)| of == name).map(|((_, labels), value)| (labels, *value)).collect()
    }

    /// The value of a series without labels, or of one with these.
    pub(in crate::telemetry) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }
}

/// Reads text 0.0.4: HELP, TYPE, then samples.
pub(in crate::telemetry) fn text(text: &str) -> Scrape {
    assert!(text.is_empty() || text.ends_with('\n'));
    lines(text, &["HELP", "TYPE"])
}

/// Reads OpenMetrics 1.0: HELP, TYPE, UNIT where there is one, samples; and an end.
pub(super) fn openmetrics(text: &str) -> Scrape {
    lines(text.strip_suffix("# EOF\n").expect("an end"), &["HELP", "TYPE", "UNIT"])
}

fn lines(text: &str, keywords: &[&str]) -> Scrape {
    let mut scrape = Scrape::default();
    let mut stage = 0;
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            stage = keywords.len();
            sample(&mut scrape, line, keywords.len() > 2);
            continue;
        };
        let [keyword, name, rest] = comment.splitn(3, ' ').collect::<Vec<_>>().try_into().expect("keyword, name, text");
        let place = keywords.iter().position(|known| *known == keyword).unwrap_or_else(|| panic!("{line}"));
        if place == 0 {
            assert!(scrape.families.iter().all(|[of, ..]| of != name), "{name} twice");
            scrape.families.push([name, "", "", ""].map(str::to_owned));
        } else {
            assert!(place > stage, "{keyword} of {name} at the wrong place");
        }
        stage = place;
        let family = scrape.families.last_mut().expect("HELP comes first");
        assert_eq!(family[0], name, "{keyword} of another family");
        family[[2, 1, 3][place]] = unescaped(rest, if keywords.len() > 2 { "\\\"n" } else { "\\n" });
    }
    scrape
}

/// `name{label="value",…} value`, and with `exemplars` perhaps ` # {…} value time`.
fn sample(scrape: &mut Scrape, line: &str, exemplars: bool) {
    let end = line.find(['{', ' ']).expect("a name ends");
    let (labels, rest) = label_set(&line[end..]);
    let (value, exemplar) = match rest.split_once(" # ") {
        Some((value, exemplar)) if exemplars => (value, Some(exemplar)),
        _ => (rest, None),
    };
    let series = (line[..end].to_owned(), labels);
    let value = value.strip_prefix(' ').expect("one space").parse().unwrap_or_else(|_| panic!("{line}"));
    let [family, kind, ..] = scrape.families.last().expect("a family");
    let suffixes: &[&str] = match (kind.as_str(), exemplars) {
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("counter", true) => &["_total"],
        ("info", true) => &["_info"],
        _ => &[""],
    };
    assert!(series.0.strip_prefix(family.as_str()).is_some_and(|rest| suffixes.contains(&rest)), "{line} in {family}");
    if let Some(exemplar) = exemplar {
        assert!(series.0.ends_with("_bucket"), "{line}");
        let (labels, rest) = label_set(exemplar);
        let numbers: Vec<f64> = rest.split_whitespace().map(|number| number.parse().unwrap()).collect();
        scrape.exemplars.insert(series.clone(), (labels, numbers[0], numbers[1]));
    }
    scrape.sample(series, value);
}

/// A set of labels, and what comes after it.
fn label_set(text: &str) -> (Labels, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label has a value in quotes");
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.expect("the quotes end");
        labels.push((name.to_owned(), unescaped(&after[..end], "\\\"n")));
        rest = match &after[end + 1..] {
            more if more.starts_with(',') => &more[1..],
            last => return (labels, last.strip_prefix('}').expect("a brace ends the labels")),
        };
    }
}

fn unescaped(text: &str, allowed: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let escape = chars.next().filter(|escape| allowed.contains(*escape)).unwrap_or_else(|| panic!("{text}"));
        out.push(if escape == 'n' { '\n' } else { escape });
    }
    out
}

/// The families of delimited protobuf.
pub(super) fn families(mut bytes: &[u8]) -> Vec<MetricFamily> {
    std::iter::from_fn(|| (!bytes.is_empty()).then(|| MetricFamily::decode_length_delimited(&mut bytes).unwrap()))
        .collect()
}

/// The same as what the text forms would say.
pub(super) fn protobuf(bytes: &[u8]) -> Scrape {
    let mut scrape = Scrape::default();
    for family in families(bytes) {
        let name = family.name.clone().unwrap();
        let kind = ["counter", "gauge", "summary", "untyped", "histogram"][family.r#type.unwrap() as usize];
        let (help, unit) = (family.help.unwrap(), family.unit.unwrap_or_default());
        scrape.families.push([name.clone(), kind.to_owned(), help, unit]);
        for metric in family.metric {
            let labels = pairs(&metric.label);
            let value = metric.counter.map(|c| c.value).or(metric.gauge.map(|g| g.value));
            let Some(histogram) = metric.histogram else {
                scrape.sample((name.clone(), labels), value.unwrap().unwrap());
                continue;
            };
            for bucket in histogram.bucket {
                let edge = bucket.upper_bound.unwrap();
                let le = if edge.is_infinite() { "+Inf".to_owned() } else { edge.to_string() };
                let labels = [labels.clone(), vec![("le".to_owned(), le)]].concat();
                let series = (format!("{name}_bucket"), labels);
                scrape.exemplars.extend(bucket.exemplar.iter().map(|exemplar| (series.clone(), read(exemplar))));
                scrape.sample(series, bucket.cumulative_count.unwrap() as f64);
            }
            scrape.sample((format!("{name}_sum"), labels.clone()), histogram.sample_sum.unwrap());
            scrape.sample((format!("{name}_count"), labels), histogram.sample_count.unwrap() as f64);
        }
    }
    scrape
}

fn pairs(labels: &[LabelPair]) -> Labels {
    labels.iter().map(|label| (label.name.clone().unwrap(), label.value.clone().unwrap())).collect()
}

/// Labels, value, Unix time.
fn read(exemplar: &Exemplar) -> (Labels, f64, f64) {
    let at = exemplar.timestamp.unwrap();
    (pairs(&exemplar.label), exemplar.value.unwrap(), at.seconds as f64 + f64::from(at.nanos) / 1e9)
}

/// The native buckets of a family's first histogram: the upper edge of each, and its count.
pub(in crate::telemetry) fn native(bytes: &[u8], name: &str) -> Vec<(f64, u64)> {
    let families = families(bytes);
    let family = families.iter().find(|family| family.name.as_deref() == Some(name)).expect("the family is there");
    let histogram = family.metric[0].histogram.as_ref().expect("it is a histogram");
    let edge = |index: i32| (f64::from(index) * (-f64::from(histogram.schema.expect("a schema"))).exp2()).exp2();
    let (mut index, mut count, mut deltas) = (0, 0_i64, histogram.positive_delta.iter());
    let mut buckets = Vec::new();
    for span in &histogram.positive_span {
        index += span.offset.expect("an offset");
        for _ in 0..span.length.expect("a length") {
            count += deltas.next().expect("a delta a bucket");
            buckets.push((edge(index), u64::try_from(count).expect("no bucket holds less than nothing")));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "a bucket a delta");
    buckets
}
