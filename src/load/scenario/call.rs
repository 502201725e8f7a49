//! What the clients of a call do: join, publish, offer and answer, a burst of candidates, messages, mutes, one
//! of them loses its network for a moment, all leave; and the next call begins.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    group::Group,
    participant::{Heard, Participant, stay},
    until,
};
use crate::{
    load::{
        LoadError,
        client::{ClientError, PATIENCE},
        measure::Measure,
        run::Run,
        stamp::Stamp,
        tokens::Pass,
    },
    protocol::v1::{self, TrackKind, TrackSource, client_frame::Op},
};

/// Between the arrivals of two participants of a call.
const STAGGER: Duration = Duration::from_millis(30);
/// Candidates that a client finds at once.
const CANDIDATES: u32 = 6;
/// How long the one without network is away.
const AWAY: Duration = Duration::from_millis(250);
/// A call shorter than this is not begun.
const SHORTEST: Duration = Duration::from_millis(600);

pub(super) async fn play(run: &Arc<Run>) -> Result<(), LoadError> {
    let begin = Instant::now();
    run.begin(begin);
    let end = begin + run.options.length;
    let mut slots = JoinSet::new();
    for slot in 0..run.options.rooms {
        // calls begin one after the other, not all in the same moment
        let first =
            begin + run.options.stay.mul_f64(slot as f64 / run.options.rooms as f64).min(run.options.length / 4);
        slots.spawn(calls(run.clone(), slot, first, end));
    }
    until(run, end).await;
    run.end();
    let mut refused = Ok(());
    while let Some(ended) = slots.join_next().await {
        if let Ok(Err(e)) = ended {
            refused = Err(e);
        }
    }
    refused
}

/// One call after the other.
async fn calls(run: Arc<Run>, slot: usize, first: Instant, end: Instant) -> Result<(), LoadError> {
    let (rooms, size) = (run.options.rooms, run.options.size);
    until(&run, first).await;
    for round in 0.. {
        let length = run.options.stay.min(end.saturating_duration_since(Instant::now()));
        if run.stop.is_cancelled() || length < SHORTEST {
            break;
        }
        let passes: Result<Vec<_>, _> =
            (0..size).map(|me| run.passes.get(slot * size + me, slot + round * rooms)).collect();
        let call = Arc::new(Call { passes: passes?, length, unlucky: round % size });
        let group = Arc::new(Group::new(size));
        let mut members = JoinSet::new();
        let begin = Instant::now();
        for me in 0..size {
            let due = begin + STAGGER * me as u32;
            members.spawn(member(run.clone(), group.clone(), call.clone(), (me, slot * size + me, due)));
        }
        while members.join_next().await.is_some() {}
    }
    Ok(())
}

/// What its members know of a call.
#[derive(Debug)]
struct Call {
    passes: Vec<Pass>,
    length: Duration,
    /// Who loses its network.
    unlucky: usize,
}

async fn member(run: Arc<Run>, group: Arc<Group>, call: Arc<Call>, (me, number, due): (usize, usize, Instant)) {
    until(&run, due).await;
    let entered = Participant::enter(&run, &group, (me, number), call.passes[me].clone(), due).await;
    let play = async |participant: &mut Participant| {
        let patience = Instant::now() + PATIENCE;
        while !participant.group.all_ready() && Instant::now() < patience {
            participant.listen_until(Instant::now() + Duration::from_millis(5)).await?;
        }
        talk(participant, &call).await
    };
    stay(&run, &group, entered, play).await;
}

/// One thing to do.
#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(TrackKind),
    Offer(usize),
    Message,
    Mute(bool),
    Ping,
    Reconnect,
}

/// What this participant does and when, from the moment that everybody is there.
fn script(participant: &Participant, call: &Call) -> Vec<(Duration, Step)> {
    let (me, length) = (participant.me, call.length);
    let mut script = vec![
        (Duration::from_millis(10), Step::Publish(TrackKind::Audio)),
        (Duration::from_millis(20), Step::Publish(TrackKind::Video)),
        (length.mul_f64(0.3), Step::Mute(true)),
        (length.mul_f64(0.5), Step::Mute(false)),
    ];
    // each pair negotiates once
    script.extend((me + 1..participant.group.size()).map(|to| (Duration::from_millis(60), Step::Offer(to))));
    let period = Duration::from_secs_f64(1.0 / participant.run.options.rate);
    let talking = Duration::from_millis(100) + period.mul_f64(fastrand::f64());
    let times = |from: Duration, every: Duration| {
        (0..).map(move |n: u32| from + every * n).take_while(move |at| *at < length.mul_f64(0.9))
    };
    script.extend(times(talking, period).map(|at| (at, Step::Message)));
    script.extend(times(Duration::from_millis(700), Duration::from_secs(1)).map(|at| (at, Step::Ping)));
    if me == call.unlucky {
        script.push((length.mul_f64(0.6), Step::Reconnect));
    }
    script.sort_by_key(|(at, _)| *at);
    script
}

async fn talk(participant: &mut Participant, call: &Call) -> Result<(), ClientError> {
    let begin = Instant::now();
    for (after, step) in script(participant, call) {
        // who was away does then what it could not do meanwhile; it was not due before
        let back = participant.run.moment(participant.group.away_until_ns(participant.me));
        let due = (begin + after).max(back);
        listen(participant, call, due).await?;
        if participant.run.stop.is_cancelled() {
            return Ok(());
        }
        perform(participant, call, step, due).await?;
    }
    listen(participant, call, begin + call.length).await
}

