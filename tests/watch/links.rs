//! What an alert links to: routers' and Prometheus's pages are fetched, runbooks and boards looked up in the repository.

use std::fs;

use serde_json::Value;

use crate::{
    harness::repository,
    stack::{GRAFANA, RUNBOOKS, Stack, TRACES},
};

/// What is wrong with a link of that alert; nothing: it leads where it says.
pub(crate) async fn wrong(stack: &Stack, alert: &str, link: &str) -> Option<String> {
    let found = if let Some(page) = link.strip_prefix(RUNBOOKS) {
        runbook(alert, page.trim_start_matches('/'))
    } else if let Some(path) = link.strip_prefix(GRAFANA) {
        board(path)
    } else if link == TRACES {
        Ok(())
    } else {
        fetched(stack, link).await
    };
    found.err().map(|why| format!("{alert} links to {link}: {why}"))
}

fn runbook(alert: &str, page: &str) -> Result<(), String> {
    let named = page.strip_suffix(".md").unwrap_or_default();
    let text = fs::read_to_string(repository("alerts/runbooks").join(page)).map_err(|e| e.to_string())?;
    let heading = text.lines().next().unwrap_or_default();
    let fits = named == alert && heading.starts_with("# ") && heading.contains(alert);
    fits.then_some(()).ok_or_else(|| format!("the page begins with `{heading}`"))
}

/// `/d/<uid>?var-…=…`: the board is there, and so are its variables.
fn board(path: &str) -> Result<(), String> {
    let (uid, query) = path.strip_prefix("/d/").and_then(|path| path.split_once('?')).ok_or("no board")?;
    let text = fs::read_to_string(repository("dashboards/grafana").join(format!("{uid}.json")));
    let board: Value = serde_json::from_str(&text.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    if board["uid"] != uid {
        return Err(format!("the board is {}", board["uid"]));
    }
    let known: Vec<_> = board["templating"]["list"].as_array().into_iter().flatten().collect();
    for (name, value) in query.split('&').filter_map(|pair| pair.strip_prefix("var-")?.split_once('=')) {
        if value.is_empty() || !known.iter().any(|variable| variable["name"] == name) {
            return Err(format!("the variable {name} = `{value}`"));
        }
    }
    Ok(())
}

async fn fetched(stack: &Stack, link: &str) -> Result<(), String> {
    let ours = [stack.router.ops, stack.prometheus_at].map(|at| format!("http://{at}/"));
    if !ours.iter().any(|ours| link.starts_with(ours)) {
        return Err("it is of nobody who is watched".to_owned());
    }
    let answer = stack.client.get(link).send().await.map_err(|e| e.to_string())?;
    if answer.status() == 200 { Ok(()) } else { Err(answer.status().to_string()) }
}
