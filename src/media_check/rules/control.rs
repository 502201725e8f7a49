//! Rules that need no media.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::{
    media_check::world::{REPORT_EVERY, World, all, told, track},
    protocol::v1::{
        self, EndMediaRoomRequest, EndParticipantRequest, EndTrackRequest, FromRouter, HealthRequest,
        MediaAnswerRequest, MediaOfferRequest, MediaReport, RouterHello, SetPermissionsRequest, TrackKind, TrackSource,
    },
};

const NOBODY: &str = "nobody";
const PROBES: u64 = 5;

pub(super) async fn hello(world: &mut World) -> Result<()> {
    world.until("the node's hello", |world| world.hello.is_some()).await?;
    let hello = world.hello.as_ref().context("no hello")?;
    ensure!(!hello.id.is_empty(), "its hello has no id");
    ensure!(world.echoes.is_empty() && world.reports.is_empty(), "something came before its hello");
    Ok(())
}

pub(super) async fn echo(world: &mut World) -> Result<()> {
    let numbers: Vec<u64> = (1..=PROBES).map(|number| number * 1_000_003).collect();
    for number in &numbers {
        world.probe(*number).await?;
    }
    world.until("the echoes", |world| world.echoes.len() >= numbers.len()).await?;
    ensure!(world.echoes == numbers, "probes {numbers:?} came back as {:?}", world.echoes);
    Ok(())
}

pub(super) async fn reports(world: &mut World) -> Result<()> {
    let before = world.reports.len();
    world.until("three reports", |world| world.reports.len() >= before + 3).await?;
    world.reports.iter().try_for_each(in_range)?;
    // thrice as often would be a defect, too: count what comes in a known time
    let before = world.reports.len();
    world.pass(REPORT_EVERY * 5).await?;
    let came = world.reports.len() - before;
    ensure!(came <= 15, "{came} reports came in the time of 5");
    Ok(())
}

fn in_range(report: &MediaReport) -> Result<()> {
    for (name, value, most) in [
        ("cpu_percent", report.cpu_percent, 100.0),
        ("memory_percent", report.memory_percent, 100.0),
        ("loss", report.loss, 1.0),
    ] {
        ensure!((0.0..=most).contains(&value), "{name} is {value}, not in 0 to {most}");
    }
    ensure!(report.sent_at_ms > 0, "sent_at_ms is 0");
    Ok(())
}

pub(super) async fn health(world: &mut World) -> Result<()> {
    let request = world.timed(HealthRequest {});
    in_range(world.media.health(request).await.map_err(|status| anyhow!(told(&status)))?.get_ref())
}

pub(super) async fn two_routers(world: &mut World) -> Result<()> {
    let hello =
        RouterHello { router: "media-check-2".into(), protocol: 1, report_ms: 60_000, ..RouterHello::default() };
    let (say, said) = tokio::sync::mpsc::channel(2);
    say.send(FromRouter { hello: Some(hello), ..FromRouter::default() }).await?;
    say.send(FromRouter { probe: Some(v1::Probe { number: 7 }), ..FromRouter::default() }).await?;
    let mut media = world.media.clone();
    let second = async {
        let mut heard = media.watch(ReceiverStream::new(said)).await?.into_inner();
        loop {
            let message = heard.message().await?.ok_or_else(|| Status::aborted("the node ended the second stream"))?;
            if message.echo.is_some_and(|echo| echo.number == 7) {
                return Ok::<_, Status>(());
            }
        }
    };
    timeout(world.patience, second).await.context("no echo on the second stream")?.map_err(|s| anyhow!(told(&s)))?;
    let before = world.reports.len();
    world.until("a report on the first stream", |world| world.reports.len() > before).await
}

pub(super) async fn unknown_participant(world: &mut World) -> Result<()> {
    let (room, participant_id) = (world.room.clone(), NOBODY.to_owned());
    let offer = Some(v1::SessionDescription { sdp: "v=0".into(), ice_restart: false });
    let request = MediaOfferRequest { room: room.clone(), participant_id: participant_id.clone(), offer };
    let request = world.timed(request);
    refused("Offer", world.media.offer(request).await.map(drop), Code::NotFound)?;
    let request = SetPermissionsRequest { room, participant_id, permissions: Some(all()) };
    let request = world.timed(request);
    refused("SetPermissions", world.media.set_permissions(request).await.map(drop), Code::NotFound)?;
    let camera = track("nobodys", TrackKind::Video, TrackSource::Camera);
    refused("PutTrack", world.announce(NOBODY, camera).await, Code::NotFound)?;
    refused("Subscribe", world.subscribe(NOBODY, "some", true).await, Code::NotFound)
}

