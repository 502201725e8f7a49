//! Tests of alerts: which of promtool's tests make an alert fire, and which tempt it in vain.
//!
//! A test says either of one alert what it tells (`alert_rule_test`), or of `ALERTS` which there are (`promql_expr_test`).
//! The latter counts as a temptation only of what the test feeds: an alert reads a series, and none that is expected has
//! its labels.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::parser::{Expr, VectorSelector};
use serde_json::Value;

use crate::{
    Complaint,
    alerts::WATCHDOG,
    expressions::{names, parsed, selectors},
    shipped::{By, Shipped, list, text_of},
};

/// Names of alerts.
type Names = BTreeSet<String>;

/// Alerts that fire in some test, and those that do not in some.
#[derive(Debug, Default)]
struct Seen {
    fire: Names,
    rest: Names,
}

/// Alerts that no test makes fire, and those that no test tempts in vain.
pub(crate) fn untested(shipped: &Shipped) -> Vec<Complaint> {
    let reads = reads(shipped);
    let mut seen = Seen::default();
    for file in &shipped.tests {
        let alerts = alerts_of(file, shipped);
        for test in list(&file["tests"]) {
            seen.take(test, &alerts, &reads);
        }
    }
    let mut complaints = Vec::new();
    for alert in &shipped.alerts {
        if !seen.fire.contains(&alert.name) {
            complaints.push(Complaint::new(&alert.place, "no test in which it fires"));
        }
        if !seen.rest.contains(&alert.name) && alert.name != WATCHDOG {
            complaints.push(Complaint::new(&alert.place, "no test that tempts it and in which it does not fire"));
        }
    }
    let known: Names = shipped.alerts.iter().map(|alert| alert.name.clone()).collect();
    let strange = seen.fire.union(&seen.rest).filter(|name| !known.contains(*name));
    complaints.extend(strange.map(|name| Complaint::new("alerts/tests", format!("there is no alert {name}"))));
    complaints.sort();
    complaints.dedup();
    complaints
}

impl Seen {
    fn take(&mut self, test: &Value, alerts: &Names, reads: &BTreeMap<String, Names>) {
        for told in list(&test["alert_rule_test"]) {
            let names = if list(&told["exp_alerts"]).is_empty() { &mut self.rest } else { &mut self.fire };
            names.insert(text_of(&told["alertname"]));
        }
        let inputs = list(&test["input_series"]).iter();
        let fed: Vec<_> = inputs.filter_map(|input| Series::written(&text_of(&input["series"]))).collect();
        for asked in list(&test["promql_expr_test"]) {
            let asked_for = alerts_asked_for(&text_of(&asked["expr"]), alerts);
            let samples = list(&asked["exp_samples"]).iter();
            let samples: Vec<_> = samples.filter_map(|sample| Series::written(&text_of(&sample["labels"]))).collect();
            for alert in &asked_for {
                // without a name it is of the only alert that was asked for
                let is_of = |sample: &&Series| sample.alert().map_or(asked_for.len() == 1, |named| named == **alert);
                let there: Vec<_> = samples.iter().filter(is_of).collect();
                let Some(reads) = reads.get(*alert) else { continue };
                let quiet = |fed: &Series| reads.contains(&fed.name) && !there.iter().any(|sample| sample.is_of(fed));
                if !there.is_empty() {
                    self.fire.insert((*alert).clone());
                }
                if fed.iter().any(quiet) {
                    self.rest.insert((*alert).clone());
                }
            }
        }
    }
}

/// A series as a test writes it.
#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
}

impl Series {
    fn written(text: &str) -> Option<Self> {
        let named = if text.starts_with('{') { format!("unnamed{text}") } else { text.to_owned() };
        let Ok(Expr::VectorSelector(selector)) = parsed(&named) else { return None };
        let matchers = selector.matchers.matchers.into_iter();
        let labels = matchers.map(|matcher| (matcher.name, matcher.value)).collect();
        Some(Self { name: selector.name.unwrap_or_default(), labels })
    }

    fn alert(&self) -> Option<&str> {
        self.labels.get("alertname").map(String::as_str)
    }

    /// Whether that alert may be of this series: what tells alerts apart from each other is not of a series.
    fn is_of(&self, fed: &Self) -> bool {
        let own = |name: &str| ["alertname", "alertstate", "severity", "what"].contains(&name);
        self.labels.iter().filter(|(name, _)| !own(name)).all(|(name, value)| fed.labels.get(name) == Some(value))
    }
}

