//! Which nodes there are: who registered here or with another router of the fleet, who stands in the configuration, and who may
//! call itself what.
//!
//! Pure: time and whether a node is alive come in as values. What follows from a change is carried out by whoever asks.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{event::NodeRefusal, ids::NodeId, placement::NodeInfo};

/// Changes of one node within [`FLAP_WINDOW`]; one more is refused. A node that is restarted by hand a few times passes.
const FLAPS_MAX: usize = 6;
/// See [`FLAPS_MAX`].
const FLAP_WINDOW: Duration = Duration::from_secs(60);

/// A node as it says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) info: NodeInfo,
    /// Where it is called.
    pub(super) control_url: String,
    /// Which start of it this is; absent: the configuration says so, whichever runs.
    pub(super) incarnation: Option<String>,
}

/// A node that is known.
#[derive(Clone, Debug)]
struct Entry {
    told: Told,
    seen: Instant,
    /// When it registered here last; absent: it never did.
    registered: Option<Instant>,
    /// It is registered with another router of the fleet.
    listed: bool,
    leaving: bool,
}

/// What another router of the fleet says of a node changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Absent: nothing of what it is.
    pub(super) change: Option<Change>,
    /// Absent: nothing of whether it is about to go.
    pub(super) leaving: Option<bool>,
    /// Another start of it had registered here, and gives way.
    pub(super) gives_way: bool,
}

/// What a registration, or a configuration, changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was not known.
    New,
    /// It said the same again.
    Same,
    /// Other figures of the same process at the same address.
    Figures,
    /// The same process is called elsewhere now.
    Moved,
    /// It was started anew: what it held is gone.
    Restarted,
}

/// Why a registration is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: NodeRefusal,
    pub(super) why: String,
}

fn refused(reason: NodeRefusal, why: impl Into<String>) -> Refused {
    Refused { reason, why: why.into() }
}

/// All nodes that are known.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: BTreeMap<NodeId, Entry>,
    /// When a node came or changed, of the last minute; also of those that are gone.
    flaps: BTreeMap<NodeId, VecDeque<Instant>>,
}

impl Known {
    /// A node registers. `alive`: the one that has the id now is connected, or was heard of so lately that it may be.
    ///
    /// # Errors
    /// Another one has the id, there are `nodes_max`, or it comes and goes too often.
    pub(super) fn register(
        &mut self,
        told: Told,
        alive: bool,
        nodes_max: usize,
        now: Instant,
    ) -> Result<Change, Refused> {
        let id = told.info.id.clone();
        let change = match self.entries.get(&id) {
            Some(entry) if entry.told.incarnation.is_none() => {
                return match entry.told.control_url == told.control_url {
                    true => Ok(Change::Same),
                    false => {
                        Err(refused(NodeRefusal::Taken, "the router's configuration has a node of this id elsewhere"))
                    }
                };
            }
            Some(entry) => changed(&entry.told, &told, alive)?,
            None if self.entries.len() >= nodes_max || self.flaps.len() >= nodes_max.saturating_mul(2) => {
                let why = format!("media.nodes_max: there are {} nodes, at most {nodes_max}", self.entries.len());
                return Err(refused(NodeRefusal::Full, why));
            }
            None => Change::New,
        };
        if change != Change::Same {
            self.count(&id, now)?;
        }
        let listed = self.entries.get(&id).is_some_and(|entry| entry.listed);
        self.entries.insert(id, Entry { told, seen: now, registered: Some(now), listed, leaving: false });
        Ok(change)
    }

