//! What participants do, one scenario a file, and what the scenarios share.

mod absence;
mod call;
mod churn;
mod fanout;
mod group;
mod idle;
mod join;
mod overload;
mod participant;
mod resume;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::{
    LoadError, Scenario,
    client::{Client, Incoming},
    run::Run,
    stamp::Stamp,
};
use crate::protocol::v1::server_frame::Body;

/// Joins under way at a time while a scenario opens its sessions.
const JOINS_AT_A_TIME: usize = 64;

/// How long what is under way may take after the last message was sent.
const SETTLING_MAX: Duration = Duration::from_secs(5);

/// Runs the scenario to its end. What goes wrong on the way is counted, not returned.
pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    match run.options.scenario {
        Scenario::Fanout => fanout::play(run).await,
        Scenario::Join => join::play(run).await,
        Scenario::Churn => churn::play(run).await,
        Scenario::Resume => resume::play(run).await,
        Scenario::Call => call::play(run).await,
        Scenario::Idle => idle::play(run).await,
        Scenario::Overload => overload::play(run).await,
    }
}

/// Opens every session of the run's rooms, a bounded number at a time; those that failed are counted and absent.
async fn open_all(run: &Arc<Run>) -> Result<Vec<(usize, Client)>, LoadError> {
    let size = run.options.size;
    let mut joining = JoinSet::new();
    let mut open = Vec::with_capacity(run.options.rooms * size);
    for number in 0..run.options.rooms * size {
        if run.stop.is_cancelled() {
            break;
        }
        let pass = run.passes.get(number, number / size)?;
        if joining.len() == JOINS_AT_A_TIME {
            open.extend(joining.join_next().await.and_then(Result::ok).flatten());
        }
        let run = run.clone();
        joining.spawn(async move {
            let joined = run.join(number, &pass).await;
            joined.inspect_err(|e| run.refused(e)).ok().map(|(client, _)| (number, client))
        });
    }
    while let Some(joined) = joining.join_next().await {
        open.extend(joined.ok().flatten());
    }
    open.sort_by_key(|(number, _)| *number);
    Ok(open)
}

/// Waits until that moment, or until the run is stopped.
async fn until(run: &Run, at: Instant) {
    tokio::select! {
        () = tokio::time::sleep_until(at.into()) => {}
        () = run.stop.cancelled() => {}
    }
}

/// Reads what waits and throws it away. A session that only stays is read now and then: often enough for pings
/// to be answered, seldom enough not to compete with the router for the machine.
fn skim(client: &mut Client) -> Result<(), super::client::ClientError> {
    while let Some(received) = client.receive().now_or_never() {
        received?;
    }
    Ok(())
}

/// How often sessions that only stay are read.
const SKIM_EVERY: Duration = Duration::from_secs(4);

/// The stamp of a data push, found without decoding where that is possible.
fn stamp_of(incoming: &Incoming) -> Option<Stamp> {
    match incoming {
        Incoming::Bytes(_, bytes) => Stamp::find(bytes),
        Incoming::Frame(frame) => match &frame.body {
            Some(Body::Data(push)) => Stamp::find(push.data.as_deref()?.as_bytes()),
            _ => None,
        },
    }
}
