//! Rules of the choice, in virtual time.

mod facts;
mod herd;

use std::time::Duration;

use super::*;

/// What every room may use when its own variant has no node.
const DEFAULT: &str = Variant::DEFAULT;
const IDLE: NodeLoad = NodeLoad { cpu_percent: 0.0, memory_percent: 0.0, loss: 0.0, draining: false };
const RTT: Duration = Duration::from_millis(10);

/// Nodes around one router.
struct World {
    placement: Placement,
    now: Instant,
    told: Vec<Change>,
}

fn settings() -> Settings {
    Settings::default()
}

fn load(cpu_and_memory: f64) -> NodeLoad {
    NodeLoad { cpu_percent: cpu_and_memory, memory_percent: cpu_and_memory, ..IDLE }
}

fn info(id: &str, region: &str, variant: &str) -> NodeInfo {
    NodeInfo {
        id: id.into(),
        region: region.into(),
        variant: variant.into(),
        public_url: String::new(),
        base_weight: 10,
    }
}

fn wanted(region: &str) -> Wanted {
    Wanted { region: region.into(), variant: DEFAULT.into() }
}

impl World {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        Self { placement: Placement::new(settings, 1), now: Instant::now(), told: Vec::new() }
    }

    fn fact(&mut self, fact: NodeFact) {
        self.placement.take(fact, self.now, &mut self.told);
    }

    fn add(&mut self, id: &str, region: &str) {
        self.fact(NodeFact::Known(info(id, region, DEFAULT)));
        self.fact(NodeFact::RoundTrip { node: id.into(), rtt: RTT });
        self.report(id, IDLE);
    }

    fn report(&mut self, id: &str, load: NodeLoad) {
        self.fact(NodeFact::Reported { node: id.into(), load });
    }

    /// Two seconds, after which these report.
    fn round(&mut self, reporting: &[&str]) {
        self.pass(Duration::from_secs(2));
        reporting.iter().for_each(|id| self.report(id, IDLE));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(250));
            self.placement.tick(self.now, &mut self.told);
        }
    }

    fn choose(&mut self, region: &str) -> Result<String, NoNode> {
        self.choose_for(&wanted(region)).map(|choice| choice.node.id.as_str().to_owned())
    }

    fn choose_for(&mut self, wanted: &Wanted) -> Result<Choice, NoNode> {
        self.placement.choose(wanted, self.now)
    }

    /// How often each was chosen.
    fn counts(&mut self, region: &str, rooms: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..rooms {
            *counts.entry(self.choose(region).unwrap()).or_default() += 1;
        }
        counts
    }

    fn standing(&self, id: &str) -> Standing {
        self.placement.nodes[self.placement.keys[id]].standing()
    }

    fn weight(&self, id: &str) -> u32 {
        self.placement.nodes[self.placement.keys[id]].weight
    }

    /// What was brought about since the last look, in words.
    fn words(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told).iter().map(word).collect()
    }
}

fn word(change: &Change) -> String {
    match change {
        Change::In(node) => format!("in {}", node.id),
        Change::Out(node, leaving) => format!("rooms leave {} {leaving:?}", node.id),
        Change::Told(Placing::NodeIn { node, was, .. }) => format!("{node} takes rooms, was {was}"),
        Change::Told(Placing::NodeOut { node, reason, .. }) => format!("{node} takes none, {reason}"),
        Change::Told(Placing::ReportVoid { node, field, .. }) => format!("{node} lies about {field}"),
        Change::Told(Placing::NodeRefused { node, .. }) => format!("{node} refused"),
        Change::Told(other) => panic!("not of the choice: {other:?}"),
    }
}