    /// Another router of the fleet says that a node is registered there. What it says of one that registered here as well, or
    /// that the configuration has, is known better here.
    ///
    /// # Errors
    /// There are `nodes_max`.
    pub(super) fn list(
        &mut self,
        told: Told,
        leaving: bool,
        nodes_max: usize,
        now: Instant,
    ) -> Result<Listed, Refused> {
        let id = told.info.id.clone();
        let nothing = Listed { change: None, leaving: None, gives_way: false };
        let count = self.entries.len();
        let change = match self.entries.get_mut(&id) {
            Some(entry) if entry.told.incarnation.is_none() => return Ok(nothing),
            Some(entry) if entry.told.incarnation == told.incarnation => {
                entry.listed = true;
                if entry.registered.is_some() {
                    return Ok(nothing);
                }
                let change = match () {
                    () if entry.told.control_url != told.control_url => Some(Change::Moved),
                    () if entry.told.info != told.info => Some(Change::Figures),
                    () => None,
                };
                let turned = entry.leaving != leaving;
                (entry.told, entry.seen, entry.leaving) = (told, now, leaving);
                return Ok(Listed { change, leaving: turned.then_some(leaving), gives_way: false });
            }
            Some(_) => Change::Restarted,
            None if count >= nodes_max => {
                let why = format!("media.nodes_max: there are {count} nodes, at most {nodes_max}");
                return Err(refused(NodeRefusal::Full, why));
            }
            None => Change::New,
        };
        let gives_way = self.entries.get(&id).is_some_and(|entry| entry.registered.is_some());
        self.entries.insert(id, Entry { told, seen: now, registered: None, listed: true, leaving });
        Ok(Listed { change: Some(change), leaving: leaving.then_some(true), gives_way })
    }

    /// A node is not registered with another router any more: it is forgotten unless it registers anew in time.
    pub(super) fn unlist(&mut self, id: &NodeId, now: Instant) {
        if let Some(entry) = self.entries.get_mut(id)
            && std::mem::replace(&mut entry.listed, false)
        {
            entry.seen = now;
        }
    }

    /// Those that registered here within that time, and whether each is about to go.
    pub(super) fn registered(&self, ttl: Duration, now: Instant) -> impl Iterator<Item = (&Told, bool)> {
        let lately = move |at: Instant| now.saturating_duration_since(at) <= ttl;
        let here = self.entries.values().filter(move |entry| entry.registered.is_some_and(lately));
        here.map(|entry| (&entry.told, entry.leaving))
    }

    /// One more change of it, unless there were too many.
    fn count(&mut self, id: &NodeId, now: Instant) -> Result<(), Refused> {
        let flaps = self.flaps.entry(id.clone()).or_default();
        flaps.retain(|at| now.saturating_duration_since(*at) < FLAP_WINDOW);
        if flaps.len() >= FLAPS_MAX {
            let why = format!("it came or changed {FLAPS_MAX} times within {} s", FLAP_WINDOW.as_secs());
            return Err(refused(NodeRefusal::Flapping, why));
        }
        flaps.push_back(now);
        Ok(())
    }

    /// A node says that it is about to go. `false`: nobody of that id is known, or it is already about to.
    ///
    /// # Errors
    /// Another process has the id.
    pub(super) fn deregister(&mut self, id: &NodeId, incarnation: &str) -> Result<bool, Refused> {
        let Some(entry) = self.entries.get_mut(id) else { return Ok(false) };
        match &entry.told.incarnation {
            Some(own) if own == incarnation => Ok(!std::mem::replace(&mut entry.leaving, true)),
            Some(_) => Err(refused(NodeRefusal::Taken, "another node holds the id")),
            None => Err(refused(NodeRefusal::Taken, "the router's configuration has the node: take it out there")),
        }
    }

    /// Forgets one.
    pub(super) fn forget(&mut self, id: &NodeId) {
        self.entries.remove(id);
    }

    /// Forgets those that have been silent for longer than `ttl`, and tells which; those of the configuration stay.
    pub(super) fn sweep(&mut self, ttl: Duration, now: Instant) -> Vec<NodeId> {
        let old = |entry: &Entry| now.saturating_duration_since(entry.seen) > ttl;
        let silent = |entry: &Entry| entry.told.incarnation.is_some() && !entry.listed && old(entry);
        let gone: Vec<NodeId> = self.entries.iter().filter(|(_, e)| silent(e)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.forget(id));
        self.flaps.retain(|_, flaps| flaps.back().is_some_and(|at| now.saturating_duration_since(*at) < FLAP_WINDOW));
        gone
    }

