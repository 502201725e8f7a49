//! Which node a room gets, that it keeps it, and what is told of it.

use super::*;
use crate::{
    event::Placing,
    placement::{NodeFact, Route, Standing},
};

impl World {
    /// What happened in the choice since the last look.
    fn placings(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        let word = |event: Event| match event {
            Event::Placement(Placing::Placed { room, node, route, .. }) => Some(format!("{room} on {node}, {route}")),
            Event::Placement(Placing::NotPlaced { room }) => Some(format!("{room} not placed")),
            Event::Placement(Placing::Moved { room, from, to, reason, participants }) => {
                let name = |node: Option<crate::ids::NodeId>| node.map_or("nobody".to_owned(), |node| node.to_string());
                Some(format!("{room} from {} to {}, {reason}, {participants} told", name(from), name(to)))
            }
            Event::Placement(Placing::NodeIn { node, was, .. }) => Some(format!("{node} in, was {was}")),
            Event::Placement(Placing::NodeOut { node, reason, .. }) => Some(format!("{node} out, {reason}")),
            _ => None,
        };
        events.into_iter().filter_map(word).collect()
    }

    fn join_in(&mut self, connection: u64, room: &str, region: &str) -> Option<String> {
        let join = v1::Join { region: region.to_owned(), ..join_room(room) };
        let joined = self.enter(connection, grant(&format!("p{connection}")), join).unwrap().swap_remove(0);
        joined.media.map(|media| media.node)
    }

    /// Two seconds, after which these report.
    fn round(&mut self, reporting: &[&str]) {
        self.pass(Duration::from_secs(2));
        reporting.iter().for_each(|id| self.report(id));
    }
}

#[test]
fn a_room_gets_a_node_where_its_first_participant_is_and_keeps_it() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.add_node("m2", "sz");
    assert_eq!(world.placings(), ["m1 in, was awaited", "m2 in, was awaited"]);
    assert_eq!(world.join_in(1, "r", "sz").as_deref(), Some("m2"));
    assert_eq!(world.join_in(2, "r", "sh").as_deref(), Some("m2"), "the others follow the first one");
    assert_eq!(world.join_in(3, "q", "").as_deref(), Some("m1"), "without a region: the router's");
    assert!(world.join_in(4, "s", "nowhere").is_some());
    let placings = world.placings();
    assert_eq!(placings[..2], ["r on m2, home", "q on m1, home"]);
    assert!(placings[2].ends_with("spill_over"), "{placings:?}");
    for _ in 0..20 {
        world.round(&["m1", "m2"]);
    }
    world.add_node("m3", "sz");
    assert_eq!(world.join_in(5, "r", "sz").as_deref(), Some("m2"), "a better node moves nobody");
    assert!(world.kinds(1).iter().all(|kind| !matches!(kind, Kind::MediaMoved(_))));
}

#[test]
fn a_node_that_falls_silent_under_load_loses_its_rooms_within_eight_seconds_and_everybody_is_told_once() {
    let mut world = World::with(Settings { rooms_max: 1_000, sessions_max: 1_000, ..settings() });
    world.add_node("m1", "sh");
    world.add_node("m2", "sh");
    for number in 0..100 {
        assert!(world.join_in(2 * number + 1, &format!("r{number}"), "sh").is_some());
        world.join_in(2 * number + 2, &format!("r{number}"), "sh");
    }
    assert_eq!(world.router.nodes(world.now().at).iter().map(|node| node.rooms).sum::<usize>(), 100);
    (1..=200).for_each(|connection| drop(world.take(connection)));
    world.placings();
    (0..4).for_each(|_| world.round(&["m2"]));
    let placings = world.placings();
    assert!(placings.contains(&"m1 out, silent".to_owned()), "{placings:?}");
    let moved = placings.iter().filter(|placing| placing.ends_with("from m1 to m2, node_failed, 2 told"));
    assert_eq!(moved.count(), 50, "{placings:?}");
    let told: usize = (1..=200)
        .map(|connection| {
            let moves = world.kinds(connection).into_iter().filter(|kind| matches!(kind, Kind::MediaMoved(_))).count();
            assert!(moves <= 1, "connection {connection} was told {moves} times");
            moves
        })
        .sum();
    assert_eq!(told, 100);
    let nodes = world.router.nodes(world.now().at);
    let rooms: Vec<_> = nodes.iter().map(|node| (node.node.as_str(), node.standing, node.rooms)).collect();
    assert_eq!(rooms, [("m1", Standing::Silent, 0), ("m2", Standing::Ready, 100)]);
    // it comes back: its rooms do not
    (0..4).for_each(|_| world.round(&["m1", "m2"]));
    assert_eq!(world.placings(), ["m1 in, was returning"]);
}

