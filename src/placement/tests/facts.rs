//! What becomes of a node by what is known of it, and who is chosen then.

use super::*;

#[test]
fn without_nodes_there_is_none_and_one_that_has_not_reported_takes_no_rooms() {
    let mut world = World::new();
    assert_eq!(world.choose("sh"), Err(NoNode::NoneKnown));
    world.fact(NodeFact::Known(info("a", "sh", DEFAULT)));
    assert_eq!((world.choose("sh"), world.standing("a")), (Err(NoNode::NoneHealthy), Standing::Awaited));
    world.report("a", IDLE);
    assert_eq!(world.words(), ["a takes rooms, was awaited", "in a"]);
    assert_eq!(world.choose("sh"), Ok("a".to_owned()));
    world.report("nobody", IDLE);
    world.fact(NodeFact::Gone { node: "nobody".into() });
    assert!(world.words().is_empty());
}

#[test]
fn rooms_go_by_weight() {
    let mut world = World::new();
    ["a", "b"].into_iter().for_each(|id| world.add(id, "sh"));
    world.fact(NodeFact::Known(NodeInfo { base_weight: 20, ..info("c", "sh", DEFAULT) }));
    world.fact(NodeFact::RoundTrip { node: "c".into(), rtt: RTT });
    world.report("c", IDLE);
    // 100 - 40 x 10/200 = 98: 19, 19 and 39
    assert_eq!([world.weight("a"), world.weight("c")], [19, 39]);
    let counts = world.counts("sh", 770);
    for (id, share) in [("a", 190), ("b", 190), ("c", 390)] {
        assert!(counts[id].abs_diff(share) <= 2, "{counts:?}");
    }
    // half loaded: 98 - 30 x 1/2 = 83
    world.report("c", load(50.0));
    assert_eq!(world.weight("c"), 33);
}

#[test]
fn a_base_weight_of_none_is_the_usual_one() {
    let mut world = World::with(Settings { base_weight: 40, ..settings() });
    world.fact(NodeFact::Known(NodeInfo { base_weight: 0, ..info("a", "sh", DEFAULT) }));
    world.fact(NodeFact::RoundTrip { node: "a".into(), rtt: RTT });
    world.report("a", IDLE);
    assert_eq!(world.weight("a"), 78);
}

#[test]
fn three_missed_reports_take_a_node_out_and_three_good_ones_bring_it_back_slowly() {
    let mut world = World::new();
    ["a", "b"].into_iter().for_each(|id| world.add(id, "sh"));
    world.words();
    world.round(&["b"]);
    world.round(&["b"]);
    assert_eq!(world.standing("a"), Standing::Ready, "two missed, and the third not yet due");
    world.round(&["b"]);
    world.pass(Duration::from_millis(500));
    assert_eq!(world.standing("a"), Standing::Silent);
    assert_eq!(world.words(), ["a takes none, silent", "rooms leave a Failed"]);
    assert_eq!(world.counts("sh", 20).len(), 1);
    for _ in 0..2 {
        world.round(&["a", "b"]);
        assert_eq!(world.standing("a"), Standing::Returning);
    }
    world.round(&["a", "b"]);
    assert_eq!(world.words(), ["a takes rooms, was returning", "in a"]);
    assert_eq!(world.weight("a"), 1, "a tenth of 19");
    for _ in 0..8 {
        world.round(&["a", "b"]);
    }
    let halfway = world.weight("a");
    assert!((9..=12).contains(&halfway), "{halfway}");
    for _ in 0..8 {
        world.round(&["a", "b"]);
    }
    assert_eq!(world.weight("a"), 19);
}