    /// The configuration has these nodes from now on. Tells what changed, and which of its nodes are gone.
    pub(super) fn configure(&mut self, nodes: Vec<Told>, now: Instant) -> (Vec<(Told, Change)>, Vec<NodeId>) {
        let of_configuration = |entry: &Entry| entry.told.incarnation.is_none();
        let kept = |id: &NodeId| nodes.iter().any(|node| node.info.id == *id);
        let gone = self.entries.iter().filter(|(id, entry)| of_configuration(entry) && !kept(id));
        let gone: Vec<NodeId> = gone.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.forget(id));
        let mut changes = Vec::new();
        for told in nodes {
            let change = match self.entries.get(&told.info.id).map(|entry| &entry.told) {
                None => Change::New,
                Some(before) if *before == told => continue,
                Some(before) if before.control_url != told.control_url => Change::Moved,
                Some(_) => Change::Figures,
            };
            let entry = Entry { told: told.clone(), seen: now, registered: None, listed: false, leaving: false };
            self.entries.insert(told.info.id.clone(), entry);
            changes.push((told, change));
        }
        (changes, gone)
    }

    /// When a node was heard of last; absent: it is not known, or the configuration has it.
    pub(super) fn seen(&self, id: &NodeId) -> Option<Instant> {
        self.entries.get(id).filter(|entry| entry.told.incarnation.is_some()).map(|entry| entry.seen)
    }

    /// Whether a node said that it is about to go.
    pub(super) fn is_leaving(&self, id: &NodeId) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.leaving)
    }

    /// How many are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// What a registration changes of a node that registered before.
