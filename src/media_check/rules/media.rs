//! Rules about media: `a` publishes a camera, a microphone and, at first unannounced, its screen; `b` watches, and publishes
//! a camera of its own later.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use str0m::media::MediaKind;
use tonic::Code;

use super::control::refused;
use crate::{
    media_check::{
        peer::Peer,
        world::{World, all, identity, told, track},
    },
    protocol::v1::{
        self, EndMediaRoomRequest, EndParticipantRequest, EndTrackRequest, MuteMediaRequest, SetPermissionsRequest,
        TrackKind, TrackSource,
    },
};

const CAMERA: &str = "a-cam";
const MICROPHONE: &str = "a-mic";
const SCREEN: &str = "a-screen";
const OTHER_CAMERA: &str = "b-cam";
/// How long a node may take for an offer that nobody asked it for.
const OWN_OFFER: Duration = Duration::from_millis(600);

async fn announce(world: &mut World, id: &str, track: v1::Track) -> Result<()> {
    world.announce(id, track).await.map_err(|status| anyhow!("PutTrack: {}", told(&status)))
}

pub(super) async fn offer_answered(world: &mut World) -> Result<()> {
    world.join("a").await?;
    world.join("b").await?;
    announce(world, "a", track(CAMERA, TrackKind::Video, TrackSource::Camera)).await?;
    announce(world, "a", track(MICROPHONE, TrackKind::Audio, TrackSource::Microphone)).await?;
    let tracks = [(MediaKind::Video, "cid-a-cam"), (MediaKind::Audio, "cid-a-mic"), (MediaKind::Video, "cid-a-screen")];
    let one = world.offer("a", &tracks).await?;
    // who only watches offers a section, too: without one there is no transport
    let other = world.offer("b", &[(MediaKind::Audio, "cid-b-unannounced")]).await?;
    let (took, most) = (one.max(other), world.deadline);
    ensure!(took <= most, "took {took:?}, at most {most:?}");
    Ok(())
}

pub(super) async fn connects(world: &mut World) -> Result<()> {
    world.until("ICE and DTLS", |world| world.members.iter().all(|member| member.peer.is_connected())).await
}

pub(super) async fn arrives(world: &mut World) -> Result<()> {
    world.flows("b", CAMERA).await?;
    world.flows("b", MICROPHONE).await
}

pub(super) async fn msid(world: &mut World) -> Result<()> {
    let peer = &world.member("b").peer;
    for (id, cid) in [(CAMERA, "cid-a-cam"), (MICROPHONE, "cid-a-mic")] {
        let got = peer.of(id).with_context(|| format!("nothing came in a section of track {id}"))?;
        ensure!(got.cid == cid, "in the section of {id} came media of {}", got.cid);
        let stream = peer.stream_of(id).unwrap_or_default();
        let whose = percent_encoded(&identity("a"));
        ensure!([whose.as_str(), "a"].contains(&stream), "the stream of {id} is {stream}, not {whose} or the id `a`");
    }
    Ok(())
}

/// As a browser's `decodeURIComponent` undoes it.
fn percent_encoded(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '.', '_'].contains(&c);
    let one =
        |c: char| if plain(c) { c.to_string() } else { c.to_string().bytes().map(|b| format!("%{b:02X}")).collect() };
    text.chars().map(one).collect()
}

pub(super) async fn own_media(world: &mut World) -> Result<()> {
    let own = world.member("a").peer.frames_from("cid-a-cam");
    ensure!(own == 0, "{own} frames of its own camera came back");
    Ok(())
}

pub(super) async fn unannounced(world: &mut World) -> Result<()> {
    world.flows("b", CAMERA).await?;
    let frames = world.member("b").peer.frames_from("cid-a-screen");
    ensure!(frames == 0, "{frames} frames of a section that nobody announced");
    let frames = world.member("a").peer.frames_from("cid-b-unannounced");
    ensure!(frames == 0, "{frames} frames of the watcher's section that nobody announced");
    Ok(())
}

pub(super) async fn announced_later(world: &mut World) -> Result<()> {
    announce(world, "a", track(SCREEN, TrackKind::Video, TrackSource::ScreenShare)).await?;
    world.flows("b", SCREEN).await
}

pub(super) async fn keyframe(world: &mut World) -> Result<()> {
    let asked = |world: &World| world.peer("a").map_or(0, |peer| peer.keyframe_requests("cid-a-cam"));
    let before = asked(world);
    world.member("b").peer.request_keyframe(CAMERA)?;
    world.until("the request at the publisher", |world| asked(world) > before).await
}

pub(super) async fn mute(world: &mut World) -> Result<()> {
    for muted in [true, false] {
        let request = MuteMediaRequest { room: world.room.clone(), track: CAMERA.into(), muted };
        let request = world.timed(request);
        world.media.mute_track(request).await.map_err(|status| anyhow!("MuteTrack: {}", told(&status)))?;
        match muted {
            true => world.stopped("b", CAMERA, MICROPHONE).await?,
            false => world.flows("b", CAMERA).await?,
        }
    }
    Ok(())
}

pub(super) async fn unsubscribe(world: &mut World) -> Result<()> {
    for subscribed in [false, true] {
        let done = world.subscribe("b", CAMERA, subscribed).await;
        done.map_err(|status| anyhow!("Subscribe: {}", told(&status)))?;
        match subscribed {
            false => world.stopped("b", CAMERA, MICROPHONE).await?,
            true => world.flows("b", CAMERA).await?,
        }
    }
    Ok(())
}

