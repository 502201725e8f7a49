//! Alerts: what each must say, its tests, its runbook.

use std::collections::BTreeSet;

use promql_parser::{label::MatchOp, parser::VectorSelector};
use serde_json::Value;
use signalbox::{
    protocol::{Code, codes::Side},
    telemetry::catalog,
};

use crate::{
    Complaint,
    expressions::{selectors, values},
    shipped::{Alert, By, Shipped, list, text_of},
};

/// How bad an alert can be; `none` is the one that always fires.
const SEVERITIES: [&str; 4] = ["page", "ticket", "info", "none"];
/// What every alert says.
const ANNOTATIONS: [&str; 4] = ["summary", "description", "runbook_url", "dashboard_url"];
/// The alert that always fires.
pub(crate) const WATCHDOG: &str = "SignalboxWatchdog";

/// What alerts leave out, and links of theirs that lead nowhere.
pub(crate) fn incomplete(shipped: &Shipped) -> Vec<Complaint> {
    shipped.alerts.iter().flat_map(|alert| said(alert, shipped)).collect()
}

fn said(alert: &Alert, shipped: &Shipped) -> Vec<Complaint> {
    let mut wrong = Vec::new();
    let severity = text_of(&alert.rule["labels"]["severity"]);
    if !SEVERITIES.contains(&severity.as_str()) {
        wrong.push(format!("severity is {severity:?}, of {SEVERITIES:?}"));
    }
    let annotations = &alert.rule["annotations"];
    if alert.name != WATCHDOG {
        if alert.rule["for"].is_null() {
            wrong.push("it has no `for`".to_owned());
        }
        let missing = ANNOTATIONS.iter().filter(|name| text_of(&annotations[**name]).is_empty());
        wrong.extend(missing.map(|name| format!("it has no {name}")));
        // the router in question, or for what is of Prometheus itself its own page
        if ["capture_url", "debug_url"].iter().all(|name| text_of(&annotations[*name]).is_empty()) {
            wrong.push("it has no link to what the router says of itself".to_owned());
        }
    }
    let runbook = text_of(&annotations["runbook_url"]);
    if !runbook.is_empty() && !runbook.ends_with(&format!("/{}.md", alert.name)) {
        wrong.push(format!("its runbook is {runbook}"));
    }
    wrong.extend(board_link(&text_of(&annotations["dashboard_url"]), shipped));
    wrong.into_iter().map(|what| Complaint::new(&alert.place, what)).collect()
}

/// What is wrong with a link to a board: its uid, or a variable that the board does not have.
fn board_link(link: &str, shipped: &Shipped) -> Vec<String> {
    let Some((_, rest)) = link.split_once("/d/") else { return Vec::new() };
    let (uid, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((_, board)) = shipped.boards.iter().find(|(_, board)| text_of(&board["uid"]) == uid) else {
        return vec![format!("there is no board {uid}")];
    };
    let variables: Vec<_> = list(&board["templating"]["list"]).iter().map(|known| text_of(&known["name"])).collect();
    let asked = query.split('&').filter_map(|part| part.strip_prefix("var-")?.split_once('='));
    let unknown = asked.filter(|(name, _)| !variables.iter().any(|known| known == name));
    unknown.map(|(name, _)| format!("board {uid} has no variable {name}")).collect()
}

/// Alerts without a page of their name, and pages without an alert.
pub(crate) fn without_runbook(shipped: &Shipped) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for alert in &shipped.alerts {
        let page = shipped.runbooks.iter().find(|(name, _)| *name == alert.name);
        match page {
            None => complaints.push(Complaint::new(&alert.place, "it has no runbook")),
            Some((_, heading)) if *heading != format!("# {}", alert.name) => {
                complaints.push(Complaint::new(&alert.place, format!("its runbook begins with {heading:?}")));
            }
            Some(_) => {}
        }
    }
    for (name, _) in &shipped.runbooks {
        if !shipped.alerts.iter().any(|alert| alert.name == *name) {
            complaints.push(Complaint::new(format!("alerts/runbooks/{name}.md"), "there is no such alert"));
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

/// Codes that are chosen so.
fn codes(chosen: fn(&Code) -> bool) -> BTreeSet<&'static str> {
    Code::ALL.iter().filter(|code| chosen(code)).map(|code| code.name()).collect()
}

/// Lists of codes that are neither those of our faults (the router's or a dependency's, and no refusal on purpose) nor
/// those of want of room here.
pub(crate) fn faults(shipped: &Shipped) -> Vec<Complaint> {
    let ours = codes(|code| code.side() != Side::Client && !code.is_shed());
    let want_of_room = codes(|code| code.side() == Side::Router && code.is_shed() && *code != Code::Draining);
    let mut complaints = Vec::new();
    let mut lists = 0;
    for asked in shipped.asked.iter().filter(|asked| !matches!(asked.by, By::Board(_))) {
        let Ok(expression) = &asked.expression else { continue };
        let refused = |selector: &&VectorSelector| {
            selector
                .name
                .as_ref()
                .is_some_and(|name| [catalog::REFUSALS.name, catalog::SHEDS.name].contains(&name.as_str()))
        };
        let selectors = selectors(expression).into_iter().filter(refused);
        for matcher in selectors.flat_map(|selector| &selector.matchers.matchers) {
            if matches!(matcher.op, MatchOp::Re(_)) && ["code", "reason"].contains(&matcher.name.as_str()) {
                lists += 1;
                let listed: BTreeSet<_> = values(matcher).into_iter().collect();
                if listed != ours && listed != want_of_room {
                    let what = format!("lists {listed:?}; our faults are {ours:?}, want of room {want_of_room:?}");
                    complaints.push(Complaint::new(&asked.place, what));
                }
            }
        }
    }
    assert!(lists > 0, "no rule lists codes");
    complaints
}

/// An alert of that name, for what is planted.
pub(crate) fn planted(name: &str, rule: Value) -> Alert {
    Alert { place: format!("planted, alert {name}"), name: name.to_owned(), rule }
}