fn changed(before: &Told, told: &Told, alive: bool) -> Result<Change, Refused> {
    let elsewhere = before.control_url != told.control_url;
    match before.incarnation == told.incarnation {
        true if elsewhere => Ok(Change::Moved),
        true if before.info != told.info => Ok(Change::Figures),
        true => Ok(Change::Same),
        // two processes cannot have one address: the first one is gone
        false if !elsewhere || !alive => Ok(Change::Restarted),
        false => Err(refused(NodeRefusal::Taken, "another node, which is alive, has this id at another control_url")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(30);

    fn told(id: &str, port: u16, incarnation: &str) -> Told {
        let info = NodeInfo {
            id: id.into(),
            region: "sh".into(),
            variant: "default".into(),
            public_url: String::new(),
            base_weight: 10,
        };
        let incarnation = (!incarnation.is_empty()).then(|| incarnation.to_owned());
        Told { info, control_url: format!("http://127.0.0.1:{port}"), incarnation }
    }

    fn reason(result: Result<Change, Refused>) -> NodeRefusal {
        result.unwrap_err().reason
    }

    #[test]
    fn a_node_that_says_the_same_again_only_stays_for_longer() {
        let (mut known, begun) = (Known::default(), Instant::now());
        assert_eq!(known.register(told("a", 1, "x"), false, 9, begun), Ok(Change::New));
        for seconds in 1..100 {
            let now = begun + Duration::from_secs(seconds);
            assert_eq!(known.register(told("a", 1, "x"), true, 9, now), Ok(Change::Same));
            assert_eq!(known.sweep(TTL, now), []);
        }
        let last = begun + Duration::from_secs(99);
        assert_eq!(known.sweep(TTL, last + TTL), []);
        assert_eq!(known.sweep(TTL, last + TTL + Duration::from_millis(1)), ["a".into()]);
        assert_eq!(known.register(told("a", 1, "x"), false, 9, last + TTL), Ok(Change::New));
    }

    #[test]
    fn an_id_belongs_to_whoever_is_alive() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.register(told("a", 1, "x"), false, 9, now).unwrap();
        assert_eq!(reason(known.register(told("a", 2, "y"), true, 9, now)), NodeRefusal::Taken);
        // the same process elsewhere, with other figures, and started anew at the same address
        assert_eq!(known.register(told("a", 2, "x"), true, 9, now), Ok(Change::Moved));
        let mut heavier = told("a", 2, "x");
        heavier.info.base_weight = 20;
        assert_eq!(known.register(heavier, true, 9, now), Ok(Change::Figures));
        assert_eq!(known.register(told("a", 2, "y"), true, 9, now), Ok(Change::Restarted));
        // another one, once the first is dead
        assert_eq!(known.register(told("a", 3, "z"), false, 9, now), Ok(Change::Restarted));
    }

    #[test]
    fn a_node_that_flaps_is_refused_until_it_has_been_quiet() {
        let (mut known, begun) = (Known::default(), Instant::now());
        let every = Duration::from_secs(3);
        let flap = |known: &mut Known, n: u32| known.register(told("a", 1, &n.to_string()), true, 9, begun + every * n);
        let first: Vec<_> = (0..40).map(|n| flap(&mut known, n).is_ok()).collect();
        assert_eq!(first.iter().filter(|taken| **taken).count(), 12, "{FLAPS_MAX} a minute, over two: {first:?}");
        assert_eq!(reason(flap(&mut known, 10)), NodeRefusal::Flapping);
        // being forgotten in between forgives nothing
        known.forget(&"a".into());
        assert_eq!(reason(flap(&mut known, 26)), NodeRefusal::Flapping);
        let later = begun + every * 40 + FLAP_WINDOW;
        assert!(known.register(told("a", 1, "later"), true, 9, later).is_ok());
    }

    #[test]
    fn there_are_as_many_nodes_as_may_be_and_changing_ids_does_not_help() {
        let (mut known, now) = (Known::default(), Instant::now());
        for n in 0..3 {
            known.register(told(&format!("n{n}"), n, "x"), false, 3, now).unwrap();
        }
        assert_eq!(reason(known.register(told("more", 9, "x"), false, 3, now)), NodeRefusal::Full);
        assert_eq!(known.register(told("n0", 0, "x"), true, 3, now), Ok(Change::Same));
        for n in 3..100 {
            known.forget(&format!("n{}", n - 3).as_str().into());
            known.register(told(&format!("n{n}"), n, "x"), false, 3, now).ok();
        }
        assert!(known.flaps.len() <= 6 && known.len() <= 3);
        known.sweep(TTL, now + FLAP_WINDOW);
        assert!(known.flaps.is_empty());
    }

    #[test]
    fn a_node_that_leaves_is_only_that_process() {
        let (mut known, now) = (Known::default(), Instant::now());
        assert_eq!(known.deregister(&"a".into(), "x"), Ok(false));
        known.register(told("a", 1, "x"), false, 9, now).unwrap();
        assert_eq!(known.deregister(&"a".into(), "y").unwrap_err().reason, NodeRefusal::Taken);
        assert!(!known.is_leaving(&"a".into()));
        assert_eq!(known.deregister(&"a".into(), "x"), Ok(true));
        assert_eq!(known.deregister(&"a".into(), "x"), Ok(false));
        assert!(known.is_leaving(&"a".into()));
        // it thought better of it
        known.register(told("a", 1, "x"), true, 9, now).unwrap();
        assert!(!known.is_leaving(&"a".into()));
    }

    #[test]
    fn a_node_that_registered_with_another_router_stays_while_that_says_so_and_a_time_to_live_after() {
        let (mut known, begun) = (Known::default(), Instant::now());
        let list = |known: &mut Known, told: Told, leaving| known.list(told, leaving, 9, begun);
        let listed = |change, leaving| Ok(Listed { change, leaving, gives_way: false });
        assert_eq!(list(&mut known, told("a", 1, "x"), false), listed(Some(Change::New), None));
        assert_eq!(list(&mut known, told("a", 1, "x"), false), listed(None, None));
        assert_eq!(list(&mut known, told("a", 2, "x"), true), listed(Some(Change::Moved), Some(true)));
        assert!(known.is_leaving(&"a".into()));
        assert_eq!(known.sweep(TTL, begun + TTL * 9), []);
        assert_eq!(known.registered(TTL, begun).count(), 0);
        let later = begun + TTL * 9;
        known.unlist(&"a".into(), later);
        known.unlist(&"a".into(), later + TTL);
        assert_eq!(known.sweep(TTL, later + TTL), []);
        assert_eq!(known.sweep(TTL, later + TTL + Duration::from_millis(1)), ["a".into()]);
    }

    #[test]
    fn of_two_starts_of_a_node_the_one_that_the_fleet_has_counts_until_it_is_dead() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.register(told("a", 1, "x"), false, 9, now).unwrap();
        assert_eq!(known.registered(TTL, now).count(), 1);
        // the same process, by another router as well: known better here
        let nothing = Listed { change: None, leaving: None, gives_way: false };
        assert_eq!(known.list(told("a", 9, "x"), true, 9, now), Ok(nothing.clone()));
        let gives_way = Listed { change: Some(Change::Restarted), leaving: None, gives_way: true };
        assert_eq!(known.list(told("a", 2, "y"), false, 9, now), Ok(gives_way));
        assert_eq!(known.registered(TTL, now).count(), 0);
        assert_eq!(reason(known.register(told("a", 1, "x"), true, 9, now)), NodeRefusal::Taken);
        assert_eq!(known.register(told("a", 1, "x"), false, 9, now), Ok(Change::Restarted));
        // those of the configuration are nobody else's
        known.configure(vec![told("b", 1, "")], now);
        assert_eq!(known.list(told("b", 7, "z"), false, 9, now), Ok(nothing));
        assert_eq!(known.list(told("c", 7, "z"), false, 2, now).unwrap_err().reason, NodeRefusal::Full);
    }

    #[test]
    fn who_registered_here_is_told_to_the_fleet_for_a_time_to_live() {
        let (mut known, now) = (Known::default(), Instant::now());
        known.configure(vec![told("b", 1, "")], now);
        known.register(told("a", 1, "x"), false, 9, now).unwrap();
        known.deregister(&"a".into(), "x").unwrap();
        let here: Vec<_> =
            known.registered(TTL, now + TTL).map(|(told, leaving)| (told.info.id.to_string(), leaving)).collect();
        assert_eq!(here, [("a".to_owned(), true)]);
        assert_eq!(known.registered(TTL, now + TTL + Duration::from_millis(1)).count(), 0);
    }

    #[test]
    fn nodes_of_the_configuration_stay_until_it_lets_go_of_them() {
        let (mut known, now) = (Known::default(), Instant::now());
        let (changes, gone) = known.configure(vec![told("a", 1, ""), told("b", 2, "")], now);
        let kinds = |changes: &[(Told, Change)]| {
            changes.iter().map(|(told, change)| (told.info.id.to_string(), *change)).collect::<Vec<_>>()
        };
        assert_eq!((kinds(&changes), gone.len()), (vec![("a".into(), Change::New), ("b".into(), Change::New)], 0));
        assert_eq!(known.sweep(TTL, now + TTL * 9), []);
        assert_eq!(known.register(told("a", 1, "x"), true, 9, now), Ok(Change::Same));
        assert_eq!(reason(known.register(told("a", 7, "x"), false, 9, now)), NodeRefusal::Taken);
        let mut heavier = told("a", 1, "");
        heavier.info.base_weight = 20;
        let (changes, gone) = known.configure(vec![heavier.clone()], now);
        assert_eq!((kinds(&changes), gone), (vec![("a".into(), Change::Figures)], vec!["b".into()]));
        heavier.control_url = "http://127.0.0.1:9".into();
        assert_eq!(kinds(&known.configure(vec![heavier.clone()], now).0), [("a".into(), Change::Moved)]);
        assert_eq!(known.configure(vec![heavier], now), (vec![], vec![]));
    }
}
