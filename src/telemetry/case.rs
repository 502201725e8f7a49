//! One signal, or one push's way to one recipient, with all that is known of it: what traces and the list of slow
//! signals are made of. Made only for the few that are kept. Carries no payload.

use std::{net::IpAddr, time::Duration};

use crate::{
    event::{Outcome, Stage},
    protocol::OpKind,
};

/// Kinds that are told apart: an op's signals, and its pushes to recipients.
pub(super) const KINDS: usize = 2 * OpKind::ALL.len();

/// The place of a kind.
pub(super) const fn kind(op: OpKind, delivery: bool) -> usize {
    2 * op as usize + delivery as usize
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The kind of the signal.
    pub op: OpKind,
    /// Whether this is the way of a push to one recipient, rather than of the signal itself.
    pub delivery: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// When its frame arrived, since the Unix epoch.
    pub started: Duration,
    /// Its length.
    pub took: Duration,
    /// Where the time went, in order, each from the end of the one before; calls are within `handle`.
    pub stages: Vec<(Stage, Duration)>,
    /// The room, when it is known.
    pub room: Option<String>,
    /// The session, when there is one.
    pub session: Option<String>,
    /// The client's address; of a delivery, the recipient's.
    pub peer_ip: Option<IpAddr>,
    /// `websocket`, `grpc`, `relay` (over a link between routers).
    pub transport: &'static str,
    /// The client's region, as metrics have it.
    pub region: String,
    /// The client's variant.
    pub variant: String,
    /// The client's SDK and version, while it is watched.
    pub sdk_version: Option<String>,
    /// The client's scenario, while it is watched.
    pub scenario: Option<String>,
    /// The shard that took it: one a worker.
    pub shard: Option<u16>,
    /// Inputs that waited for the shard when it was admitted.
    pub waiting: u32,
}

#[cfg(test)]
impl Case {
    /// Of which nothing else is known.
    pub(super) fn of(op: OpKind) -> Self {
        Self {
            op,
            delivery: false,
            outcome: Outcome::Ok,
            started: Duration::from_secs(1_800_000_000),
            took: Duration::ZERO,
            stages: Vec::new(),
            room: None,
            session: None,
            peer_ip: None,
            transport: "websocket",
            region: "sh".to_owned(),
            variant: "default".to_owned(),
            sdk_version: None,
            scenario: None,
            shard: None,
            waiting: 0,
        }
    }
}
