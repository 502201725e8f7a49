//! All routers see the rules and the media nodes that stand in etcd, and those are what was written and who is registered.

use std::collections::BTreeMap;

use signalbox::directory::{NodeRecord, rules_key};

use super::super::{router::PREFIX, world::World};

/// An operator's call did what it says: it is not to write over what its router had not seen.
pub(crate) fn written(world: &mut World, seen: Option<&String>, stood: Option<&String>) {
    if seen != stood {
        world.broken.push(format!("[written] rules were written over {stood:?} by who had seen {seen:?}"));
    }
}

/// The rules that stand, and the revision that they came with.
pub(crate) fn rules(world: &World) -> Option<(i64, String)> {
    let stored = world.etcd.stored(&rules_key(PREFIX))?;
    Some((stored.revision, String::from_utf8_lossy(&stored.value).into_owned()))
}

/// Holds once everything was mended for long enough.
pub(crate) fn at_the_end(world: &mut World) {
    let mut broken = Vec::new();
    let rules = rules(world);
    let media = format!("{PREFIX}/media/");
    let read = |(id, value): (&str, &[u8])| (id.to_owned(), NodeRecord::read(id, value).unwrap());
    let nodes: BTreeMap<String, NodeRecord> = world.etcd.below(&media).map(read).collect();
    for router in world.routers.iter().filter(|router| router.runs) {
        let sees = router.rules.as_ref().map(|news| (news.revision, news.text.clone().unwrap().to_string()));
        if sees != rules {
            broken.push(format!("[rules] {} goes by {sees:?}, and {rules:?} stands", router.id));
        }
        if router.nodes != nodes {
            broken.push(format!("[nodes] {} sees {:?}, and {nodes:?} stands", router.id, router.nodes));
        }
        for (id, node) in &router.registered {
            let is_it = |there: &&NodeRecord| says_the_same(there, node);
            if nodes.get(id).filter(is_it).is_none() {
                broken.push(format!(
                    "[nodes] {node:?} is registered with {}, and {:?} stands",
                    router.id,
                    nodes.get(id)
                ));
            }
        }
    }
    for (id, node) in &nodes {
        let by = world.routers.iter().find(|router| router.runs && router.id == node.by);
        if !by.is_some_and(|by| by.registered.contains_key(id)) {
            broken.push(format!("[nodes] {id} stands by {}, with which it is not registered", node.by));
        }
    }
    world.broken.extend(broken);
}

/// But for the router that says it.
fn says_the_same(one: &NodeRecord, other: &NodeRecord) -> bool {
    let unsigned = |node: &NodeRecord| NodeRecord { by: String::new(), by_incarnation: String::new(), ..node.clone() };
    unsigned(one) == unsigned(other)
}
