//! What a node takes at most, and why it refuses.

/// Bounds; passing one is `RESOURCE_EXHAUSTED` and names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms at a time.
    pub rooms: usize,
    /// Participants of one room.
    pub participants: usize,
    /// Tracks of one room.
    pub tracks: usize,
    /// Tracks that one participant chose or unchose by name.
    pub subscriptions: usize,
    /// Length of one SDP.
    pub sdp_bytes: usize,
    /// Candidates of one transport beside those in its SDP.
    pub candidates: usize,
}

impl Default for Limits {
    /// Far above what one small node can carry, far below what would hurt it.
    fn default() -> Self {
        Self {
            rooms: 1_000,
            participants: 100,
            tracks: 200,
            subscriptions: 1_000,
            sdp_bytes: 64 * 1024,
            candidates: 64,
        }
    }
}

impl Limits {
    /// Whether one more fits beside `present`.
    pub(super) fn room_for(limit: &'static str, present: usize, most: usize) -> Result<(), Refusal> {
        if present < most { Ok(()) } else { Err(Refusal::Exhausted { limit, found: present + 1, most }) }
    }
}

/// Why a call is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The router puts it anew and asks again.
    #[error("the {0} is unknown here")]
    Unknown(&'static str),
    /// What cannot be read. Never quotes it.
    #[error("{field}: {problem}")]
    Invalid {
        /// Of the message.
        field: &'static str,
        /// What is wrong, and what it should be.
        problem: String,
    },
    /// The participant's permissions do not allow it.
    #[error("the participant may not {0}")]
    Denied(&'static str),
    /// A bound of [`Limits`].
    #[error("{limit}: {found}, at most {most}")]
    Exhausted {
        /// Its name.
        limit: &'static str,
        /// What there would be.
        found: usize,
        /// What may be.
        most: usize,
    },
    /// The caller's deadline passed before its turn came.
    #[error("the deadline passed before the call's turn came")]
    Late,
    /// The node is about to end.
    #[error("the node is ending")]
    Ending,
}

impl Refusal {
    pub(super) fn invalid(field: &'static str, problem: impl ToString) -> Self {
        Self::Invalid { field, problem: problem.to_string() }
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Unknown(_) => tonic::Code::NotFound,
            Refusal::Invalid { .. } => tonic::Code::InvalidArgument,
            Refusal::Denied(_) => tonic::Code::PermissionDenied,
            Refusal::Exhausted { .. } => tonic::Code::ResourceExhausted,
            Refusal::Late => tonic::Code::DeadlineExceeded,
            Refusal::Ending => tonic::Code::Unavailable,
        };
        Self::new(code, refusal.to_string())
    }
}
