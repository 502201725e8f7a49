//! A room's media node: what it is told, what it is asked, what it says.

use super::*;
use crate::{
    ids::{NodeId, Region, Variant},
    placement::{NodeFact, NodeInfo, NodeLoad},
};

const IDLE: NodeLoad = NodeLoad { cpu_percent: 10.0, memory_percent: 10.0, loss: 0.0, draining: false };

fn known(id: &str, region: &str) -> NodeFact {
    NodeFact::Known(NodeInfo {
        id: id.into(),
        region: Region::from(region),
        variant: Variant::from("default"),
        public_url: format!("https://{id}"),
        base_weight: 10,
    })
}

impl World {
    /// A node registers and reports.
    pub(super) fn add_node(&mut self, id: &str, region: &str) {
        self.handle(Input::Node(known(id, region)));
        self.report(id);
    }

    pub(super) fn report(&mut self, id: &str) {
        self.handle(Input::Node(NodeFact::Reported { node: id.into(), load: IDLE }));
    }

    pub(super) fn fact(&mut self, fact: NodeFact) {
        self.handle(Input::Node(fact));
    }

    /// What nodes were told and asked since the last look.
    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.calls).iter().map(|(node, call, _)| format!("{node}: {}", call_words(call))).collect()
    }

    /// The latest call's ticket.
    fn ticket(&self) -> MediaTicket {
        self.calls.last().and_then(|(_, _, ticket)| *ticket).expect("a call with a ticket")
    }

    fn answer(&mut self, ticket: MediaTicket, result: Result<Option<v1::SessionDescription>, Refusal>) {
        self.handle(Input::MediaReply(MediaOutcome { ticket, room: "r".into(), result }));
    }
}

fn call_words(call: &MediaCall) -> String {
    match call {
        MediaCall::PutParticipant(call) => format!("put {}", call.identity),
        MediaCall::EndParticipant(_) => "end participant".to_owned(),
        MediaCall::SetPermissions(call) => {
            format!("permissions, publish {}", call.permissions.as_ref().is_some_and(|may| may.can_publish))
        }
        MediaCall::PutTrack(call) => format!("track {}", call.track.as_ref().map_or("", |track| &track.cid)),
        MediaCall::EndTrack(_) => "end track".to_owned(),
        MediaCall::MuteTrack(call) => format!("mute {}", call.muted),
        MediaCall::Subscribe(call) => format!("subscribe {} {}", call.tracks.len(), call.subscribed),
        MediaCall::Offer(_) => "offer".to_owned(),
        MediaCall::Answer(_) => "answer".to_owned(),
        MediaCall::Candidate(_) => "candidate".to_owned(),
        MediaCall::EndRoom(_) => "end room".to_owned(),
    }
}

fn offer() -> Op {
    offer_to("")
}

fn candidate() -> Op {
    Op::Signal(v1::Signal { candidate: Some(v1::Candidate::default()), ..v1::Signal::default() })
}

fn description(sdp: &str) -> v1::SessionDescription {
    v1::SessionDescription { sdp: sdp.to_owned(), ice_restart: false }
}

fn answered(world: &mut World, connection: u64, id: u64) -> Vec<Body> {
    world.take_replies(connection, id).into_iter().filter_map(|frame| frame.body).collect()
}

#[test]
fn without_nodes_members_speak_to_each_other_and_the_node_cannot_be_asked() {
    let mut world = World::new();
    assert_eq!(world.join(1, "ann").media, None);
    world.join(2, "bob");
    world.done(1, offer_to("bob"));
    match world.ask(1, offer()) {
        Body::Error(error) => {
            assert_eq!((error.code.as_str(), error.retry_after_ms), ("no_media_node", Some(1_000)));
        }
        other => panic!("not refused: {other:?}"),
    }
    assert!(world.calls.is_empty());
}

#[test]
fn whoever_joins_is_told_the_rooms_node_and_the_node_is_told_of_them() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    let media = world.join(1, "ann").media.unwrap();
    assert_eq!((media.node.as_str(), media.url.as_str(), media.region.as_str()), ("m1", "https://m1", "sh"));
    assert_eq!(world.join(2, "bob").media, Some(media));
    assert_eq!(world.told(), ["m1: put ann", "m1: put bob"]);
    let track = world.done(1, camera("c")).track.unwrap().id;
    world.done(1, set_mute(&track, true));
    world.done(1, set_mute(&track, true));
    world.done(2, Op::Subscribe(v1::Subscribe { tracks: vec![track.clone()], subscribed: false }));
    world.done(1, Op::Unpublish(v1::Unpublish { track }));
    assert_eq!(world.told(), ["m1: track c", "m1: mute true", "m1: subscribe 1 false", "m1: end track"]);
    world.frame(1, None, Op::Leave(v1::Leave {}), None);
    assert_eq!(world.told(), ["m1: end participant"]);
    world.frame(2, None, Op::Leave(v1::Leave {}), None);
    for _ in 0..30 {
        world.pass(Duration::from_secs(2));
        world.report("m1");
    }
    assert_eq!(world.told(), ["m1: end participant", "m1: end room"]);
}