pub(super) async fn idempotent(world: &mut World) -> Result<()> {
    let ok = |what: &str, result: Result<(), Status>| result.map_err(|status| anyhow!("{what}: {}", told(&status)));
    for what in ["PutParticipant", "PutParticipant, again"] {
        ok(what, world.put("x", all()).await)?;
    }
    for what in ["PutTrack", "PutTrack, again"] {
        ok(what, world.announce("x", track("x-cam", TrackKind::Video, TrackSource::Camera)).await)?;
    }
    let room = world.room.clone();
    for what in ["EndTrack", "EndTrack, again"] {
        let request = world.timed(EndTrackRequest { room: room.clone(), track: "x-cam".into() });
        ok(what, world.media.end_track(request).await.map(drop))?;
    }
    for what in ["EndParticipant", "EndParticipant, again"] {
        let request = EndParticipantRequest { room: room.clone(), participant_id: "x".into() };
        let request = world.timed(request);
        ok(what, world.media.end_participant(request).await.map(drop))?;
    }
    let request = world.timed(EndMediaRoomRequest { room: "a room that never was".into() });
    ok("EndRoom of none", world.media.end_room(request).await.map(drop))
}

pub(super) async fn garbage_sdp(world: &mut World) -> Result<()> {
    put(world, "g").await?;
    for sdp in ["", "garbage", "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "m=video 9 x 96\r\na=mid:0\r\n"] {
        let request = MediaOfferRequest {
            room: world.room.clone(),
            participant_id: "g".into(),
            offer: Some(v1::SessionDescription { sdp: sdp.into(), ice_restart: false }),
        };
        let request = world.timed(request);
        refused(&format!("Offer of {sdp:?}"), world.media.offer(request).await.map(drop), Code::InvalidArgument)?;
    }
    Ok(())
}

pub(super) async fn garbage_candidate(world: &mut World) -> Result<()> {
    put(world, "g").await?;
    refused("Candidate", world.candidate("g", "not a candidate").await, Code::InvalidArgument)?;
    let by_name = "candidate:1 1 udp 2113937151 0f52a7c4-5d1c-4f0b.local 50028 typ host generation 0";
    world.candidate("g", by_name).await.map_err(|status| anyhow!("a candidate by name: {}", told(&status)))
}

pub(super) async fn answer_without_offer(world: &mut World) -> Result<()> {
    put(world, "g").await?;
    let answer = Some(v1::SessionDescription { sdp: "v=0\r\n".into(), ice_restart: false });
    let request = MediaAnswerRequest { room: world.room.clone(), participant_id: "g".into(), answer };
    let request = world.timed(request);
    refused("Answer", world.media.answer(request).await.map(drop), Code::InvalidArgument)
}

pub(super) async fn late_call(world: &mut World) -> Result<()> {
    for _ in 0..3 {
        let mut request = world.timed(HealthRequest {});
        request.set_timeout(Duration::from_nanos(1));
        match world.media.health(request).await {
            // the caller itself gives up, or the node says so: both are the end of the call
            Err(status) if [Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()) => {}
            Err(status) => bail!("a call with no time left: {}", told(&status)),
            Ok(_) => {}
        }
    }
    put(world, "g").await.context("after calls with no time left")
}

async fn put(world: &mut World, id: &str) -> Result<()> {
    world.put(id, all()).await.map_err(|status| anyhow!("PutParticipant: {}", told(&status)))
}

/// Whether a call was refused with that code.
pub(super) fn refused(what: &str, result: Result<(), Status>, code: Code) -> Result<()> {
    match result {
        Err(status) if status.code() == code => Ok(()),
        Err(status) => Err(anyhow!("{what}: expected {code:?}, got {}", told(&status))),
        Ok(()) => Err(anyhow!("{what}: expected {code:?}, got OK")),
    }
}
