//! Nodes over real sockets, and a shard whose inbox the test reads.

mod calls;
mod node;
mod registering;
mod secured;
mod streams;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout};

use self::node::{FakeNode, Manner};
use super::*;
use crate::{
    event::{Event, MediaFact},
    guard::breaker::BreakerSettings,
    io::shard::{Arrival, MediaAsk},
    placement::{NodeFact, NodeInfo},
    protocol::{Code, Limits, Refusal, v1},
    router::{Input, MediaCall, MediaOutcome, MediaTicket},
};

/// What takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(10);

fn settings() -> MediaSettings {
    MediaSettings {
        router: "router-1".to_owned(),
        region: "sh".to_owned(),
        regions: vec!["sh".to_owned(), "sz".to_owned()],
        ttl: Duration::from_secs(30),
        report: Duration::from_millis(100),
        probe: Duration::from_millis(50),
        nodes_max: 8,
        connect_timeout: Duration::from_millis(500),
        calls_in_flight: 16,
        calls_waiting: 64,
        message_bytes: 64 * 1024,
        limits: Limits::default(),
        tls: None,
        breaker: BreakerSettings::default(),
        nodes: Vec::new(),
    }
}

fn fixed(id: &str, url: String) -> FixedNode {
    let info = NodeInfo {
        id: id.into(),
        region: "sh".into(),
        variant: "default".into(),
        public_url: String::new(),
        base_weight: 10,
    };
    FixedNode { info, control_url: url }
}

type Told = Arc<Mutex<Vec<MediaFact>>>;

/// This side of the wire, with a shard that only listens.
struct World {
    media: Media,
    call: CallMedia,
    arrivals: mpsc::Receiver<Arrival>,
    /// Facts that were passed over on the way to another arrival.
    facts: Vec<NodeFact>,
    /// The same of outcomes and pushes.
    outcomes: BTreeMap<u64, Result<Option<v1::SessionDescription>, Refusal>>,
    pushes: Vec<v1::MediaPush>,
    told: Told,
}

impl World {
    fn with(settings: MediaSettings) -> Self {
        Self::afflicted(settings, None)
    }

    fn afflicted(settings: MediaSettings, faults: Option<Faults>) -> Self {
        Self::made(settings, faults, None)
    }

    fn listening(settings: MediaSettings, listener: Option<Listener>) -> Self {
        Self::made(settings, None, listener)
    }

    fn made(settings: MediaSettings, faults: Option<Faults>, listener: Option<Listener>) -> Self {
        let told = Told::default();
        let heard = told.clone();
        let observe: Observe = Arc::new(move |event| {
            if let Event::Media(fact) = event {
                heard.lock().unwrap().push(fact);
            }
        });
        let media = Media::new(settings, observe, faults);
        let (inbox, arrivals) = mpsc::channel(1024);
        media.start(Shards::over(vec![inbox]), listener);
        let (facts, outcomes, pushes) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { call: media.calls(), media, arrivals, facts, outcomes, pushes, told }
    }

    /// With one node that is connected.
    async fn around(node: &FakeNode, change: impl FnOnce(&mut MediaSettings)) -> Self {
        let mut settings = settings();
        settings.nodes.push(fixed(&node.conduct.id.lock().unwrap(), node.url()));
        change(&mut settings);
        let mut world = Self::with(settings);
        world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
        world
    }

    /// Sorts the next arrival in; tells the fact, if it was one.
    async fn next(&mut self) -> Option<NodeFact> {
        let arrival = timeout(PATIENCE, self.arrivals.recv()).await.expect("nothing arrives").unwrap();
        match arrival {
            Arrival::Input(Input::Node(fact)) => {
                self.facts.push(fact.clone());
                return Some(fact);
            }
            Arrival::Input(Input::MediaReply(MediaOutcome { ticket: MediaTicket(ticket), result, .. })) => {
                assert!(self.outcomes.insert(ticket, result).is_none(), "{ticket} ended twice");
            }
            Arrival::Input(Input::MediaPush { push, .. }) => self.pushes.push(*push),
            other => panic!("{other:?}"),
        }
        None
    }

    /// The next fact like that.
    async fn fact(&mut self, wanted: impl Fn(&NodeFact) -> bool) -> NodeFact {
        loop {
            if let Some(fact) = self.next().await.filter(|fact| wanted(fact)) {
                return fact;
            }
        }
    }

    /// The outcome of the call with that ticket.
    async fn outcome(&mut self, ticket: u64) -> Result<Option<v1::SessionDescription>, Refusal> {
        loop {
            if let Some(result) = self.outcomes.remove(&ticket) {
                return result;
            }
            self.next().await;
        }
    }

    async fn pushed(&mut self) -> v1::MediaPush {
        while self.pushes.is_empty() {
            self.next().await;
        }
        self.pushes.remove(0)
    }

    fn ask(&self, call: MediaCall, ticket: Option<u64>, within: Duration) -> Result<(), Refusal> {
        (self.call)(ask("n1", call, ticket, within))
    }

    /// Waits until something of that kind was told.
    async fn told(&self, wanted: impl Fn(&MediaFact) -> bool) -> MediaFact {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(fact) = self.told.lock().unwrap().iter().find(|fact| wanted(fact)).cloned() {
                return fact;
            }
            assert!(Instant::now() < until, "never told; {:?}", self.told.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn count(&self, wanted: impl Fn(&MediaFact) -> bool) -> usize {
        self.told.lock().unwrap().iter().filter(|fact| wanted(fact)).count()
    }
}

fn ask(node: &str, call: MediaCall, ticket: Option<u64>, within: Duration) -> MediaAsk {
    MediaAsk {
        node: node.into(),
        call,
        ticket: ticket.map(MediaTicket),
        by: Instant::now() + within,
        parent: None,
        trace: None,
    }
}

fn offer(of: &str) -> MediaCall {
    let offer = Some(v1::SessionDescription { sdp: "v=0".into(), ice_restart: false });
    MediaCall::Offer(v1::MediaOfferRequest { room: "r".into(), participant_id: of.into(), offer })
}

fn candidate(of: &str, text: &str) -> MediaCall {
    let candidate = Some(v1::Candidate { candidate: text.into(), ..v1::Candidate::default() });
    MediaCall::Candidate(v1::MediaCandidateRequest {
        room: "r".into(),
        participant_id: of.into(),
        candidate,
        end_of_candidates: None,
    })
}

fn end_participant(of: &str) -> MediaCall {
    MediaCall::EndParticipant(v1::EndParticipantRequest { room: "r".into(), participant_id: of.into() })
}

const SOON: Duration = Duration::from_secs(5);
