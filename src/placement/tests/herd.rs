//! Many routers with old reports: nobody is overrun, and only rooms of a lost node move.

use proptest::prelude::*;

use super::*;

const ROUTERS: usize = 100;
const NODES: usize = 10;
/// Rooms that each router places between two reports.
const ROOMS: usize = 20;

fn id(node: usize) -> String {
    format!("n{node}")
}

/// Rooms that each node was given by a hundred routers between two reports, for its fair share by weight.
fn excess(policy: Policy, loads: &[f64]) -> f64 {
    let now = Instant::now();
    let mut given = vec![0_usize; loads.len()];
    let mut weights = vec![0; loads.len()];
    for router in 0..ROUTERS {
        let settings = Settings { policy, ..settings() };
        let mut placement = Placement::new(settings, router as u64);
        for (node, percent) in loads.iter().enumerate() {
            for fact in [
                NodeFact::Known(info(&id(node), "sh", DEFAULT)),
                NodeFact::RoundTrip { node: id(node).into(), rtt: RTT },
                // two seconds old, and the same to all
                NodeFact::Reported { node: id(node).into(), load: load(*percent) },
            ] {
                placement.take(fact, now, &mut Vec::new());
            }
        }
        for room in 0..ROOMS {
            let at = now + Duration::from_millis(2_000 * room as u64 / ROOMS as u64);
            let chosen = placement.choose(&wanted("sh"), at).unwrap().node;
            let node = (0..loads.len()).find(|node| id(*node) == chosen.id.as_str()).unwrap();
            given[node] += 1;
        }
        for (node, weight) in weights.iter_mut().enumerate() {
            *weight = placement.nodes[placement.keys[id(node).as_str()]].weight;
        }
    }
    let total = f64::from(weights.iter().sum::<u32>());
    let fair = |node: usize| f64::from(weights[node]) / total * (ROUTERS * ROOMS) as f64;
    (0..loads.len()).map(|node| given[node] as f64 / fair(node)).fold(0.0, f64::max)
}

#[test]
fn a_hundred_routers_with_reports_two_seconds_old_put_no_node_above_1_3_times_its_share() {
    for policy in [Policy::Weighted, Policy::TwoChoices] {
        // one that reported itself idle a moment before it is not, among nine that are half loaded
        let mut loads = [50.0; NODES];
        loads[3] = 0.0;
        for loads in [loads, [0.0; NODES], [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]] {
            let excess = excess(policy, &loads);
            assert!(excess <= 1.3, "{}: {excess} x its fair share", policy.name());
        }
    }
}

#[test]
fn routers_that_start_together_do_not_begin_with_the_same_node() {
    for policy in [Policy::Weighted, Policy::TwoChoices] {
        let mut first = BTreeMap::<String, usize>::new();
        for router in 0..ROUTERS {
            let mut world = World::with(Settings { policy, ..settings() });
            world.placement.rng = fastrand::Rng::with_seed(router as u64);
            (0..NODES).for_each(|node| world.add(&id(node), "sh"));
            *first.entry(world.choose("sh").unwrap()).or_default() += 1;
        }
        let most = first.values().max().copied().unwrap_or_default();
        assert!(most <= 3 * ROUTERS / NODES, "{}: {first:?}", policy.name());
    }
}

#[test]
fn a_report_that_comes_in_between_does_not_forget_what_its_node_was_given() {
    for policy in [Policy::Weighted, Policy::TwoChoices] {
        let mut world = World::with(Settings { policy, ..settings() });
        (0..4).for_each(|node| world.add(&id(node), "sh"));
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..400 {
            // it always says that it is idle, whatever it was given
            world.report("n0", IDLE);
            *counts.entry(world.choose("sh").unwrap()).or_default() += 1;
        }
        assert!(counts["n0"] <= 130, "{}: {counts:?}", policy.name());
    }
}

proptest! {
    /// Shares follow weights whatever the loads, the policy, and however often nodes report meanwhile.
    #[test]
    fn shares_follow_weights_while_reports_come_in(
        loads in prop::collection::vec(0.0..90.0_f64, 2..8), two_choices in any::<bool>(), reports in 1_usize..20,
    ) {
        let policy = if two_choices { Policy::TwoChoices } else { Policy::Weighted };
        let mut world = World::with(Settings { policy, ..settings() });
        for (node, cpu) in loads.iter().enumerate() {
            world.add(&id(node), "sh");
            world.report(&id(node), load(*cpu));
        }
        let (mut counts, rooms) = (vec![0.0; loads.len()], 1_200);
        for room in 0..rooms {
            if room % reports == 0 {
                let node = room / reports % loads.len();
                world.report(&id(node), load(loads[node]));
            }
            let chosen = world.choose("sh").unwrap();
            counts[(0..loads.len()).find(|node| id(*node) == chosen).unwrap()] += 1.0;
        }
        let total: u32 = (0..loads.len()).map(|node| world.weight(&id(node))).sum();
        for node in 0..loads.len() {
            let share = f64::from(world.weight(&id(node))) / f64::from(total) * rooms as f64;
            let found: f64 = counts[node];
            prop_assert!((found - share).abs() <= 0.1 * share + 12.0, "{counts:?} of {loads:?}");
        }
    }
}