#[test]
fn three_failed_calls_in_a_row_take_a_node_out_and_an_answer_in_between_does_not_let_them() {
    let mut world = World::new();
    world.add("a", "sh");
    world.words();
    let failed = || NodeFact::Failed { node: "a".into() };
    for _ in 0..5 {
        world.fact(failed());
        world.fact(failed());
        world.fact(NodeFact::Answered { node: "a".into() });
    }
    assert_eq!(world.standing("a"), Standing::Ready);
    (0..3).for_each(|_| world.fact(failed()));
    assert_eq!(world.words(), ["a takes none, failing", "rooms leave a Failed"]);
    assert_eq!(world.choose("sh"), Err(NoNode::NoneHealthy));
    (0..3).for_each(|_| world.round(&["a"]));
    assert_eq!(world.words(), ["a takes rooms, was returning", "in a"]);
    (0..2).for_each(|_| world.fact(failed()));
    assert_eq!(world.standing("a"), Standing::Ready, "it is counted anew");
}

#[test]
fn a_node_that_is_taken_out_again_and_again_has_to_report_well_for_longer_each_time() {
    let mut world = World::new();
    world.add("a", "sh");
    for expected in [3, 6, 12] {
        (0..3).for_each(|_| world.fact(NodeFact::Failed { node: "a".into() }));
        let rounds = (1..).find(|_| {
            world.round(&["a"]);
            world.standing("a") == Standing::Ready
        });
        assert_eq!(rounds, Some(expected));
    }
    // ten minutes of good conduct
    (0..300).for_each(|_| world.round(&["a"]));
    (0..3).for_each(|_| world.fact(NodeFact::Failed { node: "a".into() }));
    (0..3).for_each(|_| world.round(&["a"]));
    assert_eq!(world.standing("a"), Standing::Ready);
}

#[test]
fn a_node_that_flaps_every_three_seconds_gets_next_to_nothing() {
    let mut world = World::new();
    ["a", "b"].into_iter().for_each(|id| world.add(id, "sh"));
    let mut rooms = BTreeMap::<String, usize>::new();
    for _ in 0..40 {
        world.fact(NodeFact::Gone { node: "a".into() });
        world.pass(Duration::from_millis(1_500));
        world.add("a", "sh");
        world.pass(Duration::from_millis(1_500));
        world.report("b", IDLE);
        for (id, count) in world.counts("sh", 10) {
            *rooms.entry(id).or_default() += count;
        }
    }
    assert_eq!(rooms.get("a"), None, "{rooms:?}");
    assert_eq!(rooms["b"], 400);
}

#[test]
fn a_report_that_lies_is_void_and_a_node_that_goes_on_lying_is_out() {
    let mut world = World::new();
    world.add("a", "sh");
    world.words();
    let weight = world.weight("a");
    for lie in [f64::NAN, -1.0, 1e9] {
        world.report("a", NodeLoad { cpu_percent: lie, ..IDLE });
    }
    assert_eq!(world.words(), ["a lies about cpu_percent"; 3]);
    assert_eq!(world.weight("a"), weight);
    world.pass(Duration::from_secs(7));
    assert_eq!(world.words(), ["a takes none, silent", "rooms leave a Failed"]);
}

#[test]
fn a_cordoned_node_keeps_its_rooms_and_gets_no_new_ones() {
    let mut world = World::new();
    ["a", "b"].into_iter().for_each(|id| world.add(id, "sh"));
    world.words();
    world.fact(NodeFact::Cordoned { node: "a".into(), cordoned: true });
    assert_eq!(world.words(), ["a takes none, cordoned"]);
    assert!(world.placement.carries(&"a".into()));
    assert_eq!(world.counts("sh", 10)["b"], 10);
    // it is not forgotten while it is away
    world.fact(NodeFact::Gone { node: "a".into() });
    assert_eq!(world.words(), ["rooms leave a Failed"]);
    world.add("a", "sh");
    (0..3).for_each(|_| world.round(&["a", "b"]));
    assert_eq!(world.standing("a"), Standing::Cordoned);
    world.fact(NodeFact::Cordoned { node: "a".into(), cordoned: false });
    assert_eq!(world.words(), ["a takes rooms, was cordoned", "in a"]);
}

