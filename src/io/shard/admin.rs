//! Calls of the admin API on their way to the shard of their room.

use tokio::sync::oneshot;

use super::{Arrival, Shards, gone};
use crate::{
    ids::RoomId,
    protocol::Refusal,
    router::{AdminCall, AdminReply},
};

impl Shards {
    /// Carries an admin call to the shard of its room; what is about all rooms to all of them.
    ///
    /// # Errors
    /// What the router refuses, and `overloaded` when a shard's inbox stays full.
    pub async fn admin(&self, by: String, call: AdminCall) -> Result<AdminReply, Refusal> {
        let (AdminCall::ListRooms { limit, .. } | AdminCall::GetUser { limit, .. }) = &call else {
            let shard = self.of(&RoomId::from(call.room().unwrap_or_default()));
            return self.ask(shard, by, call).await;
        };
        let limit = *limit;
        let (mut rooms, mut sessions) = (Vec::new(), Vec::new());
        for shard in 0..self.handles.len() {
            match self.ask(shard, by.clone(), call.clone()).await? {
                AdminReply::Rooms(mut page) => rooms.append(&mut page),
                AdminReply::User(mut page) => sessions.append(&mut page),
                _ => {}
            }
        }
        if matches!(call, AdminCall::GetUser { .. }) {
            sessions.sort_by(|a, b| a.room.cmp(&b.room));
            sessions.truncate(limit);
            return Ok(AdminReply::User(sessions));
        }
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        rooms.truncate(limit);
        Ok(AdminReply::Rooms(rooms))
    }

    async fn ask(&self, shard: usize, by: String, call: AdminCall) -> Result<AdminReply, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.send(shard, Arrival::Admin(by, call, answer)).await.map_err(|(refusal, _)| refusal)?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}
