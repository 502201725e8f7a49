//! One scrape job of one server: which form it takes, and what it has.

use std::collections::BTreeMap;

use super::server::{Labels, Measured, Native, Point, Prometheus, Samples, number};
use crate::harness::answered;

/// See the module.
pub(super) struct Job<'a> {
    pub(super) server: &'a Prometheus,
    /// For messages.
    pub(super) of: &'static str,
    pub(super) name: &'static str,
    /// Takes protobuf, with native histograms beside the classic ones.
    pub(super) native: bool,
    /// Keeps exemplars.
    pub(super) exemplars: bool,
}

impl Job<'_> {
    /// The series of an expression in which `$job` selects this job.
    pub(super) async fn query(&self, expression: &str) -> Vec<Point> {
        self.server.query(&self.selecting(expression)).await
    }

    /// The same, of an expression whose series are numbers told apart by one label.
    pub(super) async fn by(&self, label: &str, expression: &str) -> BTreeMap<String, f64> {
        let points = self.query(expression).await;
        points.into_iter().map(|point| (point.labels[label].clone(), point.number())).collect()
    }

    /// The same, of an expression that is one number.
    pub(super) async fn number(&self, expression: &str) -> f64 {
        let points = self.query(expression).await;
        let [point] = &points[..] else { panic!("{self}: {expression}: {points:?}") };
        point.number()
    }

    pub(super) fn selecting(&self, expression: &str) -> String {
        expression.replace("$job", &format!("job=\"{}\"", self.name))
    }

    /// Waits for a scrape that began after that moment, Unix seconds.
    pub(super) async fn scraped_after(&self, moment: f64) {
        // a server shifts the time of a scrape by up to 2 ms, so that its intervals are even
        answered("a scrape", async || {
            let times = self.query("timestamp(up{$job})").await;
            times.iter().any(|time| time.number() > moment + 0.002).then_some(())
        })
        .await;
    }

    /// All that the router told at the latest scrape: numbers, and native histograms.
    pub(super) async fn taken(&self) -> (Samples, BTreeMap<(String, Labels), Native>) {
        let (mut numbers, mut natives) = (Samples::new(), BTreeMap::new());
        for Point { name, labels, value } in
            self.query("{$job, __name__=~\"signalbox_.+|process_.+|target_info\"}").await
        {
            match value {
                Measured::Number(number) => drop(numbers.insert((name, labels), number)),
                Measured::Native(native) => drop(natives.insert((name, labels), native)),
            }
        }
        (numbers, natives)
    }

    /// Exemplars of the series of a selector in which `$job` selects this job, each with the labels of its series.
    pub(super) async fn exemplars(&self, selector: &str) -> Vec<Exemplar> {
        let form = [("query", &*self.selecting(selector)), ("start", "0"), ("end", "9999999999")];
        let answer = self.server.ask("/api/v1/query_exemplars", &form).await;
        let of_series = |series: &serde_json::Value| {
            let labels: Labels = serde_json::from_value(series["seriesLabels"].clone()).unwrap();
            let exemplar = |exemplar: &serde_json::Value| Exemplar {
                series: labels.clone(),
                trace: exemplar["labels"]["trace_id"].as_str().unwrap().to_owned(),
                span: exemplar["labels"]["span_id"].as_str().unwrap().to_owned(),
                value: number(&exemplar["value"]),
            };
            series["exemplars"].as_array().unwrap().iter().map(exemplar).collect::<Vec<_>>()
        };
        answer.as_array().unwrap().iter().flat_map(of_series).collect()
    }
}

impl std::fmt::Display for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, job {}", self.of, self.name)
    }
}

/// A latency, and the trace that shows it.
#[derive(Debug)]
pub(super) struct Exemplar {
    pub(super) series: Labels,
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) value: f64,
}
