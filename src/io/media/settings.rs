//! What this side of the wire to media nodes is told.

use std::time::Duration;

use super::known::Told;
use crate::{guard::breaker::BreakerSettings, io::dialing::TlsFiles, placement::NodeInfo, protocol::Limits};

/// How nodes are known and called.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaSettings {
    /// Names this router to nodes.
    pub router: String,
    /// Where it is.
    pub region: String,
    /// The regions that nodes may be in, its own among them.
    pub regions: Vec<String>,
    /// After that long without a registration a node is forgotten.
    pub ttl: Duration,
    /// How often a node reports.
    pub report: Duration,
    /// How often the round trip is measured.
    pub probe: Duration,
    /// Most nodes.
    pub nodes_max: usize,
    /// For a connection, and for the first word on it.
    pub connect_timeout: Duration,
    /// Calls to one node under way.
    pub calls_in_flight: usize,
    /// Calls to one node that wait beside these.
    pub calls_waiting: usize,
    /// Longest message of a node.
    pub message_bytes: usize,
    /// Bounds on what a node may have for a participant; those of clients.
    pub limits: Limits,
    /// TLS towards nodes; absent: none is called over https.
    pub tls: Option<TlsFiles>,
    /// When a node is not called for a while.
    pub breaker: BreakerSettings,
    /// Nodes that are known anyway.
    pub nodes: Vec<FixedNode>,
}

/// A node that is known without registering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedNode {
    /// What it is.
    pub info: NodeInfo,
    /// Where it is called.
    pub control_url: String,
}

impl MediaSettings {
    /// The nodes of the configuration, as they would register.
    pub(super) fn told(&self) -> Vec<Told> {
        let told = |node: &FixedNode| Told {
            info: node.info.clone(),
            control_url: node.control_url.clone(),
            incarnation: None,
        };
        self.nodes.iter().map(told).collect()
    }
}