async fn permit(world: &mut World, id: &str, permissions: v1::Permissions) -> Result<()> {
    let (room, participant_id) = (world.room.clone(), id.to_owned());
    let request = SetPermissionsRequest { room, participant_id, permissions: Some(permissions) };
    let request = world.timed(request);
    let done = world.media.set_permissions(request).await;
    done.map(drop).map_err(|status| anyhow!("SetPermissions: {}", told(&status)))
}

pub(super) async fn can_subscribe(world: &mut World) -> Result<()> {
    permit(world, "b", v1::Permissions { can_subscribe: false, ..all() }).await?;
    world.pass(Duration::from_millis(300)).await?;
    let before = (world.frames("b", CAMERA), world.frames("b", MICROPHONE));
    world.pass(OWN_OFFER).await?;
    let after = (world.frames("b", CAMERA), world.frames("b", MICROPHONE));
    ensure!(before == after, "camera and microphone went on: {before:?} frames, then {after:?}");
    permit(world, "b", all()).await?;
    world.flows("b", CAMERA).await?;
    world.flows("b", MICROPHONE).await
}

pub(super) async fn glare(world: &mut World) -> Result<()> {
    // the node has something to offer to `a`, who leaves it unanswered and offers itself
    world.member("a").holds_back = true;
    let before = world.member("a").offers;
    world.offer("b", &[(MediaKind::Video, "cid-b-cam")]).await?;
    announce(world, "b", track(OTHER_CAMERA, TrackKind::Video, TrackSource::Camera)).await?;
    world.until("the node's offer", |world| world.members[0].offers > before).await?;
    world.offer("a", &[(MediaKind::Audio, "cid-a-more")]).await.context("an offer against the node's own")?;
    world.member("a").holds_back = false;
    world.flows("a", OTHER_CAMERA).await?;
    world.flows("b", CAMERA).await
}

pub(super) async fn ice_restart(world: &mut World) -> Result<()> {
    let sdp = world.member("a").peer.restart()?;
    world.offered("a", sdp).await?;
    world.pass(OWN_OFFER).await?;
    world.flows("b", CAMERA).await?;
    world.flows("a", OTHER_CAMERA).await
}

pub(super) async fn end_track(world: &mut World) -> Result<()> {
    let request = world.timed(EndTrackRequest { room: world.room.clone(), track: SCREEN.into() });
    world.media.end_track(request).await.map_err(|status| anyhow!("EndTrack: {}", told(&status)))?;
    world.stopped("b", SCREEN, CAMERA).await
}

pub(super) async fn sources(world: &mut World) -> Result<()> {
    let can_publish_sources = vec![TrackSource::Camera.into(), TrackSource::Microphone.into()];
    permit(world, "a", v1::Permissions { can_publish_sources, ..all() }).await?;
    let screen = track(SCREEN, TrackKind::Video, TrackSource::ScreenShare);
    refused("PutTrack of a screen", world.announce("a", screen).await, Code::PermissionDenied)?;
    world.flows("b", CAMERA).await
}

pub(super) async fn can_publish(world: &mut World) -> Result<()> {
    permit(world, "a", v1::Permissions { can_publish: false, ..all() }).await?;
    world.pass(Duration::from_millis(300)).await?;
    let before = (world.frames("b", CAMERA), world.frames("b", MICROPHONE));
    world.flows("a", OTHER_CAMERA).await?;
    let after = (world.frames("b", CAMERA), world.frames("b", MICROPHONE));
    ensure!(before == after, "camera and microphone went on: {before:?} frames, then {after:?}");
    let camera = track(CAMERA, TrackKind::Video, TrackSource::Camera);
    refused("PutTrack", world.announce("a", camera.clone()).await, Code::PermissionDenied)?;
    permit(world, "a", all()).await?;
    announce(world, "a", camera).await?;
    world.flows("b", CAMERA).await
}

pub(super) async fn new_connection(world: &mut World) -> Result<()> {
    let ip = world.ip();
    world.member("a").peer = Peer::new(ip)?;
    world.offer("a", &[(MediaKind::Video, "cid-a-cam")]).await?;
    world.until("the new connection", |world| world.peer("a").is_some_and(Peer::is_connected)).await?;
    world.flows("b", CAMERA).await?;
    world.flows("a", OTHER_CAMERA).await
}

pub(super) async fn end_participant(world: &mut World) -> Result<()> {
    let request = EndParticipantRequest { room: world.room.clone(), participant_id: "a".into() };
    let request = world.timed(request);
    world.media.end_participant(request).await.map_err(|status| anyhow!("EndParticipant: {}", told(&status)))?;
    world.pass(Duration::from_millis(300)).await?;
    let before = world.frames("b", CAMERA);
    world.pass(OWN_OFFER).await?;
    let more = world.frames("b", CAMERA) - before;
    ensure!(more == 0, "{more} frames of its camera came after its end");
    let camera = track(CAMERA, TrackKind::Video, TrackSource::Camera);
    refused("PutTrack", world.announce("a", camera).await, Code::NotFound)
}

pub(super) async fn end_room(world: &mut World) -> Result<()> {
    let request = world.timed(EndMediaRoomRequest { room: world.room.clone() });
    world.media.end_room(request).await.map_err(|status| anyhow!("EndRoom: {}", told(&status)))?;
    let camera = track(OTHER_CAMERA, TrackKind::Video, TrackSource::Camera);
    refused("PutTrack", world.announce("b", camera).await, Code::NotFound)
}
