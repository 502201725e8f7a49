//! The check's side of the world: a router's calls and stream to the node, and two WebRTC clients.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use str0m::media::MediaKind;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, transport::Channel};

use super::peer::{FRAME_EVERY, Peer};
use crate::protocol::v1::{
    self, FromNode, FromRouter, MediaAnswerRequest, MediaCandidateRequest, MediaOfferRequest, NodeHello,
    PutParticipantRequest, PutTrackRequest, RouterHello, SubscribeMediaRequest, TrackKind, TrackSource,
    media_client::MediaClient,
};

/// How often the check asks for reports.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(200);
/// Messages to the node that may wait.
const WAITING: usize = 16;
/// How long what was on its way when something ended may still arrive.
const IN_FLIGHT: Duration = Duration::from_millis(300);
/// Frames that have to come in a row, and in whose time others must not.
const FRAMES: usize = 15;

/// One participant of the check.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) identity: String,
    pub(super) peer: Peer,
    /// Offers of the node are left unanswered.
    pub(super) holds_back: bool,
    /// How many offers the node has pushed.
    pub(super) offers: usize,
}

/// What one check works with.
#[derive(Debug)]
pub(super) struct World {
    pub(super) media: MediaClient<Channel>,
    pub(super) room: String,
    pub(super) deadline: Duration,
    pub(super) patience: Duration,
    pub(super) members: Vec<Member>,
    say: mpsc::Sender<FromRouter>,
    heard: Streaming<FromNode>,
    pub(super) hello: Option<NodeHello>,
    pub(super) echoes: Vec<u64>,
    pub(super) reports: Vec<v1::MediaReport>,
    ip: IpAddr,
}

impl World {
    pub(super) async fn open(channel: Channel, options: &super::Options) -> Result<Self> {
        let mut media = MediaClient::new(channel);
        let (say, said) = mpsc::channel(WAITING);
        let hello = RouterHello {
            router: "media-check".into(),
            region: "check".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: 1,
            report_ms: REPORT_EVERY.as_millis() as u64,
        };
        say.send(FromRouter { hello: Some(hello), ..FromRouter::default() }).await.context("cannot say hello")?;
        let heard = timeout(options.patience, media.watch(ReceiverStream::new(said))).await;
        let heard = heard.context("Watch: no stream within the patience")??.into_inner();
        Ok(Self {
            media,
            room: format!("check-{:08x}", fastrand::u32(..)),
            deadline: options.deadline,
            patience: options.patience,
            members: Vec::new(),
            say,
            heard,
            hello: None,
            echoes: Vec::new(),
            reports: Vec::new(),
            ip: options.ip,
        })
    }

    pub(super) async fn probe(&mut self, number: u64) -> Result<()> {
        let probe = FromRouter { probe: Some(v1::Probe { number }), ..FromRouter::default() };
        self.say.send(probe).await.context("the node hung up")
    }

