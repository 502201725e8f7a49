//! What operators and media nodes do: rules of the fleet are written through a router, by the revision that it has seen; nodes
//! register with routers, say something else of themselves, start anew, and are gone.

use fastrand::Rng;
use signalbox::directory::{Call, NodeRecord, record::RECORD_VERSION, rules_key};

use super::{
    plan::{Act, HEALED, Plan, SECOND},
    router::PREFIX,
    world::World,
};

/// Calls of operators have tickets from here on: they are none of the directory's.
pub(crate) const OPERATORS: u64 = 1 << 32;
/// In so many worlds there is one where any of it happens.
const EACH: u64 = 3;

/// A media node, as it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    id: u8,
    /// Which start of it.
    start: u32,
    weight: u32,
    leaving: bool,
}

impl Node {
    fn record(self) -> NodeRecord {
        let Self { id, start, weight, leaving } = self;
        NodeRecord {
            version: RECORD_VERSION,
            id: node_id(id),
            incarnation: format!("start {start}"),
            region: "sh".to_owned(),
            variant: "default".to_owned(),
            control_url: format!("http://node{id}"),
            public_url: String::new(),
            base_weight: weight,
            leaving,
            by: String::new(),
            by_incarnation: String::new(),
            rest: serde_json::Map::new(),
        }
    }
}

fn node_id(id: u8) -> String {
    format!("node{id}")
}

impl Plan {
    /// By the seed itself and by chance of its own: other worlds stay what they are.
    pub(crate) fn draw_operators(&mut self) {
        let mut rng = Rng::with_seed(self.seed ^ 0x0072_756c_6573);
        if !self.seed.is_multiple_of(EACH) {
            return;
        }
        for number in 0..rng.u32(0..=8) {
            let (router, number) = (rng.usize(0..self.routers), (rng.u8(0..6) > 0).then_some(number));
            self.acts.push((rng.u64(4 * SECOND..HEALED + 5 * SECOND), Act::Rules { router, number }));
        }
        for id in 0..rng.u8(0..=3) {
            let mut at = 2 * SECOND;
            let mut start = 1;
            loop {
                at += rng.u64(SECOND..25 * SECOND);
                if at > HEALED + 5 * SECOND {
                    break;
                }
                let router = rng.usize(0..self.routers);
                start += u32::from(rng.u8(0..4) == 0);
                let node = Node { id, start, weight: rng.u32(1..=3), leaving: rng.u8(0..6) == 0 };
                let act = if rng.u8(0..4) == 0 { Act::NodeGone { router, id } } else { Act::Node { router, node } };
                self.acts.push((at, act));
            }
        }
    }
}

impl World {
    pub(crate) fn write_rules(&mut self, router: usize, number: Option<u32>) {
        if !self.routers[router].runs {
            return;
        }
        let seen = self.routers[router].rules.clone();
        let (key, expected) = (rules_key(PREFIX), seen.as_ref().map_or(0, |seen| seen.revision));
        let text = number.map(|number| format!("rules {number}"));
        let seen = seen.and_then(|seen| seen.text.ok()).map(|text| text.to_string());
        let ticket = OPERATORS + self.written_by_operators.len() as u64;
        self.written_by_operators.push(seen);
        self.call((router, self.routers[router].life, ticket), Call::Rules { key, text, expected });
    }

    /// A node is registered with this router, as it is now with all that know this start of it; with others it is not any more.
    pub(crate) fn register_node(&mut self, router: usize, node: Node) {
        let record = node.record();
        for other in 0..self.routers.len() {
            let registered = &mut self.routers[other].registered;
            let is_known = registered.get(&record.id).map(|known| known.incarnation == record.incarnation);
            match is_known {
                _ if other == router => drop(registered.insert(record.id.clone(), record.clone())),
                Some(true) => drop(registered.insert(record.id.clone(), record.clone())),
                Some(false) => drop(registered.remove(&record.id)),
                None => continue,
            }
            self.say_registered(other);
        }
    }

    pub(crate) fn node_is_gone(&mut self, router: usize, id: u8) {
        if self.routers[router].registered.remove(&node_id(id)).is_some() {
            self.say_registered(router);
        }
    }

    fn say_registered(&mut self, router: usize) {
        if !self.routers[router].runs {
            return self.routers[router].registered.clear();
        }
        let nodes = self.routers[router].registered.values().cloned().collect();
        self.tell(router, signalbox::directory::Input::Registered(nodes));
    }
}
