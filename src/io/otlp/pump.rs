//! The loop that exports: takes what waits, hands it over, counts what became of it, until the end or the deadline.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

use super::collector::Failure;
use crate::telemetry::trace::Lost;

/// How long what waits may do so before somebody looks.
const EVERY: Duration = Duration::from_millis(500);

/// By when it must be over; absent: it goes on. Its end means: at once.
pub(super) type Deadline = watch::Receiver<Option<Instant>>;

/// Something that waits, and is handed over in batches.
pub(super) trait Feed {
    /// One of it.
    type Item;

    /// What waits, oldest first, up to a batch.
    fn fetch(&self) -> Vec<Self::Item>;
    /// Comes back once much waits.
    async fn much_waits(&self);
    /// Hands over a batch.
    async fn export(&mut self, batch: &[Self::Item]) -> Result<(), Failure>;
    /// The collector took these.
    fn exported(&self, items: &[Self::Item]);
    /// So many will not arrive, for that cause.
    fn lost(&self, count: usize, why: Lost, cause: &str);
    /// After a failure, a batch has arrived.
    fn recovered(&self);
}

/// Exports until the deadline is set and nothing waits, or it has passed.
pub(super) async fn pump<F: Feed>(mut feed: F, mut deadline: Deadline) {
    let mut failing = false;
    loop {
        let batch = feed.fetch();
        if batch.is_empty() {
            if deadline.borrow().is_some() || deadline.has_changed().is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = feed.much_waits() => {}
                _ = deadline.changed() => {}
            }
            continue;
        }
        let result = tokio::select! {
            biased;
            () = passed(&mut deadline) => return give_up(&feed, batch.len()),
            result = feed.export(&batch) => result,
        };
        match &result {
            Ok(()) => {
                feed.exported(&batch);
                if failing {
                    feed.recovered();
                }
            }
            Err(failure) => {
                // which of them, a collector does not tell
                let lost = failure.lost.min(batch.len());
                feed.exported(&batch[lost..]);
                feed.lost(lost, failure.why, &failure.cause);
            }
        }
        failing = result.is_err();
    }
}

async fn passed(deadline: &mut Deadline) {
    let at = deadline.wait_for(Option::is_some).await.ok().and_then(|at| *at);
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

/// Neither what is on its way nor what waits will arrive.
fn give_up<F: Feed>(feed: &F, on_its_way: usize) {
    let mut lost = on_its_way;
    loop {
        match feed.fetch().len() {
            0 => break,
            waiting => lost += waiting,
        }
    }
    feed.lost(lost, Lost::Shutdown, "the router ended first");
}
