//! Signals that wait for a media node: each ends once, however the node behaves.

use std::future::poll_fn;

use prost::Message as _;
use tokio::time::timeout;

use super::*;
use crate::{
    auth::Grant,
    config::{Config, Slice},
    event::Labels,
    guard::limits::{Bound, Rules, Slot},
    ids::Variant,
    io::{
        guard::{Guard, GuardSettings},
        ops::tests::telemetry,
        outbound::{Batch, Outgoing, tests::outbound},
    },
    placement::{NodeFact, NodeInfo, NodeLoad},
    protocol::{
        Encoding, OpKind,
        v1::{self, ClientFrame, ServerFrame, client_frame::Op, server_frame::Body},
    },
    router::{AdminCall, MediaCall, MediaOutcome, Opening},
    telemetry::exposition::Format,
};

/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);
const ANN: ConnectionId = ConnectionId(1);

/// One shard, one connection, and a node that is this test.
struct Scene {
    shards: Shards,
    outbound: Arc<Outbound>,
    telemetry: Arc<Telemetry>,
    asks: mpsc::Receiver<MediaAsk>,
}

fn brought(op: OpKind) -> Brought {
    let received = Instant::now();
    Brought { signal: Some(Box::new(Signal::new(op, received))), received, under_way: None }
}

impl Scene {
    /// Ann has joined room `r`; its node is `m1`.
    async fn new(signal_timeout: Duration, refusing: bool) -> Self {
        let (tell, asks) = mpsc::channel(64);
        let media: CallMedia = Arc::new(move |ask: MediaAsk| {
            let refused = refusing && ask.ticket.is_some();
            tell.try_send(ask).ok();
            if refused { Err(Code::Overloaded.refuse()) } else { Ok(()) }
        });
        let telemetry = telemetry();
        let around = Surroundings {
            telemetry: telemetry.clone(),
            faults: None,
            media: Some(media),
            finder: crate::io::finder::RoomFinder::default(),
        };
        let settings = Config::default().router_settings(Slice { seed: 7, count: 1 }, &[7; 32]);
        let settings = Settings { signal_timeout, ..settings };
        let shards = Shards::start(vec![settings], ShardSettings::patient(PATIENCE), &around);
        shards.node(NodeFact::Known(node())).await;
        let load = NodeLoad { cpu_percent: 1.0, memory_percent: 1.0, loss: 0.0, draining: false };
        shards.node(NodeFact::Reported { node: "m1".into(), load }).await;
        let mut scene = Self { shards, outbound: Arc::new(outbound(1 << 20)), telemetry, asks };
        scene.outbound.set_encoding(Encoding::Protobuf);
        let join = v1::Join { room: "r".to_owned(), ..v1::Join::default() };
        let input = Input::Open {
            connection: ANN,
            grant: Box::new(grant()),
            id: Some(1),
            opening: Opening::Join(Box::new(join)),
            labels: Labels::default(),
            variant: Variant::default(),
        };
        let arrival = Arrival::Open(ANN, scene.outbound.clone(), input, brought(OpKind::Join));
        scene.shards.send(0, arrival).await.unwrap();
        let joined = scene.frames().await;
        assert_eq!(joined.len(), 1, "{joined:?}");
        assert!(matches!(scene.ask().await.call, MediaCall::PutParticipant(_)));
        scene
    }

    async fn offer(&self, id: u64) {
        self.offer_as(id, brought(OpKind::Signal)).await;
    }

    async fn offer_as(&self, id: u64, brought: Brought) {
        let offer = Some(v1::SessionDescription { sdp: "v=0".to_owned(), ice_restart: false });
        let op = Some(Op::Signal(v1::Signal { offer, ..v1::Signal::default() }));
        let frame = Box::new(ClientFrame { id: Some(id), traceparent: String::new(), op });
        let input = Input::Frame { connection: ANN, frame, grant: None };
        self.shards.send(0, Arrival::Signal(ANN, input, brought)).await.unwrap();
    }

    /// The next call to the node.
    async fn ask(&mut self) -> MediaAsk {
        timeout(PATIENCE, self.asks.recv()).await.expect("a call in time").expect("the shard lives")
    }

    /// What waits for the client, once something does.
    async fn frames(&self) -> Vec<Outgoing> {
        timeout(PATIENCE, poll_fn(|cx| self.outbound.poll_waiting(cx))).await.expect("a frame in time");
        let mut batch = Batch::default();
        self.outbound.take(&mut batch);
        batch.frames
    }

    /// The one frame that answers, how its signal ended, and how long the node had it.
    async fn answer(&self) -> (Body, Outcome, Duration) {
        let mut frames = self.frames().await;
        assert_eq!(frames.len(), 1, "{frames:?}");
        let Outgoing { frame, mark } = frames.remove(0);
        let Mark::Answer(signal, outcome) = mark else { panic!("no answer: {mark:?}") };
        let media = signal.timeline.stages().find(|(stage, _)| *stage == Stage::Media);
        let body = ServerFrame::decode(frame).expect("a frame of ours").body.expect("a body");
        (body, outcome, media.map(|(_, took)| took).unwrap_or_default())
    }

    async fn outcome(&self, ask: &MediaAsk, result: Result<Option<v1::SessionDescription>, Refusal>) {
        let ticket = ask.ticket.expect("somebody waits");
        self.shards.media_reply(MediaOutcome { ticket, room: "r".into(), result }).await;
    }

    /// Returns once the shard has done all that it was given before: it takes inputs in order.
    async fn in_order(&self) {
        let list = AdminCall::ListRooms { after: String::new(), limit: 1 };
        self.shards.admin(String::new(), list).await.expect("the shard lives");
    }

