//! Sessions that join and then say nothing: what a session costs while nothing happens.

use std::{sync::Arc, time::Instant};

use super::{SKIM_EVERY, open_all, skim, until};
use crate::load::{
    LoadError,
    run::{Present, Run},
};

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    // before the first connection: its memory is the measure
    run.begin(Instant::now());
    let mut open = open_all(run).await?;
    let present: Vec<_> = open.iter().map(|_| Present::new(&run.counts)).collect();
    let end = Instant::now() + run.options.length;
    while Instant::now() < end && !run.stop.is_cancelled() {
        until(run, end.min(Instant::now() + SKIM_EVERY)).await;
        open.retain_mut(|(_, client)| skim(client).inspect_err(|e| run.refused(e)).is_ok());
    }
    run.end();
    drop(present);
    Ok(())
}
