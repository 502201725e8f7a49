use std::{collections::VecDeque, time::Duration};

use str0m::{
    Candidate, Event, Input, Output as RtcOutput, Rtc, RtcConfig,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    media::{Direction, MediaKind, MediaTime, Mid},
    net::{Protocol, Receive},
};

use super::*;
use crate::{media_node::crypto, protocol::v1::TrackSource};

const NODE: &str = "192.0.2.1:7901";
const TICK: Duration = Duration::from_millis(5);

fn permissions() -> v1::Permissions {
    v1::Permissions { can_publish: true, can_subscribe: true, ..v1::Permissions::default() }
}

fn put(room: &str, id: &str) -> Command {
    Command::PutParticipant(v1::PutParticipantRequest {
        room: room.into(),
        participant_id: id.into(),
        identity: id.to_uppercase(),
        permissions: Some(permissions()),
        auto_subscribe: true,
    })
}

fn announce(room: &str, id: &str, track: &str, kind: TrackKind) -> Command {
    let source = if kind == TrackKind::Audio { TrackSource::Microphone } else { TrackSource::Camera };
    let track = v1::Track {
        id: track.into(),
        cid: format!("cid-{track}"),
        kind: kind.into(),
        source: source.into(),
        ..v1::Track::default()
    };
    Command::PutTrack(v1::PutTrackRequest { room: room.into(), participant_id: id.into(), track: Some(track) })
}

fn offer(room: &str, id: &str, sdp: &str) -> Command {
    let offer = Some(v1::SessionDescription { sdp: sdp.into(), ice_restart: false });
    Command::Offer(v1::MediaOfferRequest { room: room.into(), participant_id: id.into(), offer })
}

fn node(limits: Limits) -> (Node, Instant) {
    (Node::new(limits, NODE.parse().unwrap()).unwrap(), Instant::now())
}

#[test]
fn each_bound_refuses_by_its_name_and_leaves_what_there_is() {
    let small = Limits { rooms: 1, participants: 2, tracks: 1, subscriptions: 1, sdp_bytes: 10, candidates: 0 };
    let (mut node, now) = node(small);
    let mut refusal = |command: Command| node.handle(command, now).unwrap_err().to_string();
    assert_eq!(refusal(announce("r", "a", "t", TrackKind::Video)), "the room is unknown here");
    let (mut node, now) = self::node(small);
    let mut done = |command: Command| node.handle(command, now).map_err(|refusal| refusal.to_string());
    for command in [put("r", "a"), put("r", "b"), put("r", "a"), announce("r", "a", "t", TrackKind::Video)] {
        assert_eq!(done(command), Ok(Done::Done));
    }
    assert_eq!(done(announce("r", "a", "t", TrackKind::Video)), Ok(Done::Done), "again is not more");
    let subscribe = |tracks: &[&str]| {
        let tracks = tracks.iter().map(|track| (*track).to_owned()).collect();
        Command::Subscribe(v1::SubscribeMediaRequest {
            room: "r".into(),
            participant_id: "b".into(),
            tracks,
            subscribed: true,
        })
    };
    assert_eq!(done(subscribe(&["t", "t"])), Ok(Done::Done));
    for (command, said) in [
        (put("other", "a"), "rooms_max: 2, at most 1"),
        (put("r", "c"), "participants_max: 3, at most 2"),
        (announce("r", "b", "u", TrackKind::Audio), "tracks_max: 2, at most 1"),
        (subscribe(&["u"]), "subscriptions_max: 2, at most 1"),
        (offer("r", "a", "longer than that"), "sdp_bytes_max: 16, at most 10"),
    ] {
        assert_eq!(done(command), Err(said.to_owned()));
    }
    let totals = node.totals();
    assert_eq!((totals.rooms, totals.participants, totals.tracks), (1, 2, 1));
    node.end(now);
    assert_eq!(node.totals(), Totals::default());
}

#[test]
fn what_may_not_be_published_is_refused_and_ends_when_it_may_no_longer() {
    let (mut node, now) = node(Limits::default());
    node.handle(put("r", "a"), now).unwrap();
    node.handle(announce("r", "a", "t", TrackKind::Video), now).unwrap();
    let refused = |node: &mut Node, command| node.handle(command, now).unwrap_err();
    let data = announce("r", "a", "d", TrackKind::Data);
    assert_eq!(refused(&mut node, data), Refusal::Denied("publish this"), "data has a permission of its own");
    let mut microphone_only = permissions();
    microphone_only.can_publish_sources = vec![TrackSource::Microphone.into()];
    let set =
        v1::SetPermissionsRequest { room: "r".into(), participant_id: "a".into(), permissions: Some(microphone_only) };
    node.handle(Command::SetPermissions(set), now).unwrap();
    assert_eq!(node.totals().tracks, 0);
    let camera = announce("r", "a", "t", TrackKind::Video);
    assert_eq!(refused(&mut node, camera), Refusal::Denied("publish this"));
    node.handle(announce("r", "a", "m", TrackKind::Audio), now).unwrap();
}

