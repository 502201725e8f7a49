//! Media nodes and the other routers of a fleet: who registered here, for them to hear of; who registered there, taken up as if it
//! had registered here.
//!
//! What another router says is checked as a registration is: it may have other regions, or call nodes otherwise.

use std::{sync::Arc, time::Instant};

use super::{
    Media, Shared,
    known::{Listed, Refused},
    wanted::{self, Here},
};
use crate::{
    directory::{NodeNews, NodeRecord, record::RECORD_VERSION},
    event::{MediaFact, NodeRefusal},
    ids::NodeId,
    protocol::v1,
};

impl Media {
    /// The nodes that registered with this router lately.
    pub fn registered(&self) -> Vec<NodeRecord> {
        let shared = &self.0;
        let (known, ttl) = (shared.known(), shared.settings.load().ttl);
        let record = |(told, leaving): (&super::known::Told, bool)| NodeRecord {
            version: RECORD_VERSION,
            id: told.info.id.to_string(),
            incarnation: told.incarnation.clone().unwrap_or_default(),
            region: told.info.region.to_string(),
            variant: told.info.variant.to_string(),
            control_url: told.control_url.clone(),
            public_url: told.info.public_url.clone(),
            base_weight: told.info.base_weight,
            leaving,
            by: String::new(),
            by_incarnation: String::new(),
            rest: serde_json::Map::new(),
        };
        known.registered(ttl, Instant::now()).map(record).collect()
    }

    /// Takes up what is heard of a node from the fleet.
    pub fn adopt(&self, news: NodeNews) {
        let shared = &self.0;
        match news {
            // what is gone there may be silent for as long as any other
            NodeNews::Gone { node } => shared.known().unlist(&node, Instant::now()),
            NodeNews::There(record) if record.by == shared.settings.load().router => {}
            NodeNews::There(record) => shared.list(*record),
        }
    }
}

impl Shared {
    fn list(self: &Arc<Self>, record: NodeRecord) {
        let settings = self.settings.load();
        let leaving = record.leaving;
        let request = v1::RegisterRequest {
            id: record.id,
            incarnation: record.incarnation,
            region: record.region,
            variant: record.variant,
            control_url: record.control_url,
            public_url: record.public_url,
            base_weight: record.base_weight,
            ..v1::RegisterRequest::default()
        };
        let id = wanted::id(&request.id).ok();
        let here = Here { regions: &settings.regions, node_tls: settings.tls.is_some() };
        let told = match wanted::registration(&request, here) {
            Ok(told) => told,
            Err(why) => return self.refuse(id, Refused { reason: NodeRefusal::Invalid, why }),
        };
        let mut known = self.known();
        match known.list(told.clone(), leaving, settings.nodes_max, Instant::now()) {
            Ok(Listed { change, leaving, gives_way }) => {
                if gives_way {
                    let why = "another router of the fleet has another start of it, which came later".to_owned();
                    self.refuse(id, Refused { reason: NodeRefusal::Taken, why });
                }
                let node = told.info.id.clone();
                if let Some(change) = change {
                    self.apply(told, change, "fleet");
                }
                if let (Some(leaving), Some(line)) = (leaving, self.line(&node)) {
                    self.leave(&line, leaving);
                }
            }
            Err(refused) => self.refuse(id, refused),
        }
    }

    fn refuse(&self, node: Option<NodeId>, Refused { reason, why }: Refused) {
        self.observe(MediaFact::Refused { node, reason, why });
    }
}
