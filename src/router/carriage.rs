//! Where a room's media goes: placed at its first join, kept while the room lives, moved when its node is lost.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;

use super::{HallKey, MediaCall, Now, Output, Router, Timer};
use crate::{
    event::{Event, Placing},
    ids::{NodeId, Region, RoomId},
    placement::{Change, Choice, Decision, Leaving, NoNode, NodeFact, NodeInfo, Wanted},
    protocol::v1,
};

/// Rooms that are placed again in one turn.
const MOVES_A_TURN: usize = 64;
/// Until the next of these turns: signals come in between.
const MOVES_PAUSE: Duration = Duration::from_millis(5);

/// How often it is looked whether nodes missed reports, while there are nodes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The media of one room.
#[derive(Debug, Default)]
pub(super) struct Carriage {
    /// What it is placed for; absent: nobody has come yet.
    wanted: Option<Wanted>,
    /// Who carries it; absent: nobody.
    node: Option<Arc<NodeInfo>>,
    /// Why it is the latest node that it had, and when that was decided.
    decision: Option<Box<(Decision, Instant)>>,
    /// When the node is told everything anew, because it missed something.
    pub(super) again_at: Option<Instant>,
    /// How often in a row that had to be.
    pub(super) again: u32,
    /// Ends that the node missed.
    pub(super) owed: Vec<MediaCall>,
}

impl Carriage {
    pub(super) fn node(&self) -> Option<&Arc<NodeInfo>> {
        self.node.as_ref()
    }

    pub(super) fn wanted(&self) -> Option<&Wanted> {
        self.wanted.as_ref()
    }

    pub(super) fn decision(&self) -> Option<(&Decision, Instant)> {
        self.decision.as_deref().map(|(decision, at)| (decision, *at))
    }

    pub(super) fn is_on(&self, node: &NodeId) -> bool {
        self.node.as_ref().is_some_and(|carrier| carrier.id == *node)
    }

    /// As clients are told.
    pub(super) fn to_wire(&self) -> Option<v1::MediaInfo> {
        self.node.as_ref().map(|node| v1::MediaInfo {
            node: node.id.as_str().to_owned(),
            url: node.public_url.clone(),
            region: node.region.as_str().to_owned(),
        })
    }
}

/// Why a room has another node than before, as clients are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Left(Leaving),
    Returned,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Left(Leaving::Failed) => "node_failed",
            Self::Left(Leaving::Drained) => "node_drained",
            Self::Returned => "node_returned",
        }
    }
}

/// Who is where, and who has to move.
#[derive(Debug, Default)]
pub(super) struct Carried {
    by_node: AHashMap<NodeId, BTreeSet<HallKey>>,
    /// Rooms that somebody has come to, and that nobody carries.
    unplaced: BTreeSet<HallKey>,
    moves: VecDeque<(HallKey, Cause)>,
    moves_at: Option<Instant>,
    look_at: Option<Instant>,
}

impl Carried {
    /// How many rooms a node carries.
    pub(super) fn on(&self, node: &NodeId) -> usize {
        self.by_node.get(node).map_or(0, BTreeSet::len)
    }
}

impl Router {
    /// Something became known of a media node.
    pub(super) fn node(&mut self, fact: NodeFact, now: Now) {
        let mut changes = std::mem::take(&mut self.changes);
        self.placement.take(fact, now.at, &mut changes);
        self.nodes_changed(changes, now);
        if self.carried.look_at.is_none() && !self.placement.is_empty() {
            self.timers.arm(&mut self.carried.look_at, now.at + LOOK_EVERY, Timer::Nodes);
        }
    }