    /// Lets time pass until it is so.
    ///
    /// # Errors
    /// When it is not within the patience, or a connection or the stream broke.
    pub(super) async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + self.patience;
        while !so(self) {
            if Instant::now() > end {
                bail!("{what}: not within {:?}", self.patience);
            }
            self.turn().await?;
        }
        Ok(())
    }

    /// Lets that much time pass.
    pub(super) async fn pass(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn().await?;
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<()> {
        for member in &mut self.members {
            if !member.peer.is_over() {
                member.peer.turn().with_context(|| format!("the connection of {}", member.identity))?;
            }
        }
        match timeout(FRAME_EVERY / 10, self.heard.message()).await {
            Err(_) => Ok(()),
            Ok(Err(status)) => Err(anyhow!("the stream broke: {}", told(&status))),
            Ok(Ok(None)) => Err(anyhow!("the node ended the stream")),
            Ok(Ok(Some(message))) => self.hear(message).await,
        }
    }

    async fn hear(&mut self, message: FromNode) -> Result<()> {
        self.hello = message.hello.or(self.hello.take());
        self.echoes.extend(message.echo.map(|echo| echo.number));
        self.reports.extend(message.report);
        let Some(push) = message.push else { return Ok(()) };
        if push.room != self.room {
            return Ok(());
        }
        let Some(member) = self.members.iter_mut().find(|member| member.id == push.participant_id) else {
            return Ok(());
        };
        let Some(offer) = push.offer else { return Ok(()) };
        member.offers += 1;
        if member.holds_back {
            return Ok(());
        }
        let answer = member.peer.accept_offer(&offer.sdp).context("an offer of the node")?;
        let request = MediaAnswerRequest {
            room: push.room,
            participant_id: push.participant_id,
            answer: Some(v1::SessionDescription { sdp: answer, ice_restart: false }),
        };
        // an answer to an offer that has been told again is one too many
        match self.media.answer(self.timed(request)).await {
            Err(status) if status.code() != tonic::Code::InvalidArgument => Err(anyhow!("Answer: {}", told(&status))),
            _ => Ok(()),
        }
    }

    /// A call under the patience.
    pub(super) fn timed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.patience);
        request
    }

    pub(super) async fn put(&mut self, id: &str, permissions: v1::Permissions) -> Result<(), Status> {
        let request = PutParticipantRequest {
            room: self.room.clone(),
            participant_id: id.to_owned(),
            identity: identity(id),
            permissions: Some(permissions),
            auto_subscribe: true,
        };
        self.media.put_participant(self.timed(request)).await.map(drop)
    }

    pub(super) async fn announce(&mut self, id: &str, track: v1::Track) -> Result<(), Status> {
        let request = PutTrackRequest { room: self.room.clone(), participant_id: id.to_owned(), track: Some(track) };
        self.media.put_track(self.timed(request)).await.map(drop)
    }

    pub(super) async fn subscribe(&mut self, id: &str, track: &str, subscribed: bool) -> Result<(), Status> {
        let (room, participant_id) = (self.room.clone(), id.to_owned());
        let request = SubscribeMediaRequest { room, participant_id, tracks: vec![track.to_owned()], subscribed };
        self.media.subscribe(self.timed(request)).await.map(drop)
    }

    /// Puts a participant and gives it a client.
    pub(super) async fn join(&mut self, id: &str) -> Result<()> {
        self.put(id, all()).await.map_err(|status| anyhow!("PutParticipant: {}", told(&status)))?;
        let (id, identity, peer) = (id.to_owned(), identity(id), Peer::new(self.ip)?);
        self.members.push(Member { id, identity, peer, holds_back: false, offers: 0 });
        Ok(())
    }

    /// Offers as that participant, and takes the answer; how long it took.
    pub(super) async fn offer(&mut self, id: &str, tracks: &[(MediaKind, &str)]) -> Result<Duration> {
        let sdp = self.member(id).peer.offer(tracks)?;
        self.offered(id, sdp).await
    }

    pub(super) async fn offered(&mut self, id: &str, sdp: String) -> Result<Duration> {
        let request = MediaOfferRequest {
            room: self.room.clone(),
            participant_id: id.to_owned(),
            offer: Some(v1::SessionDescription { sdp, ice_restart: false }),
        };
        let since = Instant::now();
        let reply = self.media.offer(self.timed(request)).await;
        let took = since.elapsed();
        let reply = reply.map_err(|status| anyhow!("Offer: {}", told(&status)))?.into_inner();
        let answer = reply.answer.context("Offer: the reply holds no answer")?;
        self.member(id).peer.accept_answer(&answer.sdp)?;
        Ok(took)
    }

    pub(super) async fn candidate(&mut self, id: &str, candidate: &str) -> Result<(), Status> {
        let request = MediaCandidateRequest {
            room: self.room.clone(),
            participant_id: id.to_owned(),
            candidate: Some(v1::Candidate { candidate: candidate.to_owned(), ..v1::Candidate::default() }),
            end_of_candidates: None,
        };
        self.media.candidate(self.timed(request)).await.map(drop)
    }

    /// # Panics
    /// When nobody joined as that: the check's own fault.
    pub(super) fn member(&mut self, id: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.id == id).expect("the rules join who they speak of")
    }

    /// Where clients of the check are.
    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(super) fn peer(&self, id: &str) -> Option<&Peer> {
        self.members.iter().find(|member| member.id == id).map(|member| &member.peer)
    }

    pub(super) fn frames(&self, id: &str, track: &str) -> usize {
        self.peer(id).map_or(0, |peer| peer.frames_of(track))
    }

    /// That participant gets that track: some frames from now on.
    pub(super) async fn flows(&mut self, id: &str, track: &str) -> Result<()> {
        let wanted = self.frames(id, track) + FRAMES;
        let what = format!("media of {track} at {}", identity(id));
        self.until(&what, |world| world.frames(id, track) >= wanted).await
    }

    /// That participant does not get that track any more, while it gets the other one: silence alone proves nothing.
    pub(super) async fn stopped(&mut self, id: &str, track: &str, beside: &str) -> Result<()> {
        self.pass(IN_FLIGHT).await?;
        let before = self.frames(id, track);
        self.flows(id, beside).await?;
        let more = self.frames(id, track) - before;
        if more > 0 { Err(anyhow!("{more} frames of {track} came after it should have stopped")) } else { Ok(()) }
    }
}

/// Who a participant of the check is.
pub(super) fn identity(id: &str) -> String {
    format!("identity of {id}")
}

/// Everything is allowed.
pub(super) fn all() -> v1::Permissions {
    v1::Permissions { can_publish: true, can_subscribe: true, can_publish_data: true, ..v1::Permissions::default() }
}

/// A track of that id, whose section is called the same with `cid-` before.
pub(super) fn track(id: &str, kind: TrackKind, source: TrackSource) -> v1::Track {
    let (id, cid) = (id.to_owned(), format!("cid-{id}"));
    v1::Track { id, cid, kind: kind.into(), source: source.into(), ..v1::Track::default() }
}

/// A status as people read it.
pub(super) fn told(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