#[test]
fn a_drained_nodes_rooms_leave_until_an_operator_takes_it_back() {
    let mut world = World::new();
    world.add("a", "sh");
    world.words();
    world.fact(NodeFact::Drained { node: "a".into() });
    assert_eq!(world.words(), ["a takes none, drained", "rooms leave a Drained"]);
    world.round(&["a"]);
    assert_eq!(world.choose("sh"), Err(NoNode::NoneHealthy));
    world.fact(NodeFact::Cordoned { node: "a".into(), cordoned: false });
    assert_eq!(world.choose("sh"), Ok("a".to_owned()));
}

#[test]
fn a_node_that_asks_for_no_new_rooms_gets_none() {
    let mut world = World::new();
    world.add("a", "sh");
    world.words();
    world.report("a", NodeLoad { draining: true, ..IDLE });
    assert_eq!(world.words(), ["a takes none, draining"]);
    assert!(world.placement.carries(&"a".into()));
    world.report("a", IDLE);
    assert_eq!(world.words(), ["a takes rooms, was draining", "in a"]);
}

#[test]
fn rooms_stay_in_their_region_and_spill_over_by_the_regions_weights() {
    let weights = [("sh", 0.4), ("sz", 0.3), ("bj", 0.1)];
    let region_weights = weights.into_iter().map(|(region, weight)| (region.into(), weight)).collect();
    let mut world = World::with(Settings { region_weights, ..settings() });
    for (id, region) in [("a", "sh"), ("b", "sz"), ("c", "sz"), ("d", "bj")] {
        world.add(id, region);
    }
    assert_eq!(world.counts("sh", 10)["a"], 10);
    let choice = world.choose_for(&wanted("sh")).unwrap();
    assert_eq!((choice.decision.route, choice.decision.candidates, choice.decision.elsewhere), (Route::Home, 1, 3));
    world.fact(NodeFact::Gone { node: "a".into() });
    let counts = world.counts("sh", 40);
    assert_eq!((counts["b"] + counts["c"], counts["d"]), (30, 10));
    assert_eq!(world.choose_for(&wanted("sh")).unwrap().decision.route, Route::SpillOver);
    assert_eq!(world.counts("nowhere", 4).values().sum::<usize>(), 4);
}

#[test]
fn a_room_has_a_node_of_its_variant_wherever_that_is_else_one_of_default() {
    let mut world = World::new();
    world.add("a", "sh");
    let canary = Wanted { variant: "canary".into(), ..wanted("sh") };
    let choice = world.choose_for(&canary).unwrap();
    assert_eq!((choice.node.id.as_str(), choice.decision.fell_back), ("a", true));
    world.fact(NodeFact::Known(info("c", "sz", "canary")));
    world.report("c", IDLE);
    let choice = world.choose_for(&canary).unwrap();
    assert_eq!((choice.node.id.as_str(), choice.decision.fell_back), ("c", false));
    assert_eq!((choice.decision.route, choice.decision.other_variants), (Route::SpillOver, 1));
    assert_eq!(world.counts("sz", 5)["a"], 5, "others never get a canary");
}

#[test]
fn when_all_are_overloaded_the_least_bad_takes_the_room_and_it_is_said() {
    let mut world = World::new();
    world.add("a", "sh");
    let drowning = NodeLoad { cpu_percent: 100.0, memory_percent: 100.0, loss: 1.0, draining: false };
    world.fact(NodeFact::Known(info("b", "sh", DEFAULT)));
    world.fact(NodeFact::RoundTrip { node: "b".into(), rtt: Duration::from_secs(1) });
    world.report("b", drowning);
    assert_eq!((world.standing("b"), world.weight("b")), (Standing::Overloaded, 0));
    assert_eq!(world.counts("sh", 30)["a"], 30);
    world.fact(NodeFact::Gone { node: "a".into() });
    let choice = world.choose_for(&wanted("sh")).unwrap();
    assert_eq!((choice.node.id.as_str(), choice.decision.overloaded), ("b", true));
}

