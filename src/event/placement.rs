//! What happens in the choice of media nodes.

use crate::ids::{NodeId, Region, RoomId, Variant};

/// What happens in the choice of media nodes, and to rooms by it.
#[derive(Clone, Debug, PartialEq)]
pub enum Placing {
    /// A room was given its node.
    Placed {
        /// The room.
        room: RoomId,
        /// The node.
        node: NodeId,
        /// Where its first participant is.
        wanted: Region,
        /// Where the node is: elsewhere, the room was spilled over.
        region: Region,
        /// `home`, `spill_over`.
        route: &'static str,
        /// Its own variant had no node, so it has one of `default`; which.
        fell_back: Option<Variant>,
        /// No node had any weight left, so it has the least bad.
        overloaded: bool,
    },
    /// A room could not be given a node, although there are nodes.
    NotPlaced {
        /// The room.
        room: RoomId,
    },
    /// A room has another node than before, or none.
    Moved {
        /// The room.
        room: RoomId,
        /// Who carried it; absent: nobody.
        from: Option<NodeId>,
        /// Who carries it; absent: nobody.
        to: Option<NodeId>,
        /// `node_failed`, `node_drained`, `node_returned`.
        reason: &'static str,
        /// Participants that were told.
        participants: usize,
    },
    /// A node takes rooms from now on.
    NodeIn {
        /// The node.
        node: NodeId,
        /// Where it is.
        region: Region,
        /// How it stood before: `awaited`, `returning`, `cordoned` …
        was: &'static str,
    },
    /// A node takes no rooms from now on.
    NodeOut {
        /// The node.
        node: NodeId,
        /// Where it is.
        region: Region,
        /// `silent`, `failing`, `cordoned`, `draining`, `drained`, `gone`.
        reason: &'static str,
    },
    /// A node reported what no honest node reports: it counts as if it had said nothing.
    ReportVoid {
        /// The node.
        node: NodeId,
        /// Which value.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// A node was not taken up, because there are as many as there may be.
    NodeRefused {
        /// The node.
        node: NodeId,
        /// How many there may be.
        limit: usize,
    },
}

/// A media node as it stands, for gauges: over all routers of the process.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSeen {
    /// The node.
    pub node: NodeId,
    /// Where it is.
    pub region: Region,
    /// Whether it takes rooms.
    pub ready: bool,
    /// 0 to 100.
    pub score: f64,
    /// What it makes, ramped.
    pub weight: u32,
    /// Of the rooms of its region and variant, by weight.
    pub share_wanted: f64,
    /// The same, of the rooms that were given in the last minute; absent: there were none.
    pub share_got: Option<f64>,
    /// Rooms that it carries.
    pub rooms: usize,
}