/// Listens until then and answers who offers.
async fn listen(participant: &mut Participant, call: &Call, at: Instant) -> Result<(), ClientError> {
    while let Heard::Offer(from) = participant.listen_until(at).await? {
        if let Some(to) = call.passes.iter().position(|pass| pass.identity == from) {
            negotiate(participant, call, Description::Answer(to), Instant::now()).await?;
        }
    }
    Ok(())
}

async fn perform(participant: &mut Participant, call: &Call, step: Step, due: Instant) -> Result<(), ClientError> {
    match step {
        Step::Publish(kind) => participant.ask(Measure::Publish, due, publish(kind)).await,
        Step::Offer(to) => negotiate(participant, call, Description::Offer(to), due).await,
        Step::Message => participant.say(due).await,
        Step::Mute(muted) => match participant.tracks.first().cloned() {
            Some(track) => participant.ask(Measure::Mute, due, Op::Mute(v1::Mute { track, muted })).await,
            None => Ok(()),
        },
        Step::Ping => participant.ask(Measure::Ping, due, Op::Ping(v1::Ping::default())).await,
        Step::Reconnect => participant.reconnect(AWAY).await,
    }
}

fn publish(kind: TrackKind) -> Op {
    let (cid, source, codec) = match kind {
        TrackKind::Video => ("camera", TrackSource::Camera, "vp8"),
        _ => ("microphone", TrackSource::Microphone, "opus"),
    };
    let layers = match kind {
        TrackKind::Video => vec![
            v1::Layer {
                rid: "q".to_owned(),
                width_px: 320,
                height_px: 180,
                bitrate_bps: 150_000,
                frames_per_second: 15,
            },
            v1::Layer {
                rid: "f".to_owned(),
                width_px: 1280,
                height_px: 720,
                bitrate_bps: 1_700_000,
                frames_per_second: 30,
            },
        ],
        _ => Vec::new(),
    };
    Op::Publish(Box::new(v1::Publish {
        cid: cid.to_owned(),
        kind: kind.into(),
        source: source.into(),
        codec: codec.to_owned(),
        layers,
        ..v1::Publish::default()
    }))
}

/// A session description for whom.
#[derive(Clone, Copy, Debug)]
enum Description {
    Offer(usize),
    Answer(usize),
}

/// Sends a description and, at once, the candidates that go with it.
async fn negotiate(
    participant: &mut Participant,
    call: &Call,
    description: Description,
    due: Instant,
) -> Result<(), ClientError> {
    let (Description::Offer(to) | Description::Answer(to)) = description;
    let identity = call.passes[to].identity.as_str();
    participant.speaks_to(identity, to);
    let mut signal = v1::Signal { to: identity.to_owned(), ..v1::Signal::default() };
    let described = Some(v1::SessionDescription { sdp: sdp(stamp(participant, to, due)), ice_restart: false });
    match description {
        Description::Offer(_) => signal.offer = described,
        Description::Answer(_) => signal.answer = described,
    }
    participant.ask(Measure::Signal, due, Op::Signal(signal)).await?;
    for _ in 0..CANDIDATES {
        let candidate = Some(candidate(stamp(participant, to, due)));
        let signal = v1::Signal { to: identity.to_owned(), candidate, ..v1::Signal::default() };
        participant.ask(Measure::Signal, due, Op::Signal(signal)).await?;
    }
    let end_of_candidates = Some(v1::EndOfCandidates::default());
    let signal = v1::Signal { to: identity.to_owned(), end_of_candidates, ..v1::Signal::default() };
    participant.ask(Measure::Signal, due, Op::Signal(signal)).await
}

fn stamp(participant: &Participant, to: usize, due: Instant) -> Stamp {
    participant.run.counts.sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    participant.group.stamp_to(participant.me, to, participant.run.nanos(due))
}

/// As long as a browser's for audio and video, with the stamp among its attributes.
fn sdp(stamp: Stamp) -> String {
    let mut sdp = String::with_capacity(2_048);
    sdp.push_str("v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=tool:");
    stamp.write_to(&mut sdp);
    sdp.push_str("\r\n");
    for (mid, kind) in ["audio", "video"].iter().enumerate() {
        sdp.push_str(&format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF 96 97 98\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sendrecv\r\na=rtcp-mux\r\n\
             a=ice-ufrag:F7gI\r\na=ice-pwd:x9cml/YzichV2+XlhiMu8g\r\na=setup:actpass\r\n\
             a=fingerprint:sha-256 {}\r\n",
            ["D2"; 32].join(":")
        ));
        for payload in 96..112 {
            sdp.push_str(&format!("a=rtpmap:{payload} codec{payload}/90000\r\na=rtcp-fb:{payload} nack pli\r\n"));
        }
    }
    sdp
}

fn candidate(stamp: Stamp) -> v1::Candidate {
    let mut candidate =
        "candidate:842163049 1 udp 1677729535 192.0.2.7 46154 typ srflx raddr 0.0.0.0 rport 0 tag ".to_owned();
    stamp.write_to(&mut candidate);
    v1::Candidate { candidate, sdp_mid: Some("0".to_owned()), sdp_m_line_index: Some(0), username_fragment: None }
}