#[test]
fn what_a_participant_may_do_is_told_as_it_changes() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.told();
    let less = Permissions { can_publish: false, ..allowed() };
    world.ask_with(1, update_token(), Some(Grant { permissions: less, ..grant("ann") }));
    assert_eq!(world.told(), ["m1: permissions, publish false"]);
    let none = Permissions { can_subscribe: false, ..allowed() };
    world.ask_with(1, update_token(), Some(Grant { permissions: none.clone(), ..grant("ann") }));
    assert_eq!(world.told(), ["m1: put ann"], "it takes nothing any more, which is another rule");
    world.ask_with(1, update_token(), Some(Grant { permissions: none, ..grant("ann") }));
    assert!(world.told().is_empty(), "nothing has changed");
}

fn update_token() -> Op {
    Op::Update(Box::new(v1::Update { token: "fresh".to_owned(), ..v1::Update::default() }))
}

#[test]
fn an_offer_is_answered_by_the_node_on_its_id_and_a_repeat_is_not_asked_again() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.told();
    world.frame(1, Some(7), offer(), None);
    assert_eq!(answered(&mut world, 1, 7), []);
    let ticket = world.ticket();
    assert_eq!(world.told(), ["m1: offer"]);
    world.answer(ticket, Ok(Some(description("theirs"))));
    assert_eq!(answered(&mut world, 1, 7), [Body::Answer(description("theirs"))]);
    world.frame(1, Some(7), offer(), None);
    assert_eq!(answered(&mut world, 1, 7), [Body::Answer(description("theirs"))]);
    assert!(world.told().is_empty());
    world.answer(ticket, Ok(None));
    assert_eq!(answered(&mut world, 1, 7), [], "an outcome that comes twice is nobody's");
}

#[test]
fn a_candidate_is_done_when_the_node_took_it_and_its_refusal_is_the_clients() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.frame(1, Some(7), candidate(), None);
    world.answer(world.ticket(), Ok(None));
    assert!(matches!(answered(&mut world, 1, 7).as_slice(), [Body::Ok(_)]));
    world.frame(1, Some(8), candidate(), None);
    world.answer(world.ticket(), Err(Code::BadRequest.because("no candidate")));
    assert_eq!(answered(&mut world, 1, 8).iter().map(code_of).collect::<Vec<_>>(), [Code::BadRequest]);
    world.frame(1, None, candidate(), None);
    world.answer(world.ticket(), Ok(None));
    assert_eq!(world.ended.last(), Some(&Outcome::Ok));
    assert!(world.take(1).is_empty(), "it wanted no reply");
}

#[test]
fn an_offer_without_an_id_could_not_be_answered() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.told();
    world.frame(1, None, offer(), None);
    assert_eq!(code_of(world.take(1)[0].body.as_ref().unwrap()), Code::BadRequest);
    assert!(world.told().is_empty());
}

#[test]
fn a_node_that_forgot_the_participant_is_told_and_asked_once_more() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.done(1, camera("c"));
    world.told();
    world.frame(1, Some(7), offer(), None);
    let first = world.ticket();
    world.told();
    world.answer(first, Err(Code::ParticipantNotFound.refuse()));
    let second = world.ticket();
    assert_eq!(world.told(), ["m1: put ann", "m1: track c", "m1: offer"]);
    world.answer(second, Err(Code::ParticipantNotFound.refuse()));
    assert!(world.told().is_empty());
    assert_eq!(answered(&mut world, 1, 7).iter().map(code_of).collect::<Vec<_>>(), [Code::NoMediaNode]);
    assert_eq!(world.router.asked.len(), 2, "the join's and the track's, which nobody has answered");
}

#[test]
fn a_signal_whose_session_comes_back_elsewhere_is_answered_there_when_it_is_repeated() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    let joined = world.join(1, "ann");
    world.frame(1, Some(7), offer(), None);
    let ticket = world.ticket();
    world.lose(1);
    world.told();
    world.back(2, "ann", resume_of(&joined));
    world.frame(2, Some(7), offer(), None);
    assert!(world.told().is_empty(), "it is under way");
    world.frame(2, Some(7), offer(), None);
    assert_eq!(answered(&mut world, 2, 7).iter().map(code_of).collect::<Vec<_>>(), [Code::AlreadyExists]);
    world.answer(ticket, Ok(Some(description("theirs"))));
    assert_eq!(answered(&mut world, 2, 7), [Body::Answer(description("theirs"))]);
}

