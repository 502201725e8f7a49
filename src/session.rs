//! One session's state: its resume position, directed pushes, replies.
//!
//! Knows nothing of rooms beyond their names, nor of sockets. The router owns one for each session.

mod held;
mod replies;
mod resume_token;

use std::time::Instant;

pub use held::{Held, HeldBounds, HeldPush, Kept};
pub use replies::Replies;
pub use resume_token::{ResumeClaims, ResumeTokens};

use crate::ids::{ConnectionId, Identity, ParticipantId, RoomId, SessionId};

/// See the module.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its room.
    pub room: RoomId,
    /// Its participant.
    pub participant: ParticipantId,
    /// Who it is.
    pub identity: Identity,
    /// The API key that its tokens come from.
    pub key: Box<str>,
    /// Absent while it lingers.
    pub connection: Option<ConnectionId>,
    /// The highest generation of a resume token that was used.
    pub generation: u64,
    /// When its token ends, Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// When it ends unless it resumes.
    pub linger_until: Option<Instant>,
    /// When its expiry is next looked at.
    pub expiry_check: Option<Instant>,
    /// Whether its end of validity was announced.
    pub noticed: bool,
    /// Directed pushes until they are acknowledged.
    pub held: Held,
    /// Latest replies.
    pub replies: Replies,
}

impl Session {
    /// What its next resume token says.
    pub fn next_claims(&self, first: bool) -> ResumeClaims {
        ResumeClaims {
            session: self.id.clone(),
            room: self.room.clone(),
            key: self.key.to_string(),
            identity: self.identity.to_string(),
            generation: if first { 0 } else { self.generation + 1 },
        }
    }
}
