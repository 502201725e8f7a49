//! What the rules of this test must catch, planted.

use serde_json::json;
use signalbox::telemetry::catalog;

use crate::{Complaint, alerts, boards, known, known::Known, shipped::Shipped, tested};

fn rules(text: &str) -> Shipped {
    let mut shipped = Shipped::default();
    shipped.take_rules("rules.yml", text);
    shipped
}

fn rule(record: &str, expression: &str) -> Shipped {
    rules(&format!("groups: [{{name: g, rules: [{{record: '{record}', expr: '{expression}'}}]}}]"))
}

fn complained(shipped: &Shipped) -> Vec<String> {
    let complaints = Known::catalogue().with_recorded(shipped).complaints(shipped);
    complaints.iter().map(Complaint::to_string).collect()
}

/// What is complained of by that name when the catalogue no longer has it.
fn missed(shipped: &Shipped, name: &str) -> Vec<Complaint> {
    let without: Vec<_> = catalog::ALL.iter().filter(|metric| metric.name != name).copied().collect();
    let complaints = Known::of(&without).with_recorded(shipped).complaints(shipped);
    complaints.into_iter().filter(|complaint| complaint.what.contains(name)).collect()
}

#[test]
fn a_metric_that_the_catalogue_lacks_is_named_with_its_board_and_panel() {
    let shipped = Shipped::read();
    let complaints = missed(shipped, "signalbox_workers_stalled");
    let board = |complaint: &&Complaint| complaint.place.contains("board") && complaint.place.contains("panel");
    assert!(complaints.iter().any(|complaint| board(&complaint)), "{complaints:?}");
}

#[test]
fn every_metric_of_the_catalogue_is_missed_by_name_when_it_is_renamed() {
    let shipped = Shipped::read();
    for metric in catalog::ALL.iter().filter(|metric| metric.shown != catalog::Shown::Debug) {
        assert!(!missed(shipped, metric.name).is_empty(), "nothing misses {}", metric.name);
    }
}

#[test]
fn labels_and_values_that_do_not_exist_are_caught() {
    let caught = |expression: &str| complained(&rule("op:signalbox_x:rate5m", expression)).join("; ");
    assert!(caught("sum by (cluster, domain, op) (signalbox_signals_total{room=\"r\"})").contains("no label room"));
    assert!(caught("sum by (cluster, domain, op, room) (signalbox_signals_total)").contains("by (room)"));
    assert!(caught("sum by (cluster, domain, op) (signalbox_signals_total{op=\"jion\"})").contains("\"jion\""));
    assert!(
        caught("sum by (cluster, domain, op) (signalbox_signals_total{outcome=~\"ok|expird\"})").contains("expird")
    );
    let edge = "sum by (cluster, domain, op) (signalbox_signal_latency_seconds_bucket{le=\"0.081\"})";
    assert!(caught(edge).contains("no bucket that ends at 0.081"));
    let whole = "sum by (cluster, domain, op) (signalbox_signal_latency_seconds)";
    assert!(caught(whole).contains("neither in the catalogue"), "a histogram has no series of its own name");
    assert!(caught("sum by (cluster, domain, op (").contains("cannot be read"));
    assert_eq!(caught("sum by (cluster, domain, op) (rate(signalbox_signals_total{outcome=~\"ok|gone\"}[5m]))"), "");
}

#[test]
fn a_recorded_name_that_does_not_say_what_it_is_by_is_caught() {
    let caught =
        complained(&rule("op_region:signalbox_x:rate5m", "sum by (cluster, domain, op) (signalbox_signals_total)"));
    assert!(caught[0].contains("its name tells of"), "{caught:?}");
    let caught = complained(&rule("cluster_domain:x:rate5m", "sum by (cluster, instance) (signalbox_sessions)"));
    assert!(caught[0].contains("instance"), "{caught:?}");
}

#[test]
fn what_nobody_reads_is_caught() {
    let shipped = rule("op:signalbox_x:rate5m", "sum by (cluster, domain, op) (signalbox_signals_total)");
    assert_eq!(known::unread(&shipped).len(), 1);
    assert!(known::unseen(&shipped).iter().any(|complaint| complaint.place == "signalbox_sessions"));
}

#[test]
fn an_alert_without_what_it_must_say_is_caught() {
    let mut shipped = Shipped::default();
    let annotations = json!({
        "summary": "s", "description": "d",
        "runbook_url": "{{ $externalLabels.runbooks_url }}/Another.md",
        "dashboard_url": "{{ $externalLabels.grafana_url }}/d/no-board?var-cluster=x",
    });
    shipped.alerts.push(alerts::planted("A", json!({ "labels": { "severity": "bad" }, "annotations": annotations })));
    let caught: Vec<_> = alerts::incomplete(&shipped).iter().map(Complaint::to_string).collect();
    for expected in ["severity is \"bad\"", "no `for`", "Another.md", "no board no-board"] {
        assert!(caught.iter().any(|complaint| complaint.contains(expected)), "{expected}: {caught:?}");
    }
    assert_eq!(tested::untested(&shipped).len(), 2);
    assert_eq!(alerts::without_runbook(&shipped).len(), 1);
}

#[test]
fn a_careless_panel_is_caught() {
    let target = json!({ "expr": "rate(up[5m])", "datasource": { "uid": "fixed" } });
    let panel = json!({ "id": 1, "type": "stat", "targets": [target] });
    let mut shipped = Shipped::default();
    shipped.take_board("b.json", &json!({ "uid": "b", "panels": [panel, panel] }).to_string());
    let caught: Vec<_> = boards::careless(&shipped).iter().map(Complaint::to_string).collect();
    for expected in ["no title", "no description", "no unit", "fixed window", "chosen data source", "cluster", "one id"]
    {
        assert!(caught.iter().any(|complaint| complaint.contains(expected)), "{expected}: {caught:?}");
    }
}

#[test]
fn a_list_of_errors_that_is_not_the_code_tables_is_caught() {
    let listed = |codes: &str| {
        let expression = format!("sum by (cluster, domain) (signalbox_signal_refusals_total{{code=~\"{codes}\"}})");
        alerts::faults(&rule("cluster_domain:x:rate5m", &expression)).len()
    };
    assert_eq!(listed("internal|deadline_exceeded"), 1, "some are missing");
    assert_eq!(
        listed(
            "internal|deadline_exceeded|no_media_node|not_ready|auth_unavailable|media_unavailable|media_overloaded|room_unavailable"
        ),
        0
    );
    assert_eq!(
        listed(
            "internal|deadline_exceeded|no_media_node|not_ready|auth_unavailable|media_unavailable|media_overloaded|room_unavailable|bad_request"
        ),
        1,
        "a client's"
    );
}