#[test]
fn a_signal_whose_connection_is_gone_ends_as_gone_and_its_answer_is_kept() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    let joined = world.join(1, "ann");
    world.frame(1, Some(7), offer(), None);
    let ticket = world.ticket();
    world.lose(1);
    world.answer(ticket, Ok(Some(description("theirs"))));
    assert_eq!(world.ended.last(), Some(&Outcome::Gone));
    world.back(2, "ann", resume_of(&joined));
    world.frame(2, Some(7), offer(), None);
    assert_eq!(answered(&mut world, 2, 7), [Body::Answer(description("theirs"))]);
    world.frame(2, Some(8), offer(), None);
    let ticket = world.ticket();
    world.frame(2, None, Op::Leave(v1::Leave {}), None);
    world.answer(ticket, Ok(None));
    assert_eq!(world.ended.last(), Some(&Outcome::Gone));
}

#[test]
fn a_node_speaks_to_the_participants_of_its_rooms_and_to_nobody_else() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    let joined = world.join(1, "ann");
    let push = |participant: &str| v1::MediaPush {
        room: "r".to_owned(),
        participant_id: participant.to_owned(),
        offer: Some(description("v=0")),
        ..v1::MediaPush::default()
    };
    let say = |world: &mut World, node: &str, push| {
        world.handle(Input::MediaPush { node: NodeId::from(node), push: Box::new(push) });
    };
    let ann = joined.you.as_ref().unwrap().id.clone();
    say(&mut world, "m2", push(&ann));
    say(&mut world, "m1", push("PA_nobody"));
    say(&mut world, "m1", v1::MediaPush { room: "elsewhere".to_owned(), ..push(&ann) });
    say(&mut world, "m1", v1::MediaPush { candidate: Some(v1::Candidate::default()), ..push(&ann) });
    assert!(world.pushes(1).is_empty());
    say(&mut world, "m1", push(&ann));
    let pushed = world.pushes(1);
    let [Body::Signal(signal)] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((signal.from.as_str(), signal.from_id.as_str(), signal.seq), ("", "", 1));
    world.lose(1);
    say(&mut world, "m1", push(&ann));
    let resumed = world.back(2, "ann", v1::Resume { seq: 1, ..resume_of(&joined) });
    assert_eq!((resumed.recovered, resumed.missed), (true, 1), "it was held");
}

#[test]
fn rooms_of_a_node_that_is_lost_move_and_everybody_is_told_once() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.join(2, "bob");
    world.done(1, camera("c"));
    world.add_node("m2", "sh");
    world.frame(1, Some(7), offer(), None);
    let ticket = world.ticket();
    for connection in [1, 2] {
        world.pushes(connection);
    }
    world.told();
    world.fact(NodeFact::Gone { node: "m1".into() });
    for connection in [1, 2] {
        assert_eq!(words(&world.kinds(connection)), ["moved m2 node_failed"]);
    }
    assert_eq!(world.told(), ["m2: put ann", "m2: track c", "m2: put bob"]);
    world.answer(ticket, Ok(Some(description("of m1"))));
    assert_eq!(answered(&mut world, 1, 7).iter().map(code_of).collect::<Vec<_>>(), [Code::NoMediaNode]);
    world.fact(NodeFact::Drained { node: "m2".into() });
    assert_eq!(words(&world.kinds(1)), ["moved nowhere node_drained"]);
    assert_eq!(world.told(), ["m2: end room"]);
    world.add_node("m3", "sh");
    assert_eq!(words(&world.kinds(2)), ["moved nowhere node_drained", "moved m3 node_returned"]);
    assert_eq!(world.told(), ["m3: put ann", "m3: track c", "m3: put bob"]);
}

#[test]
fn many_rooms_move_in_turns_and_none_is_forgotten() {
    let mut world = World::with(Settings { rooms_max: 1_000, sessions_max: 1_000, ..settings() });
    world.add_node("m1", "sh");
    for number in 1..=200 {
        world.enter(number, grant("ann"), join_room(&format!("r{number}"))).unwrap();
    }
    world.add_node("m2", "sh");
    world.told();
    world.fact(NodeFact::Gone { node: "m1".into() });
    assert_eq!(world.told().len(), 64);
    world.pass(Duration::from_millis(5));
    assert_eq!(world.told().len(), 64);
    world.pass(Duration::from_millis(10));
    assert_eq!(world.told().len(), 200 - 128);
    for number in 1..=200 {
        assert_eq!(words(&world.kinds(number)), ["moved m2 node_failed"]);
    }
}

#[test]
fn what_a_node_missed_is_told_again_ends_first() {
    let mut world = World::new();
    world.add_node("m1", "sh");
    world.join(1, "ann");
    world.join(2, "bob");
    world.frame(2, None, Op::Leave(v1::Leave {}), None);
    let ticket = world.ticket();
    world.told();
    world.answer(ticket, Err(Code::DeadlineExceeded.refuse()));
    assert!(world.told().is_empty());
    world.pass(Duration::from_secs(1));
    let ticket = world.ticket();
    assert_eq!(world.told(), ["m1: end participant", "m1: put ann"]);
    world.answer(ticket, Err(Code::DeadlineExceeded.refuse()));
    world.pass(Duration::from_secs(1));
    assert!(world.told().is_empty(), "twice as long the second time");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.told(), ["m1: put ann"]);
}
