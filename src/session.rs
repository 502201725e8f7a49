//! One session's state: its resume position, directed pushes, replies.

use crate::ids::{RoomId, SessionId};

/// What a resume token says, once its signature has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeClaims {
    /// The session.
    pub session: SessionId,
    /// Its room, which says who owns it.
    pub room: RoomId,
    /// The API key and identity it was issued to.
    pub key: String,
    /// The identity.
    pub identity: String,
    /// How many resumes came before it; a token is spent when a later one has been used.
    pub generation: u64,
}
