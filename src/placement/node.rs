//! What becomes known of media nodes.

use std::time::Duration;

use crate::ids::{NodeId, Region, Variant};

/// A media node as it made itself known, or as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id, unique among all nodes.
    pub id: NodeId,
    /// Where it is.
    pub region: Region,
    /// Whom it serves.
    pub variant: Variant,
    /// Told to clients; may be empty.
    pub public_url: String,
    /// 1 to 1,000; 10 is usual.
    pub base_weight: u32,
}

/// A node's load as it reported it, unchecked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeLoad {
    /// Of its CPU, 0 to 100.
    pub cpu_percent: f64,
    /// Of its memory, 0 to 100.
    pub memory_percent: f64,
    /// Of its packets since the last report, 0 to 1.
    pub loss: f64,
    /// It asks for no new rooms.
    pub draining: bool,
}

/// Something became known of a media node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeFact {
    /// It registered, with what it is; again, perhaps as something else.
    Known(NodeInfo),
    /// It reported.
    Reported {
        /// Which.
        node: NodeId,
        /// What.
        load: NodeLoad,
    },
    /// Its answer to a probe came back.
    RoundTrip {
        /// Which.
        node: NodeId,
        /// After that long.
        rtt: Duration,
    },
    /// A call to it was answered, a refusal included.
    Answered {
        /// Which.
        node: NodeId,
    },
    /// A call to it was not answered in time, or could not be made.
    Failed {
        /// Which.
        node: NodeId,
    },
    /// An operator takes it out of the choice for new rooms, or puts it back.
    Cordoned {
        /// Which.
        node: NodeId,
        /// Whether it is out.
        cordoned: bool,
    },
    /// An operator wants its rooms elsewhere.
    Drained {
        /// Which.
        node: NodeId,
    },
    /// It is no longer registered.
    Gone {
        /// Which.
        node: NodeId,
    },
}
