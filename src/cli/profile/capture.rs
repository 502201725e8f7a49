//! `signalbox profile capture`: pins the minutes around now, and says what was different in them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::{super::complain, PATIENCE, changed::Changed, decoded};
use crate::ops_client::{OpsClient, OpsError};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// A capture that is ready later than that is not waited for.
const READY_SECONDS_MAX: u64 = 600;
/// Beyond the time that the router names.
const SLACK: Duration = Duration::from_secs(30);
/// Of an id: a part of a path.
const ID_CHARS_MAX: usize = 64;

/// Arguments of `signalbox profile capture`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox profile capture
  signalbox profile capture --note 'joins are slow in eu-west'
  signalbox profile capture --url http://router-7:9600 --token-file ops.token

The minutes before now are in it, and some seconds after: that is how long it takes. Its URL is a
page that answers what was different; `signalbox profile diff quiet:ID capture:ID` says it again.")]
pub(super) struct Args {
    /// Why, for whoever reads it later.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Rows of changes at most.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
    #[serde(default)]
    ready_in_seconds: u64,
}

#[derive(Deserialize)]
struct Captured {
    state: String,
}

/// What may stand in a path.
pub(super) fn is_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.chars().all(fits)
}

pub(super) async fn run(args: &Args, client: &OpsClient) -> Result<String> {
    let body = args.note.as_ref().map_or_else(|| json!({}), |note| json!({ "note": note }));
    let accepted = client.post("/debug/captures", &body, PATIENCE).await?;
    let accepted: Accepted = serde_json::from_slice(&accepted).context("the router answered no id of a capture")?;
    if !is_id(&accepted.id) {
        bail!("the router answered an id that cannot stand in a path");
    }
    complain(&format!("{} is ready in {} s …", accepted.id, accepted.ready_in_seconds));
    ready(client, &accepted).await?;
    let changes = changes(args, client, &accepted.id).await?;
    Ok(format!("{}/debug/captures/{}\n\n{changes}", client.address(), accepted.id))
}

async fn ready(client: &OpsClient, accepted: &Accepted) -> Result<()> {
    let path = format!("/debug/captures/{}", accepted.id);
    let patience = Duration::from_secs(accepted.ready_in_seconds.min(READY_SECONDS_MAX)) + SLACK;
    let since = Instant::now();
    loop {
        let captured = client.get(&path, &[("format", "json")], PATIENCE).await?;
        let captured: Captured =
            serde_json::from_slice(&captured).context("the router tells no state of the capture")?;
        if captured.state == "ready" {
            return Ok(());
        }
        if since.elapsed() > patience {
            let state: String = captured.state.chars().filter(|c| !c.is_control()).take(ID_CHARS_MAX).collect();
            bail!("{} is not ready after {} s: {state}", accepted.id, patience.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Against the quiet hour before; a router that runs for minutes has none.
async fn changes(args: &Args, client: &OpsClient, id: &str) -> Result<String> {
    let part = async |part: &str| client.get(&format!("/debug/captures/{id}/{part}"), &[], PATIENCE).await;
    let target = decoded(&part("profile").await?, &client.address())?;
    let base = match part("quiet").await {
        Ok(base) => decoded(&base, &client.address())?,
        Err(OpsError::Refused { status: 404, told, .. }) => {
            return Ok(format!("nothing to compare with: {told}"));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Changed::of(&base, &target).as_text((&format!("quiet:{id}"), &format!("capture:{id}")), args.lines.into()))
}