/// A client in virtual time.
struct Client {
    id: &'static str,
    address: SocketAddr,
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    /// Mid of what it sends.
    camera: Option<Mid>,
    frames: usize,
    keyframes_asked: usize,
    msids: Vec<String>,
}

/// A node, clients, and the packets between them.
struct Net {
    node: Node,
    began: Instant,
    now: Instant,
    clients: Vec<Client>,
    /// Packets to a client are lost one in so many; 0: none.
    loses: usize,
    packets: usize,
    offers: usize,
}

impl Net {
    fn new(ids: &[&'static str]) -> Self {
        let (mut node, now) = node(Limits::default());
        let client = |(n, id): (usize, &&'static str)| {
            let address: SocketAddr = format!("192.0.2.{}:5000", 10 + n).parse().unwrap();
            let config = RtcConfig::new().set_crypto_provider(crypto::provider()).clear_codecs();
            let mut rtc = config.enable_vp8(true).enable_opus(true, false).build(now);
            rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
            let (pending, camera, msids) = (None, None, Vec::new());
            Client { id, address, rtc, pending, camera, frames: 0, keyframes_asked: 0, msids }
        };
        let clients = ids.iter().enumerate().map(client).collect();
        for id in ids {
            node.handle(put("r", id), now).unwrap();
        }
        Self { node, began: now, now, clients, loses: 0, packets: 0, offers: 0 }
    }

    /// The client offers a camera under that cid; its direction is what a browser's `addTrack` makes.
    fn offer_camera(&mut self, at: usize, cid: &str) {
        let client = &mut self.clients[at];
        let mut change = client.rtc.sdp_api();
        let (stream, track) = (Some("s".to_owned()), Some(cid.to_owned()));
        client.camera = Some(change.add_media(MediaKind::Video, Direction::SendRecv, stream, track, None));
        let (offered, pending) = change.apply().unwrap();
        client.pending = Some(pending);
        let command = offer("r", client.id, &offered.to_sdp_string());
        let Done::Answer(answer) = self.node.handle(command, self.now).unwrap() else { panic!("no answer") };
        assert!(!answer.sdp.contains("a=sendrecv"), "the node has nothing to send in a client's section");
        let client = &mut self.clients[at];
        let answer = SdpAnswer::from_sdp_string(&answer.sdp).unwrap();
        client.rtc.sdp_api().accept_answer(client.pending.take().unwrap(), answer).unwrap();
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            self.node.pass_time(self.now);
            for at in 0..self.clients.len() {
                self.clients[at].rtc.handle_input(Input::Timeout(self.now)).unwrap();
                self.drain(at);
                self.send_frame(at);
                self.drain(at);
            }
            self.deliver();
        }
    }

    fn send_frame(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(writer) = client.camera.filter(|_| client.rtc.is_connected()).and_then(|mid| client.rtc.writer(mid))
        else {
            return;
        };
        let pt = writer.payload_params().next().unwrap().pt();
        let time = MediaTime::from_micros(self.now.duration_since(self.began).as_micros() as u64);
        writer.write(pt, self.now, time, vec![0x10, 2, 0, 0x9d, 1, 0x2a, 16, 0, 16, 0, 7]).unwrap();
    }

    fn drain(&mut self, at: usize) {
        loop {
            let client = &mut self.clients[at];
            match client.rtc.poll_output().unwrap() {
                RtcOutput::Timeout(_) => return,
                RtcOutput::Transmit(transmit) => {
                    self.node.receive(client.address, &transmit.contents, self.now);
                    self.deliver();
                }
                RtcOutput::Event(Event::MediaData(_)) => client.frames += 1,
                RtcOutput::Event(Event::KeyframeRequest(_)) => client.keyframes_asked += 1,
                RtcOutput::Event(_) => {}
            }
        }
    }

    fn deliver(&mut self) {
        let mut pushes = VecDeque::new();
        while let Some(output) = self.node.output() {
            match output {
                Output::Send { to, bytes } => {
                    self.packets += 1;
                    let lost = self.loses > 0 && self.packets.is_multiple_of(self.loses);
                    let Some(client) = self.clients.iter_mut().find(|client| client.address == to && !lost) else {
                        continue;
                    };
                    let receive = Receive::new(Protocol::Udp, NODE.parse().unwrap(), to, &bytes).unwrap();
                    client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
                }
                Output::Push(push) => pushes.push_back(push),
            }
        }
        for push in pushes {
            self.pushed(&push);
        }
    }

