use std::time::Duration;

use super::*;
use crate::event::{AssignedBy, Labels, Origin, RuleInForce, Varied};

fn in_force(names: &[&str], rules: &[(&str, &str, Option<u16>)]) -> Event {
    let rule = |(name, variant, share): &(&str, &str, Option<u16>)| RuleInForce {
        name: (*name).into(),
        variant: (*variant).into(),
        share: *share,
    };
    let names = ["default"].iter().chain(names).map(|name| (*name).into()).collect();
    Event::Variant(Varied::InForce { names, rules: rules.iter().map(rule).collect() })
}

fn assigned(variant: &str, by: AssignedBy, rule: Option<&str>) -> Event {
    Event::Variant(Varied::Assigned { variant: variant.into(), by, rule: rule.map(Into::into) })
}

/// What belongs in the table of all events.
pub(super) fn events() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    vec![
        (
            in_force(&["canary"], &[("few", "canary", Some(500)), ("staff", "canary", None)]),
            vec![("signalbox_variant_share_ratio{variant=\"canary\",rule=\"few\"}", 0.05)],
        ),
        (
            assigned("canary", AssignedBy::Percent, Some("few")),
            vec![("signalbox_variant_assignments_total{variant=\"canary\",by=\"percent\"}", 1.0)],
        ),
    ]
}

#[test]
fn a_session_counts_for_the_variant_that_it_began_with_until_it_ends() {
    let telemetry = telemetry(Instant::now());
    telemetry.observe(&in_force(&["canary"], &[]), telemetry.started);
    let labels = Labels { variant: telemetry.variant(&"canary".into()), ..Labels::default() };
    let opened = |id: &str| Event::SessionOpened {
        session: id.into(),
        identity: "bob".into(),
        room: "r".into(),
        connection: ConnectionId(1),
        labels,
    };
    let sessions = || scrape(&telemetry)["signalbox_variant_sessions{variant=\"canary\"}"];
    telemetry.observe(&opened("a"), telemetry.started);
    telemetry.observe(&opened("b"), telemetry.started);
    assert_eq!(sessions(), 2.0);
    let closed = Event::SessionClosed { session: "a".into(), reason: Code::Left, labels };
    telemetry.observe(&in_force(&[], &[]), telemetry.started);
    telemetry.observe(&closed, telemetry.started);
    assert_eq!(sessions(), 1.0, "although it is no longer configured");
    let report = telemetry.variants_report(telemetry.started);
    let canary = report.variants.iter().find(|row| row.variant == "canary").unwrap();
    assert_eq!((canary.in_force, canary.sessions, canary.sessions_percent), (false, 1, 100.0));
}

#[test]
fn a_signal_is_in_the_histogram_of_its_variant_and_outcome_and_in_the_main_one() {
    let telemetry = telemetry(Instant::now());
    let canary = Labels { variant: telemetry.variant(&"canary".into()), ..Labels::default() };
    let end = |labels: Labels, outcome, took_ms| {
        let received = Instant::now();
        let signal = signal(OpKind::Send, received, Duration::from_millis(took_ms));
        let origin = Origin { labels, ..Origin::default() };
        telemetry.observe_from(&Event::SignalEnded { signal, outcome }, &origin, received);
    };
    for _ in 0..98 {
        end(canary, Outcome::Ok, 200);
    }
    end(canary, Outcome::Refused(Code::Internal), 1);
    end(canary, Outcome::Refused(Code::Overloaded), 1);
    end(Labels::default(), Outcome::Ok, 5);
    telemetry.drain(telemetry.started, UNIX);
    let samples = scrape(&telemetry);
    let count = |labels: &str| samples[&format!("signalbox_variant_latency_seconds_count{{{labels}}}")];
    assert_eq!(count("variant=\"canary\",outcome=\"ok\""), 98.0);
    assert_eq!(count("variant=\"canary\",outcome=\"error\""), 1.0);
    assert_eq!(count("variant=\"default\",outcome=\"ok\""), 1.0);
    let all = samples.iter().filter(|(series, _)| series.starts_with("signalbox_signals_total")).map(|(_, v)| v);
    assert_eq!(all.sum::<f64>(), 101.0, "no signal counts twice");
    let rows = telemetry.variants_report(telemetry.started).variants;
    let row = |name: &str| rows.iter().find(|row| row.variant == name).unwrap();
    assert_eq!((row("canary").signals, row("canary").errors_percent), (100, 1.0));
    assert!(row("canary").p99_ms.unwrap() >= 200.0 && row("default").p99_ms.unwrap() < 6.0, "{rows:?}");
    let report = telemetry.latency_report(Duration::from_secs(10), None);
    assert!(report.rows.iter().all(|row| row.subject.kind != "variant"), "{report:?}");
}

#[test]
fn names_beyond_those_told_apart_are_other_and_what_was_counted_stays_under_its_name() {
    let telemetry = telemetry(Instant::now());
    let names: Vec<String> = (1..catalog::VARIANTS_MAX + 3).map(|n| format!("v{n}")).collect();
    let places: Vec<u8> = names.iter().map(|name| telemetry.variant(&name.as_str().into())).collect();
    assert_eq!(places[..3], [1, 2, 3]);
    assert_eq!(places[places.len() - 3..], [catalog::VARIANTS_MAX as u8; 3]);
    assert_eq!(telemetry.variant(&"default".into()), 0);
    assert!(!scrape(&telemetry).keys().any(|series| series.contains("variant=\"other\"")), "nothing is counted there");
    telemetry.observe(&assigned(&names[names.len() - 1], AssignedBy::Users, None), telemetry.started);
    assert_eq!(scrape(&telemetry)["signalbox_variant_assignments_total{variant=\"other\",by=\"users\"}"], 1.0);
    assert_eq!(scrape(&telemetry)["signalbox_variant_sessions{variant=\"v1\"}"], 0.0);
}

#[test]
fn what_a_rule_did_is_counted_from_when_it_came_into_force() {
    let started = Instant::now();
    let telemetry = telemetry(started);
    let rules = [("staff", "canary", None), ("few", "canary", Some(2_500))];
    telemetry.observe(&in_force(&["canary"], &rules), started);
    telemetry.observe(&assigned("canary", AssignedBy::Users, Some("staff")), started);
    telemetry.observe(&assigned("canary", AssignedBy::Percent, Some("few")), started);
    for _ in 0..3 {
        telemetry.observe(&assigned("default", AssignedBy::Default, None), started);
    }
    let done = |at| {
        let rules = telemetry.variants_report(at).rules;
        rules.into_iter().map(|row| (row.rule, row.asked, row.fitted, row.got_percent)).collect::<Vec<_>>()
    };
    let expected = [("staff".to_owned(), 5, 1, Some(20.0)), ("few".to_owned(), 4, 1, Some(25.0))];
    assert_eq!(done(started), expected);
    let later = started + Duration::from_secs(9);
    telemetry.observe(&in_force(&["canary"], &rules[1..]), later);
    // decided by the rules before
    telemetry.observe(&assigned("canary", AssignedBy::Users, Some("staff")), later);
    assert_eq!(done(later), [("few".to_owned(), 0, 0, None)]);
    let report = telemetry.variants_report(later + Duration::from_secs(2));
    assert_eq!((report.in_force_seconds, report.rules[0].wanted_percent), (2.0, Some(25.0)));
}
