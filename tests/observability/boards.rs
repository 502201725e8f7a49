//! Boards: what one expects of every panel, so that a reader at night is not left to guess.

use serde_json::Value;

use crate::{
    Complaint,
    shipped::{Shipped, list, panels, text_of},
};

/// What every board asks for.
const VARIABLES: [&str; 6] = ["datasource", "job", "cluster", "domain", "region", "instance"];
/// Panels that show text or a list, and no values.
const WITHOUT_VALUES: [&str; 3] = ["text", "alertlist", "dashlist"];

/// See the module.
pub(crate) fn careless(shipped: &Shipped) -> Vec<Complaint> {
    let boards = shipped.boards.iter();
    boards.flat_map(|(path, board)| of_board(board).into_iter().map(move |what| Complaint::new(path, what))).collect()
}

fn of_board(board: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for key in ["uid", "title", "description"] {
        if text_of(&board[key]).is_empty() {
            wrong.push(format!("it has no {key}"));
        }
    }
    let variables: Vec<_> = list(&board["templating"]["list"]).iter().map(|known| text_of(&known["name"])).collect();
    let missing = VARIABLES.iter().filter(|name| !variables.iter().any(|known| known == *name));
    wrong.extend(missing.map(|name| format!("it has no variable {name}")));
    let mut ids: Vec<_> = panels(board).iter().map(|panel| panel["id"].to_string()).collect();
    ids.sort();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        wrong.push("two panels have one id".to_owned());
    }
    for panel in panels(board) {
        let title = text_of(&panel["title"]);
        wrong.extend(of_panel(panel).into_iter().map(|what| format!("panel {title:?}: {what}")));
    }
    for link in list(&board["links"]) {
        if link["type"] == "link" && text_of(&link["url"]).starts_with("/d/") && link["includeVars"] != true {
            wrong.push(format!("link {:?} leaves the variables behind", text_of(&link["title"])));
        }
    }
    wrong
}

fn of_panel(panel: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let kind = text_of(&panel["type"]);
    if WITHOUT_VALUES.contains(&kind.as_str()) {
        return wrong;
    }
    // the banner speaks for itself: it shows nothing but its text
    for key in ["title", "description"] {
        if text_of(&panel[key]).is_empty() {
            wrong.push(format!("it has no {key}"));
        }
    }
    let defaults = &panel["fieldConfig"]["defaults"];
    if text_of(&defaults["unit"]).is_empty() && list(&defaults["mappings"]).is_empty() {
        wrong.push("it has no unit".to_owned());
    }
    for target in list(&panel["targets"]) {
        wrong.extend(of_target(target));
    }
    wrong
}

fn of_target(target: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let expression = text_of(&target["expr"]);
    if text_of(&target["datasource"]["uid"]) != "${datasource}" {
        wrong.push(format!("{expression} does not ask the chosen data source"));
    }
    // a count of the last quarter of an hour or day says so itself; a shorter window must hold some scrapes
    for function in ["rate(", "increase("] {
        let windows = expression.match_indices(function).map(|(at, _)| &expression[at + function.len()..]);
        let fixed = windows.filter_map(|after| after.split_once('[')?.1.split(']').next());
        let fixed: Vec<_> = fixed.filter(|window| !window.starts_with("$__") && is_short(window)).collect();
        if !fixed.is_empty() {
            wrong.push(format!(
                "{expression} has a fixed window {fixed:?}; $__rate_interval follows the scrape interval"
            ));
        }
    }
    if !expression.contains("$cluster") && !expression.contains("prometheus_") && !expression.contains("alertmanager_")
    {
        wrong.push(format!("{expression} does not follow the chosen cluster"));
    }
    wrong
}

/// Below a quarter of an hour.
fn is_short(window: &str) -> bool {
    humantime::parse_duration(window).is_ok_and(|window| window.as_secs() < 900)
}