    fn pushed(&mut self, push: &v1::MediaPush) {
        self.offers += 1;
        let client = self.clients.iter_mut().find(|client| client.id == push.participant_id).unwrap();
        let offer = SdpOffer::from_sdp_string(&push.offer.as_ref().unwrap().sdp).unwrap();
        client.msids = offer
            .media_lines
            .iter()
            .filter_map(|l| l.msid())
            .map(|m| format!("{} {}", m.stream_id, m.track_id))
            .collect();
        let sdp = client.rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
        let answer = Some(v1::SessionDescription { sdp, ice_restart: false });
        let answer = v1::MediaAnswerRequest { room: "r".into(), participant_id: push.participant_id.clone(), answer };
        self.node.handle(Command::Answer(answer), self.now).unwrap();
    }
}

#[test]
fn media_of_an_announced_track_goes_to_the_others_under_its_name() {
    let mut net = Net::new(&["a", "b", "c"]);
    net.offer_camera(0, "cid-t");
    net.offer_camera(1, "cid-nobodys");
    net.offer_camera(2, "cid-nobodys-either");
    net.run(Duration::from_secs(1));
    assert!(net.clients.iter().all(|client| client.rtc.is_connected() && client.frames == 0));
    assert_eq!(net.offers, 0, "nothing is announced");
    net.node.handle(announce("r", "a", "t", TrackKind::Video), net.now).unwrap();
    net.run(Duration::from_secs(1));
    assert_eq!(net.clients[0].frames, 0);
    for client in &net.clients[1..] {
        assert!(client.frames > 100, "{}: {}", client.id, client.frames);
        assert!(client.msids.contains(&"A t".to_owned()), "{:?}", client.msids);
    }
    assert!(
        (1..=2).contains(&net.clients[0].keyframes_asked),
        "two watchers, one request: {}",
        net.clients[0].keyframes_asked
    );
    assert_eq!(net.offers, 2);
}

#[test]
fn an_end_ends_at_once_and_lets_the_rest_go_on() {
    let mut net = Net::new(&["a", "b", "c"]);
    for (at, track) in [(0, "t"), (1, "u"), (2, "v")] {
        net.offer_camera(at, &format!("cid-{track}"));
        net.node.handle(announce("r", net.clients[at].id, track, TrackKind::Video), net.now).unwrap();
    }
    net.run(Duration::from_secs(1));
    let end = v1::EndParticipantRequest { room: "r".into(), participant_id: "a".into() };
    net.node.handle(Command::EndParticipant(end), net.now).unwrap();
    net.deliver();
    net.drain(0);
    assert!(!net.clients[0].rtc.is_alive(), "its client is told");
    let end = v1::EndTrackRequest { room: "r".into(), track: "v".into() };
    net.node.handle(Command::EndTrack(end), net.now).unwrap();
    net.clients.remove(0);
    // a client holds a frame until it has seen that none is missing before it
    net.run(Duration::from_millis(50));
    net.clients.iter_mut().for_each(|client| client.frames = 0);
    net.run(Duration::from_secs(1));
    assert_eq!(net.clients[0].frames, 0, "b had only these two");
    assert!(net.clients[1].frames > 100, "c has u");
    assert_eq!(net.node.totals().tracks, 1);
}

#[test]
fn loss_is_repaired_where_it_can_be_and_told() {
    let mut net = Net::new(&["a", "b"]);
    net.offer_camera(0, "cid-t");
    net.offer_camera(1, "cid-none");
    net.node.handle(announce("r", "a", "t", TrackKind::Video), net.now).unwrap();
    net.run(Duration::from_secs(1));
    net.loses = 10;
    let before = net.node.totals();
    let frames = net.clients[1].frames;
    net.run(Duration::from_secs(5));
    let (totals, came) = (net.node.totals(), net.clients[1].frames - frames);
    let loss = (totals.lost - before.lost) / (totals.packets - before.packets);
    // one in ten to the watcher; nothing from the publisher, which sends as much: one in twenty of all
    assert!((0.01..0.12).contains(&loss), "{loss}");
    assert!(came > 900, "{came} of 1000 frames: what was lost is sent again");
}

#[test]
fn what_nobody_ended_ends_by_itself() {
    let mut net = Net::new(&["a"]);
    net.node.handle(put("forgotten", "x"), net.now).unwrap();
    net.offer_camera(0, "cid-t");
    net.run(Duration::from_secs(1));
    assert!(net.clients[0].rtc.is_connected());
    let mut rooms_after = |minutes: u32| {
        for _ in 0..minutes {
            net.now += Duration::from_secs(60);
            net.node.pass_time(net.now);
        }
        net.node.totals().rooms
    };
    assert_eq!(rooms_after(59), 2);
    assert_eq!(rooms_after(3), 1, "the room of which no router spoke for an hour");
    assert_eq!(rooms_after(10), 0, "the one whose client fell silent at the beginning of it");
}
