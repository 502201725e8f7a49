//! One session's state: which connection it is on, its resume position, directed pushes, replies.
//!
//! Knows nothing of rooms or of what a token grants: a session is somebody who can be written to, and who may
//! come back.

mod came;
mod held;
mod kept;
mod replies;
mod resume_token;
#[cfg(test)]
mod tests;

pub use self::{
    came::{Came, Lives},
    resume_token::ResumeTokens,
};
use std::sync::Arc;

pub(crate) use self::{
    held::{Directed, Held, HoldBounds},
    replies::{Replies, Reply},
};
use crate::{
    event::Labels,
    ids::{ConnectionId, Identity, RoomId, SessionId},
    protocol::{Code, Refusal},
};

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
    /// Other lives of the room that its bearer has seen.
    pub lives: Lives,
}

/// One client connection, its resumes included.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// Shared by the sessions of the same key.
    pub(crate) key: Arc<str>,
    pub(crate) identity: Identity,
    /// What its join said of the client, for telemetry.
    pub(crate) labels: Labels,
    /// Absent while it lingers.
    connection: Option<ConnectionId>,
    /// Of the highest resume token that was used,
    generation: u64,
    /// and of the newest that was handed out here.
    minted: u64,
    /// It was another router's, and nobody came back to it yet: what it used and saw last may not have been kept.
    restored: bool,
    /// Where its client came from.
    pub(crate) lives: Lives,
    pub(crate) held: Held,
    pub(crate) replies: Replies,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        key: Arc<str>,
        identity: Identity,
        (connection, labels): (ConnectionId, Labels),
    ) -> Self {
        Self {
            id,
            key,
            identity,
            labels,
            connection: Some(connection),
            generation: 0,
            minted: 0,
            restored: false,
            lives: Lives::default(),
            held: Held::default(),
            replies: Replies::default(),
        }
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// The connection is gone; what is pushed from now on waits.
    pub(crate) fn detach(&mut self) {
        self.connection = None;
        self.held.recipient_left();
    }

    /// It is on this connection now; answers the one it was on until now.
    pub(crate) fn attach(&mut self, connection: ConnectionId) -> Option<ConnectionId> {
        self.held.recipient_returned();
        self.connection.replace(connection)
    }

    /// Checks a resume token against what it was issued for, and marks it as used.
    ///
    /// # Errors
    /// `resume_token_invalid` of somebody else, `resume_token_spent` once a successor was used.
    pub(crate) fn use_token(&mut self, claims: &ResumeClaims) -> Result<(), Refusal> {
        let known = claims.session == self.id && *claims.key == *self.key && claims.identity == self.identity.as_str();
        if !known {
            return Err(Code::ResumeTokenInvalid.refuse());
        }
        // one that was not handed out here: another router had the room for a while, as one that is taken for lost has it taken from it,
        // and the session went on there
        self.restored |= claims.generation > self.minted;
        if claims.generation < self.generation {
            return Err(Code::ResumeTokenSpent.refuse());
        }
        self.generation = claims.generation;
        // whoever resumes is answered with the next one
        self.minted = self.next_generation();
        Ok(())
    }

    /// Of the token that answers a resume.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation + 1
    }

    /// What a token of this generation says.
    pub(crate) fn claims(&self, room: RoomId, generation: u64) -> ResumeClaims {
        ResumeClaims {
            session: self.id.clone(),
            room,
            key: self.key.to_string(),
            identity: self.identity.as_str().to_owned(),
            generation,
            lives: self.lives.clone(),
        }
    }
}
