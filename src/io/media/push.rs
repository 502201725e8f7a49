//! What a node has to say to a participant: judged as if a client had said it, then handed to the room's shard.

use prost::Message as _;

use super::{Shared, line::Line};
use crate::{
    event::MediaFact,
    protocol::{Code, Encoding, Limits, Refusal, v1, validate},
};

/// Hands it on; one that cannot be used, or finds its shard full for too long, is dropped and told of. The stream waits
/// meanwhile, so a node that pushes faster than can be taken is held back.
pub(super) async fn hand_on(shared: &Shared, line: &Line, push: v1::MediaPush) {
    let checked = check(&push, &shared.settings.load().limits);
    let dropped = match checked {
        Ok(()) => shared.push(&line.id, push).await.err(),
        Err(refusal) => Some(refusal),
    };
    if let Some(refusal) = dropped {
        shared.observe(MediaFact::PushDropped { node: line.id.clone(), why: refusal.to_string() });
    }
}

/// The same checks as a client's `signal`; an offer of a node may be longer, for it is of all that is forwarded: its bound is
/// that of all messages of nodes.
fn check(push: &v1::MediaPush, limits: &Limits) -> Result<(), Refusal> {
    validate::room_name("room", &push.room, limits)?;
    validate::name("participant_id", &push.participant_id, limits)?;
    let signal = v1::Signal {
        offer: push.offer.as_ref().map(|offer| v1::SessionDescription { sdp: first(&offer.sdp), ice_restart: false }),
        candidate: push.candidate.clone(),
        end_of_candidates: push.end_of_candidates.clone(),
        ..v1::Signal::default()
    };
    let frame = v1::ClientFrame { op: Some(v1::client_frame::Op::Signal(signal)), ..v1::ClientFrame::default() };
    validate::validate(Encoding::Protobuf, &frame, limits)?;
    match push.encoded_len() {
        bytes if push.offer.is_none() && bytes > limits.frame_bytes => {
            Err(Code::LimitExceeded
                .because(format!("limits.frame_bytes: {bytes} bytes, at most {}", limits.frame_bytes)))
        }
        _ => Ok(()),
    }
}

/// Enough to see that there is something.
fn first(sdp: &str) -> String {
    sdp.chars().take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push() -> v1::MediaPush {
        v1::MediaPush {
            room: "r".into(),
            participant_id: "p".into(),
            offer: Some(v1::SessionDescription { sdp: "v=0".into(), ice_restart: false }),
            ..v1::MediaPush::default()
        }
    }

    fn checked(change: impl FnOnce(&mut v1::MediaPush)) -> Result<(), Code> {
        let mut push = push();
        change(&mut push);
        check(&push, &Limits::default()).map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_push_is_held_to_what_a_clients_signal_is_held_to() {
        assert_eq!(checked(|_| ()), Ok(()));
        assert_eq!(checked(|p| p.room.clear()), Err(Code::BadRequest));
        assert_eq!(checked(|p| p.participant_id = "\n".into()), Err(Code::BadRequest));
        assert_eq!(checked(|p| p.participant_id = "x".repeat(9_000)), Err(Code::LimitExceeded));
        assert_eq!(checked(|p| p.offer = None), Err(Code::BadRequest), "nothing in it");
        assert_eq!(checked(|p| p.offer = Some(v1::SessionDescription::default())), Err(Code::BadRequest));
        let both = |p: &mut v1::MediaPush| p.candidate = Some(v1::Candidate::default());
        assert_eq!(checked(both), Err(Code::BadRequest), "two things in it");
        let long = |p: &mut v1::MediaPush| {
            p.offer = None;
            p.candidate = Some(v1::Candidate { sdp_mid: Some("m".repeat(9_000)), ..v1::Candidate::default() });
        };
        assert_eq!(checked(long), Err(Code::LimitExceeded));
        let endless = |p: &mut v1::MediaPush| {
            p.offer = None;
            p.candidate = Some(v1::Candidate { candidate: "c".repeat(70_000), ..v1::Candidate::default() });
        };
        assert_eq!(checked(endless), Err(Code::LimitExceeded));
        let large = v1::SessionDescription { sdp: "v".repeat(70_000), ice_restart: false };
        assert_eq!(checked(|p| p.offer = Some(large)), Ok(()));
    }
}