/// Of which of these alerts an expression asks whether they fire.
fn alerts_asked_for<'a>(expression: &str, alerts: &'a Names) -> Vec<&'a String> {
    let Ok(expression) = parsed(expression) else { return Vec::new() };
    let asked: Vec<_> = selectors(&expression).into_iter().filter(|of| of.name.as_deref() == Some("ALERTS")).collect();
    let matches = |alert: &&String| {
        let chosen = |of: &&VectorSelector| {
            let mut named = of.matchers.matchers.iter().filter(|matcher| matcher.name == "alertname");
            named.all(|matcher| matcher.is_match(alert))
        };
        asked.iter().any(chosen)
    };
    alerts.iter().filter(matches).collect()
}

/// Alerts of the rule files that a file of tests loads.
fn alerts_of(tests: &Value, shipped: &Shipped) -> Names {
    let files: Vec<_> = list(&tests["rule_files"]).iter().map(|file| text_of(file).replace("../", "alerts/")).collect();
    let loaded = shipped.alerts.iter().filter(|alert| files.iter().any(|file| alert.place.starts_with(file.as_str())));
    loaded.map(|alert| alert.name.clone()).collect()
}

/// What each alert reads, and what that is recorded of.
fn reads(shipped: &Shipped) -> BTreeMap<String, Names> {
    let mut records = BTreeMap::<&str, Names>::new();
    let mut alerts = BTreeMap::<String, Names>::new();
    for asked in &shipped.asked {
        let Ok(expression) = &asked.expression else { continue };
        match &asked.by {
            By::Record(name) => records.entry(name).or_default().extend(names(expression)),
            By::Alert(name) => alerts.entry(name.clone()).or_default().extend(names(expression)),
            By::Board(_) => {}
        }
    }
    for reads in alerts.values_mut() {
        loop {
            let more: Names = reads.iter().filter_map(|name| records.get(name.as_str())).flatten().cloned().collect();
            if more.is_subset(reads) {
                break;
            }
            reads.extend(more);
        }
    }
    alerts
}

#[test]
fn what_a_test_says_of_alerts_is_understood() {
    let shipped = {
        let mut shipped = Shipped::default();
        let rules = ["A", "B", "C"].map(|name| format!("{{alert: {name}, expr: 'metric_{name} > 1'}}")).join(", ");
        shipped.take_rules("alerts/rules/x.yml", &format!("groups: [{{name: g, rules: [{rules}]}}]"));
        shipped
    };
    let seen = |test: &str| {
        let file: Value =
            serde_saphyr::from_str(&format!("{{rule_files: [../rules/x.yml], tests: [{test}]}}")).unwrap();
        let mut seen = Seen::default();
        seen.take(&file["tests"][0], &alerts_of(&file, &shipped), &reads(&shipped));
        let written = |names: &Names| names.iter().cloned().collect::<Vec<_>>().join("");
        (written(&seen.fire), written(&seen.rest))
    };
    let both = |fire: &str, rest: &str| (fire.to_owned(), rest.to_owned());
    let fed = "input_series: [{series: metric_A, values: 1}, {series: 'metric_B{x=\"y\"}', values: 1}]";
    assert_eq!(seen(&format!("{{{fed}, promql_expr_test: [{{expr: ALERTS, exp_samples: []}}]}}")), both("", "AB"));
    let fires = "exp_samples: [{labels: 'ALERTS{alertname=\"A\"}', value: 1}]";
    assert_eq!(seen(&format!("{{{fed}, promql_expr_test: [{{expr: count(ALERTS), {fires}}}]}}")), both("A", "B"));
    let but = "expr: 'ALERTS{alertname!=\"B\"}', exp_samples: []";
    assert_eq!(seen(&format!("{{{fed}, promql_expr_test: [{{{but}}}]}}")), both("", "A"));
    let two = "input_series: [{series: 'metric_A{i=\"1\"}', values: 1}, {series: 'metric_A{i=\"2\"}', values: 1}]";
    let second = "exp_samples: [{labels: '{alertname=\"A\", i=\"2\", severity=\"page\"}', value: 1}]";
    assert_eq!(seen(&format!("{{{two}, promql_expr_test: [{{expr: ALERTS, {second}}}]}}")), both("A", "A"));
    assert_eq!(seen(&format!("{{{two}, promql_expr_test: [{{expr: ALERTS, {fires}}}]}}")), both("A", ""), "of both");
    let one = "expr: 'count by (i) (ALERTS{alertname=\"A\"})', exp_samples: [{labels: '{i=\"1\"}', value: 1}]";
    assert_eq!(seen(&format!("{{{two}, promql_expr_test: [{{{one}}}]}}")), both("A", "A"));
    assert_eq!(
        seen("{alert_rule_test: [{alertname: B, exp_alerts: []}, {alertname: C, exp_alerts: [{}]}]}"),
        both("C", "B")
    );
    assert_eq!(seen(&format!("{{{fed}, promql_expr_test: [{{expr: other, exp_samples: []}}]}}")), both("", ""));
}
