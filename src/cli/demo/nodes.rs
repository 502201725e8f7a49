//! The demo's two media nodes, of this process, and how the router sees them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;

use super::super::nodes::as_table;
use crate::{
    app::Running,
    media_node::{MediaNode, Settings},
    placement::Standing,
};

/// As many as are needed to see a choice.
const IDS: [&str; 2] = ["m1", "m2"];
/// Registration, the stream and a first report take a fraction of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts them and waits, for a while, until the router would choose either.
///
/// # Errors
/// When a node has no port.
pub(super) async fn start(running: &Running) -> Result<Vec<MediaNode>> {
    let registry = running.media_addr().context("the router has no address for media nodes")?;
    let mut nodes = Vec::new();
    for id in IDS {
        nodes.push(MediaNode::start(settings(id, registry)).await?);
    }
    let since = Instant::now();
    let ready = || running.media_nodes().iter().filter(|node| node.standing == Standing::Ready).count();
    while ready() < IDS.len() && since.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(nodes)
}

fn settings(id: &str, registry: SocketAddr) -> Settings {
    Settings { routers: vec![format!("http://{registry}")], ..Settings::local(id, "default") }
}

/// Their scores and shares, for people.
pub(super) fn seen(running: &Running) -> String {
    as_table(&json!({ "nodes": running.media_nodes() }))
}