    /// Whether nodes missed reports; one that came back gets more of its weight.
    pub(super) fn look_at_nodes(&mut self, now: Now) {
        self.carried.look_at = None;
        if self.placement.is_empty() {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        self.placement.tick(now.at, &mut changes);
        self.nodes_changed(changes, now);
        self.timers.arm(&mut self.carried.look_at, now.at + LOOK_EVERY, Timer::Nodes);
    }

    fn nodes_changed(&mut self, mut changes: Vec<Change>, now: Now) {
        if changes.is_empty() {
            self.changes = changes;
            return;
        }
        for change in changes.drain(..) {
            self.node_changed(change);
        }
        self.changes = changes;
        self.move_rooms(now);
    }

    fn node_changed(&mut self, change: Change) {
        let moving = match change {
            Change::Told(placing) => {
                if self.settings.tells_of_nodes {
                    self.closing.push(Output::Observe(Event::Placement(placing)));
                }
                return;
            }
            Change::In(_) => {
                let unplaced = self.carried.unplaced.iter();
                unplaced.map(|hall| (*hall, Cause::Returned)).collect::<Vec<_>>()
            }
            Change::Out(node, leaving) => {
                let halls = self.carried.by_node.get(&node.id).into_iter().flatten();
                halls.map(|hall| (*hall, Cause::Left(leaving))).collect()
            }
        };
        self.carried.moves.extend(moving);
    }

    /// Whoever comes first says where the room's media should be.
    pub(super) fn place_first(&mut self, key: HallKey, region: &str, now: Now) {
        let hall = &mut self.halls[key];
        if hall.media.wanted.is_some() {
            return;
        }
        let region = if region.is_empty() { self.settings.region.as_str() } else { region };
        let variant = hall.variant.clone().unwrap_or_default();
        hall.media.wanted = Some(Wanted { region: Region::from(region), variant });
        self.place(key, now);
    }

    /// A room of another router's stays on its node where that is known, and is told to it as it is now; else it moves.
    pub(super) fn place_again(&mut self, key: HallKey, wanted: Wanted, node: Option<NodeId>, now: Now) {
        self.halls[key].media.wanted = Some(wanted);
        match node.as_ref().and_then(|node| self.placement.carrying(node)) {
            Some(node) => {
                self.carried.by_node.entry(node.id.clone()).or_default().insert(key);
                self.halls[key].media.node = Some(node);
                self.put_everything(key, now.at);
            }
            None => self.carried.moves.push_back((key, Cause::Left(Leaving::Failed))),
        }
        self.move_rooms(now);
    }

    /// Whether a node was found.
    fn place(&mut self, key: HallKey, now: Now) -> bool {
        let carriage = &mut self.halls[key].media;
        let Some(wanted) = &carriage.wanted else { return false };
        match self.placement.choose(wanted, now.at) {
            Ok(Choice { node, decision }) => {
                let hall = &mut self.halls[key];
                self.closing.push(Output::Observe(Event::Placement(placed(hall.room.id().clone(), &decision))));
                self.carried.unplaced.remove(&key);
                self.carried.by_node.entry(node.id.clone()).or_default().insert(key);
                (hall.media.node, hall.media.decision) = (Some(node), Some(Box::new((decision, now.at))));
                true
            }
            Err(none) => {
                self.carried.unplaced.insert(key);
                // without any node members speak to each other, and that is no failure
                if none == NoNode::NoneHealthy {
                    let room = self.halls[key].room.id().clone();
                    self.closing.push(Output::Observe(Event::Placement(Placing::NotPlaced { room })));
                }
                false
            }
        }
    }

    /// Rooms whose node is lost, or that had none, are placed; so many a turn.
    pub(super) fn move_rooms(&mut self, now: Now) {
        for _ in 0..MOVES_A_TURN {
            let Some((key, cause)) = self.carried.moves.pop_front() else { break };
            self.move_room(key, cause, now);
        }
        if !self.carried.moves.is_empty() && self.carried.moves_at.is_none() {
            self.timers.arm(&mut self.carried.moves_at, now.at + MOVES_PAUSE, Timer::Moves);
        }
    }

    pub(super) fn go_on_moving(&mut self, now: Now) {
        self.carried.moves_at = None;
        self.move_rooms(now);
    }

    fn move_room(&mut self, key: HallKey, cause: Cause, now: Now) {
        // it may have ended, or its node come back, since it was to move; its place may be another room's
        let Some(hall) = self.halls.get_mut(key) else { return };
        if hall.media.wanted.is_none() || hall.media.node().is_some_and(|node| self.placement.carries(&node.id)) {
            return;
        }
        let old = hall.media.node.take();
        if let Some(old) = &old {
            self.leave_node(key, &old.id);
            if cause == Cause::Left(Leaving::Drained) {
                let room = self.halls[key].room.id().as_str().to_owned();
                self.tell_node((key, old.id.clone()), MediaCall::EndRoom(v1::EndMediaRoomRequest { room }), now.at);
            }
        }
        let placed = self.place(key, now);
        if !placed && old.is_none() {
            return;
        }
        let media = self.halls[key].media.to_wire();
        let moved = v1::MediaMoved { media, reason: cause.name().to_owned() };
        let (room, mut turn) = self.room_turn(key, now.at);
        room.move_media(moved, &mut turn);
        let (room, participants) = (room.id().clone(), room.members().len());
        let to = self.halls[key].media.node().map(|node| node.id.clone());
        let (from, reason) = (old.map(|old| old.id.clone()), cause.name());
        let told = Placing::Moved { room, from, to, reason, participants };
        self.closing.push(Output::Observe(Event::Placement(told)));
        self.settle(key, now.at);
        self.put_everything(key, now.at);
    }

    /// The node has nothing to do with the room any more.
    fn leave_node(&mut self, key: HallKey, node: &NodeId) {
        let carriage = &mut self.halls[key].media;
        self.timers.cancel(&mut carriage.again_at, Timer::Again(key));
        (carriage.again, carriage.owed) = (0, Vec::new());
        if let Some(rooms) = self.carried.by_node.get_mut(node) {
            rooms.remove(&key);
            if rooms.is_empty() {
                self.carried.by_node.remove(node);
            }
        }
    }

    /// The room is on no node any more, and none is told; answers which it was on.
    pub(super) fn leave_media(&mut self, key: HallKey) -> Option<Arc<NodeInfo>> {
        self.carried.unplaced.remove(&key);
        let node = self.halls.get_mut(key)?.media.node.take()?;
        self.leave_node(key, &node.id);
        Some(node)
    }

    /// The room ends, and its media with it.
    pub(super) fn end_media(&mut self, key: HallKey, at: Instant) {
        let Some(node) = self.leave_media(key) else { return };
        let room = self.halls[key].room.id().as_str().to_owned();
        self.tell_node((key, node.id.clone()), MediaCall::EndRoom(v1::EndMediaRoomRequest { room }), at);
    }
}

fn placed(room: RoomId, decision: &Decision) -> Placing {
    Placing::Placed {
        room,
        node: decision.node.id.clone(),
        wanted: decision.wanted.region.clone(),
        region: decision.node.region.clone(),
        route: decision.route.name(),
        fell_back: decision.fell_back.then(|| decision.wanted.variant.clone()),
        overloaded: decision.overloaded,
    }
}
