//! Whether what an alert leads to names the cause that was injected.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    expected::Cause,
    harness::answered,
    sink::hex,
    stack::{OP, REGION, Stack},
    told::Message,
};

/// Functions that became more; the cause must be among the first, which people look at.
const FIRST: usize = 5;

/// Where the cause is named, in words; else what was found in its place.
pub(crate) async fn named(stack: &Stack, cause: Cause, told: &[Message]) -> Result<String, String> {
    match cause {
        Cause::Difference(function) => difference(stack, function).await,
        Cause::Stack(function) => stalled(stack, function).await,
        Cause::Stage { op, stage } => slowest(stack, op, stage).await,
        Cause::Said { alert, words } => said(told, alert, words),
    }
}

/// In the capture that is the latest of the op and region: as links of alerts ask for it.
async fn difference(stack: &Stack, function: &str) -> Result<String, String> {
    let latest = stack.page(&format!("/debug/captures/latest?op={OP}&region={REGION}")).await;
    let place = latest.head.lines().find_map(|line| line.strip_prefix("location: ")).ok_or("no capture was made")?;
    let id = place.trim_start_matches("/debug/captures/").split(['?', '/']).next().unwrap_or_default();
    // the head is in lower case, ids are not
    let list = stack.page("/debug/captures/?format=json").await.json();
    let id = ids(&list).find(|known| known.eq_ignore_ascii_case(id)).ok_or("the latest capture is in no list")?;
    ready(stack, id).await;
    let windows = format!("/debug/pprof/diff?base=quiet:{id}&target=capture:{id}&format=json");
    let changes = stack.page(&windows).await.json()["changes"].take();
    let changes: Vec<_> = changes.as_array().into_iter().flatten().take(FIRST).collect();
    let name = |change: &&Value| change["name"].as_str().unwrap_or_default().to_owned();
    let first: Vec<_> = changes.iter().map(name).collect();
    let Some(at) = first.iter().position(|name| name.ends_with(function)) else {
        return Err(format!("the capture's difference begins with {changes:?}"));
    };
    let share = |of: &str| changes[at][of].as_f64().unwrap_or_default() * 100.0;
    let (before, now) = (share("base_share"), share("target_share"));
    Ok(format!("{function}: {before:.0} % of CPU time before, {now:.0} % then (capture {id})"))
}

/// Whether the traces that the page of slow signals names are where traces go. In words how many.
pub(crate) async fn traced(stack: &Stack) -> Result<String, String> {
    let page = stack.page("/debug/slow?format=json").await.json();
    let named = trace_ids(&page);
    if named.is_empty() {
        return Err(format!("/debug/slow names no trace: {page}"));
    }
    let known = || stack.sink.roots().iter().map(|root| hex(&root.trace_id)).collect::<BTreeSet<_>>();
    // batches leave every few seconds
    answered("the traces of slow signals", async || named.is_subset(&known()).then_some(())).await;
    Ok(format!("{} traces that /debug/slow names are with the collector", named.len()))
}

fn trace_ids(page: &Value) -> BTreeSet<String> {
    match page {
        Value::Array(values) => values.iter().flat_map(trace_ids).collect(),
        Value::Object(fields) => {
            let own = fields.get("trace_id").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(trace_ids)).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// On the page of slow signals, all of that op: where the time of each went.
async fn slowest(stack: &Stack, op: &str, stage: &str) -> Result<String, String> {
    let page = stack.page("/debug/slow?format=json").await.json();
    let signals = page.as_array().into_iter().flatten().filter(|signal| signal["op"] == op);
    let longest = |signal: &&Value| {
        let took = |part: &&Value| part["took_ms"].as_f64().unwrap_or_default();
        let parts = signal["stages"].as_array().into_iter().flatten();
        parts.max_by(|a, b| took(a).total_cmp(&took(b))).map(|part| part["stage"].clone())
    };
    let found: Vec<_> = signals.map(|signal| longest(&signal)).collect();
    let named = !found.is_empty() && found.iter().all(|longest| *longest == Some(stage.into()));
    let words = format!("{stage}, where the time of the {} slowest {op} went (/debug/slow)", found.len());
    if named { Ok(words) } else { Err(format!("{op} was slow in {found:?}")) }
}

async fn stalled(stack: &Stack, function: &str) -> Result<String, String> {
    let list = stack.page("/debug/captures/?format=json").await.json();
    let capture = list.as_array().into_iter().flatten().find(|capture| capture["cause"]["kind"] == "stall");
    let id = capture.and_then(|capture| capture["id"].as_str()).ok_or("no capture of a stall was made")?;
    ready(stack, id).await;
    let found = stack.page(&format!("/debug/captures/{id}/stall")).await.body;
    if found.contains(function) { Ok(format!("{function} (stack in capture {id})")) } else { Err(found) }
}

fn said(told: &[Message], alert: &str, words: &[&str]) -> Result<String, String> {
    let says = |message: &&Message| message.alert == alert && words.iter().all(|word| message.text.contains(word));
    let message = told.iter().find(says);
    message.map(|_| format!("said: {}", words.join(" "))).ok_or_else(|| {
        let texts: Vec<_> = told.iter().filter(|message| message.alert == alert).map(|m| m.text.as_str()).collect();
        format!("{alert} does not say {words:?}: {texts:?}")
    })
}

fn ids(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|capture| capture["id"].as_str())
}

/// A capture has half a minute of the time after.
async fn ready(stack: &Stack, id: &str) {
    let path = format!("/debug/captures/{id}?format=json");
    answered("a capture to become ready", async || {
        let capture = stack.page(&path).await.json();
        (capture["state"] == "ready" || capture["ready_in_seconds"].as_u64()? < 15).then_some(())
    })
    .await;
    answered("that the capture is ready", async || (stack.page(&path).await.json()["state"] == "ready").then_some(()))
        .await;
}
