//! What the router asks of a room's media node, and what comes back.

use crate::{
    ids::RoomId,
    protocol::{Refusal, v1},
};

/// A call to a media node. `Offer` alone has an answer that somebody waits for; the rest is desired state.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaCall {
    /// A participant, and what it may do.
    PutParticipant(v1::PutParticipantRequest),
    /// It is gone.
    EndParticipant(v1::EndParticipantRequest),
    /// What it may do from now on.
    SetPermissions(v1::SetPermissionsRequest),
    /// A track.
    PutTrack(v1::PutTrackRequest),
    /// It is gone.
    EndTrack(v1::EndTrackRequest),
    /// Whether it is muted.
    MuteTrack(v1::MuteMediaRequest),
    /// Who wants which tracks.
    Subscribe(v1::SubscribeMediaRequest),
    /// A participant's offer.
    Offer(v1::MediaOfferRequest),
    /// Its answer to the node's offer.
    Answer(v1::MediaAnswerRequest),
    /// Its candidate, or that there are no more.
    Candidate(v1::MediaCandidateRequest),
    /// The room is gone.
    EndRoom(v1::EndMediaRoomRequest),
}

impl MediaCall {
    /// The room that it is about.
    pub fn room(&self) -> &str {
        match self {
            Self::PutParticipant(call) => &call.room,
            Self::EndParticipant(call) => &call.room,
            Self::SetPermissions(call) => &call.room,
            Self::PutTrack(call) => &call.room,
            Self::EndTrack(call) => &call.room,
            Self::MuteTrack(call) => &call.room,
            Self::Subscribe(call) => &call.room,
            Self::Offer(call) => &call.room,
            Self::Answer(call) => &call.room,
            Self::Candidate(call) => &call.room,
            Self::EndRoom(call) => &call.room,
        }
    }
}

/// Finds who waits for a call's outcome; numbers are never used again in a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaTicket(pub u64);

/// How a call that somebody waits for ended.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaOutcome {
    /// Of which call.
    pub ticket: MediaTicket,
    /// The room's name: finds its router.
    pub room: RoomId,
    /// The node's answer to an offer, nothing for other calls, or why there is none.
    pub result: Result<Option<v1::SessionDescription>, Refusal>,
}
