//! What shards show of the media nodes, and why a room is on one of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Arrival, Shard, Shards, gone};
use crate::{
    ids::RoomId,
    placement::{NodeFact, NodeView},
    protocol::Refusal,
    router::{Explanation, Input},
};

/// How old what is shown may be: of a thousand nodes it takes some tenths of a millisecond to make.
const SHOWN_FOR: Duration = Duration::from_secs(1);

/// Whether an operator is waiting to see that it was heard.
pub(super) fn is_told_to(input: &Input) -> bool {
    matches!(input, Input::Node(NodeFact::Cordoned { .. } | NodeFact::Drained { .. }))
}

impl Shard {
    pub(super) fn show_nodes(&mut self, at: Instant) {
        self.nodes_shown = Some(at);
        self.population.nodes.store(Arc::new(self.router.nodes(at)));
    }

    /// When what is shown is old, or there is nothing to show any more.
    pub(super) fn show_nodes_in_time(&mut self, at: Instant) {
        let old = self.nodes_shown.is_none_or(|shown| at.saturating_duration_since(shown) >= SHOWN_FOR);
        let due = if self.router.has_nodes() { old } else { !self.population.nodes.load().is_empty() };
        if due {
            self.show_nodes(at);
        }
    }

    pub(super) fn explain(&self, room: &str, answer: oneshot::Sender<Result<Explanation, Refusal>>) {
        // whoever asked may have gone
        answer.send(self.router.explain(room, Instant::now())).ok();
    }
}

impl Shards {
    /// The media nodes as all shards together see them, some seconds old at most.
    pub fn nodes(&self) -> Vec<NodeView> {
        NodeView::merged(self.handles.iter().map(|handle| handle.population.nodes.load_full()))
    }

    /// Why a room is on its media node.
    ///
    /// # Errors
    /// `room_not_found`, and `overloaded` when the room's shard has a full inbox.
    pub async fn explain(&self, room: String) -> Result<Explanation, Refusal> {
        let (answer, answered) = oneshot::channel();
        let shard = self.of(&RoomId::from(room.as_str()));
        self.send(shard, Arrival::Explain(room, answer)).await.map_err(|(refusal, _)| refusal)?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}