#[test]
fn while_no_node_is_healthy_rooms_wait_and_are_placed_when_one_returns() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    (0..3).for_each(|_| world.fact(NodeFact::Failed { node: "m1".into() }));
    assert_eq!(world.join_in(1, "r", "sh"), None);
    assert_eq!(world.placings(), ["m1 in, was awaited", "m1 out, failing", "r not placed"]);
    (0..3).for_each(|_| world.round(&["m1"]));
    assert_eq!(words(&world.kinds(1)), ["moved m1 node_returned"]);
    assert_eq!(
        world.placings(),
        ["m1 in, was returning", "r on m1, home", "r from nobody to m1, node_returned, 1 told"]
    );
}

#[test]
fn a_cordoned_node_keeps_its_rooms_and_a_drained_one_loses_them() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join_in(1, "r", "sh");
    world.add_node("m2", "sh");
    world.fact(NodeFact::Cordoned { node: "m1".into(), cordoned: true });
    for number in 2..6 {
        assert_eq!(world.join_in(number, &format!("r{number}"), "sh").as_deref(), Some("m2"));
    }
    assert!(world.kinds(1).is_empty());
    world.fact(NodeFact::Drained { node: "m1".into() });
    assert_eq!(words(&world.kinds(1)), ["moved m2 node_drained"]);
}

#[test]
fn one_router_of_a_process_tells_of_nodes_and_each_of_its_own_rooms() {
    let mut world = World::with(Settings { tells_of_nodes: false, ..settings() });
    world.add_node("m1", "sh");
    world.join_in(1, "r", "sh");
    assert_eq!(world.placings(), ["r on m1, home"]);
}

#[test]
fn other_settings_of_the_choice_are_taken_up_while_it_runs() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    let placement = placement::Settings { failed_calls: 1, ..placement::Settings::default() };
    world.handle(Input::Configure(Box::new(Settings { placement, ..settings() })));
    world.fact(NodeFact::Failed { node: "m1".into() });
    assert_eq!(world.placings(), ["m1 in, was awaited", "m1 out, failing"]);
}

#[test]
fn why_a_room_is_on_its_node_is_kept_with_it() {
    let mut world = World::new();
    for (id, region) in [("m1", "sh"), ("m2", "sh"), ("m3", "sz")] {
        world.add_node(id, region);
    }
    world.fact(NodeFact::Cordoned { node: "m2".into(), cordoned: true });
    world.join_in(1, "r", "sh");
    world.pass(Duration::from_secs(3));
    let explained = world.router.explain("r", world.now().at).unwrap();
    let decided = explained.decided.unwrap();
    assert_eq!((explained.node.as_deref(), explained.region.as_deref()), (Some("m1"), Some("sh")));
    assert_eq!((decided.node.as_str(), decided.policy, decided.route), ("m1", "weighted", Route::Home));
    assert_eq!((decided.candidates, decided.seconds_ago), (1, 3.0));
    let skipped: Vec<_> = decided.skipped.iter().map(|skipped| (skipped.reason, skipped.nodes)).collect();
    assert_eq!(skipped, [("region", 1), ("cordoned", 1)]);
    let nodes: Vec<_> = explained.nodes.iter().map(|n| (n.candidate.node.as_str(), n.skipped)).collect();
    assert_eq!(nodes, [("m1", None), ("m2", Some("standing")), ("m3", Some("region"))]);
    assert_eq!(world.router.explain("q", world.now().at).unwrap_err().code, Code::RoomNotFound);
}