#[test]
fn a_node_that_registers_as_something_else_is_that_from_now_on() {
    let mut world = World::new();
    world.add("a", "sh");
    world.words();
    world.fact(NodeFact::Known(info("a", "sh", DEFAULT)));
    world.fact(NodeFact::Known(info("a", "sz", "canary")));
    assert!(world.words().is_empty());
    let choice = world.choose_for(&Wanted { region: "sz".into(), variant: "canary".into() }).unwrap();
    assert_eq!((choice.decision.route, choice.decision.fell_back), (Route::Home, false));
    assert_eq!(world.choose("sh"), Err(NoNode::NoneHealthy));
}

#[test]
fn nodes_are_bounded_and_the_one_too_many_is_named() {
    let mut world = World::new();
    for number in 0..NODES_MAX {
        world.fact(NodeFact::Known(info(&format!("n{number}"), "sh", DEFAULT)));
    }
    assert!(world.words().is_empty());
    world.fact(NodeFact::Known(info("late", "sh", DEFAULT)));
    assert_eq!(world.words(), ["late refused"]);
    for number in 0..NODES_MAX {
        world.fact(NodeFact::Gone { node: format!("n{number}").into() });
        world.fact(NodeFact::Known(info(&format!("m{number}"), "sh", DEFAULT)));
        world.fact(NodeFact::Gone { node: format!("m{number}").into() });
    }
    assert!(world.placement.memories.len() <= MEMORIES_MAX && world.placement.is_empty());
}

#[test]
fn another_policy_holds_from_the_next_choice_on() {
    let mut world = World::new();
    ["a", "b"].into_iter().for_each(|id| world.add(id, "sh"));
    assert_eq!(world.choose_for(&wanted("sh")).unwrap().decision.policy, Policy::Weighted);
    let now = world.now;
    world.placement.configure(Settings { policy: Policy::TwoChoices, ..settings() }, now);
    let choice = world.choose_for(&wanted("sh")).unwrap();
    assert_eq!((choice.decision.policy, choice.decision.candidates), (Policy::TwoChoices, 2));
    assert_eq!(world.counts("sh", 100).len(), 2);
}

#[test]
fn what_is_shown_is_what_the_choice_goes_by() {
    let mut world = World::new();
    ["a", "b"].into_iter().for_each(|id| world.add(id, "sh"));
    world.fact(NodeFact::Known(info("c", "sz", "canary")));
    world.report("b", load(50.0));
    world.counts("sh", 70);
    let now = world.now;
    let views = world.placement.view(|_| 7, now);
    let [a, b, c] = views.as_slice() else { panic!("{views:?}") };
    assert_eq!((a.weight, b.weight, a.rooms), (19, 16, 7));
    assert!((a.share_wanted - 19.0 / 35.0).abs() < 1e-9 && (b.share_wanted - 16.0 / 35.0).abs() < 1e-9);
    assert!((a.share_got.unwrap() - a.share_wanted).abs() < 0.03, "{a:?}");
    assert_eq!((c.standing, c.share_wanted, c.share_got), (Standing::Awaited, 0.0, None));
    assert_eq!((a.rtt_ms, b.cpu_percent), (Some(10.0), 50.0));
    let considered = world.placement.consider(&wanted("sh"), 10, now);
    let skipped: Vec<_> = considered.iter().map(|c| (c.candidate.node.as_str(), c.skipped)).collect();
    assert_eq!(skipped, [("a", None), ("b", None), ("c", Some("standing"))]);
    let merged = NodeView::merged([Arc::new(views.clone()), Arc::new(views.clone())]);
    assert_eq!((merged[0].rooms, merged[0].share_got), (14, a.share_got));
}