    /// Signals that ended so, as far as they were counted: those whose answer nobody reads are not.
    fn counted(&self, outcome: &str) -> bool {
        self.telemetry.drain(Instant::now(), Duration::from_secs(1_800_000_001));
        let text = String::from_utf8(self.telemetry.render(Format::Text, None)).unwrap();
        let line = text.lines().find(|line| {
            line.starts_with("signalbox_signals_total{") && line.contains("op=\"signal\"") && line.contains(outcome)
        });
        line.is_some_and(|line| line.ends_with(" 1"))
    }
}

fn node() -> NodeInfo {
    NodeInfo {
        id: "m1".into(),
        region: "sh".into(),
        variant: "default".into(),
        public_url: String::new(),
        base_weight: 10,
    }
}

fn grant() -> Grant {
    Grant {
        key: "key".to_owned(),
        identity: "ann".into(),
        name: String::new(),
        metadata: String::new(),
        attributes: std::collections::BTreeMap::new(),
        room: None,
        room_join: true,
        room_create: true,
        room_list: false,
        permissions: v1::Permissions { can_publish: true, can_subscribe: true, ..v1::Permissions::default() },
        expires_at_ms: None,
    }
}

fn theirs() -> v1::SessionDescription {
    v1::SessionDescription { sdp: "theirs".to_owned(), ice_restart: false }
}

#[tokio::test]
async fn an_answer_of_the_node_ends_the_signal_and_its_time_is_the_stage_media() {
    let mut scene = Scene::new(PATIENCE, false).await;
    scene.offer(2).await;
    let asked = Instant::now();
    let ask = scene.ask().await;
    assert!(ask.by > asked && ask.by <= asked + PATIENCE, "its time began when its frame arrived");
    assert_eq!((ask.node.as_str(), ask.trace.map(|trace| trace.bits())), ("m1", Some(1)));
    assert_eq!(ask.parent.map(|parent| parent.span.bits()), Some(2));
    scene.outcome(&ask, Ok(Some(theirs()))).await;
    let (body, outcome, took) = scene.answer().await;
    assert_eq!((body, outcome), (Body::Answer(theirs()), Outcome::Ok));
    assert!(took > Duration::ZERO);
    // an outcome that comes twice is nobody's: the next answer is the next signal's
    scene.outcome(&ask, Ok(Some(theirs()))).await;
    scene.offer(3).await;
    let next = scene.ask().await;
    scene.outcome(&next, Err(Code::BadRequest.refuse())).await;
    assert_eq!(scene.answer().await.1, Outcome::Refused(Code::BadRequest));
}

#[tokio::test]
async fn a_node_that_never_answers_costs_the_client_the_deadline_and_no_more() {
    let timeout = Duration::from_millis(60);
    let mut scene = Scene::new(timeout, false).await;
    let begun = Instant::now();
    scene.offer(2).await;
    let ask = scene.ask().await;
    let (_, outcome, took) = scene.answer().await;
    assert_eq!(outcome, Outcome::Refused(Code::DeadlineExceeded));
    assert!(begun.elapsed() >= timeout && took <= begun.elapsed());
    // what comes too late ends nothing any more
    scene.outcome(&ask, Ok(Some(theirs()))).await;
    scene.offer(3).await;
    let next = scene.ask().await;
    scene.outcome(&next, Ok(Some(theirs()))).await;
    assert_eq!(scene.answer().await.1, Outcome::Ok);
}

#[tokio::test]
async fn a_signal_that_waits_for_its_node_keeps_its_place_until_it_is_answered() {
    let rules = Rules::new(|slot, _| Bound { rate: None, at_once: (slot == Slot::Any).then_some(1) });
    let guard = Guard::new(GuardSettings { rules, cells: 10, of_the_fleet: Vec::new() });
    let door = guard.knock([203, 0, 113, 1].into(), Instant::now()).unwrap();
    let entered = guard.enter(door, ("key", "ann"), Instant::now()).unwrap();
    let ask_for_a_place = || guard.signal(&entered.scopes, OpKind::Signal, Instant::now());
    let mut scene = Scene::new(PATIENCE, false).await;
    let brought = Brought { under_way: ask_for_a_place().unwrap(), ..brought(OpKind::Signal) };
    assert!(brought.under_way.is_some());
    scene.offer_as(2, brought).await;
    let ask = scene.ask().await;
    scene.in_order().await;
    assert!(ask_for_a_place().is_err(), "the node has it still");
    scene.outcome(&ask, Ok(Some(theirs()))).await;
    assert_eq!(scene.answer().await.1, Outcome::Ok);
    scene.in_order().await;
    assert!(ask_for_a_place().is_ok());
}

#[tokio::test]
async fn a_call_that_nobody_takes_is_refused_at_once() {
    let scene = Scene::new(PATIENCE, true).await;
    scene.offer(2).await;
    assert_eq!(scene.answer().await.1, Outcome::Refused(Code::Overloaded));
}

#[tokio::test]
async fn a_signal_whose_connection_is_lost_while_it_waits_ends_as_gone() {
    let mut scene = Scene::new(PATIENCE, false).await;
    scene.offer(2).await;
    let ask = scene.ask().await;
    scene.shards.lost(0, ANN, Code::ConnectionLost).await;
    scene.outcome(&ask, Ok(Some(theirs()))).await;
    // once the shard has answered this, it has ended the signal
    scene.in_order().await;
    assert!(scene.counted("outcome=\"gone\""));
}
