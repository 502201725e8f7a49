//! Other settings for shards that run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{Arrival, Shards};
use crate::{
    io::guard::QueueSettings,
    router::{Input, Settings},
};

/// How long an arrival waits for a full inbox; all handles to the shards share it.
#[derive(Clone, Debug)]
pub(super) struct Patience(Arc<AtomicU64>);

impl Patience {
    pub(super) fn new(patience: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(whole_ms(patience))))
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Relaxed))
    }
}

fn whole_ms(patience: Duration) -> u64 {
    u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)
}

impl Shards {
    /// Those that are nobody's but a test's, which reads what arrives.
    #[cfg(test)]
    pub(crate) fn over(inboxes: Vec<tokio::sync::mpsc::Sender<Arrival>>) -> Self {
        let handle = |inbox| super::Handle {
            inbox,
            population: std::sync::Arc::default(),
            gauge: std::sync::Arc::default(),
            keeps: false,
        };
        Self {
            handles: inboxes.into_iter().map(handle).collect(),
            patience: Patience::new(Duration::from_millis(150)),
            bounds: super::Bounds::new(QueueSettings::default()),
        }
    }

    /// Other settings, of one of so many shards, another patience and other bounds of queues; for what begins once each
    /// shard has read them. Waits for room in their inboxes: blocks, so it is for a thread that is no worker.
    pub fn configure(&self, settings: impl Fn(usize) -> Settings, patience: Duration, queues: QueueSettings) {
        self.patience.0.store(whole_ms(patience), Relaxed);
        self.bounds.configure(queues);
        for handle in self.handles.iter() {
            let settings = Box::new(settings(self.handles.len()));
            // one that has ended serves nobody
            handle.inbox.blocking_send(Arrival::Input(Input::Configure(settings))).ok();
        }
    }
}
