//! What enters a router and what leaves it: the contract between the core and `io`.

use std::time::{Duration, Instant};

use super::{AnswerTicket, MediaCall, MediaOutcome, MediaTicket, Settings};
use crate::{
    auth::Grant,
    event::{Event, Labels, Outcome},
    fabric::{self, Kept},
    ids::{ConnectionId, Epoch, NodeId, RoomId, SessionId, Variant},
    placement::NodeFact,
    protocol::{
        Code, Refusal,
        v1::{self, ClientFrame, ServerFrame},
    },
    session::ResumeClaims,
};

/// The moment of an input: one clock read for both scales.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic, for durations and timers.
    pub at: Instant,
    /// Wall clock, Unix milliseconds, for what clients see and for token expiry.
    pub unix_ms: u64,
}

/// What the first frame of a connection asks for.
#[derive(Debug)]
pub enum Opening {
    /// Enter a room as a new session.
    Join(Box<v1::Join>),
    /// Come back; the resume token's signature has been checked, everything else has not.
    Resume {
        /// What the resume token says.
        claims: ResumeClaims,
        /// The frame.
        resume: v1::Resume,
    },
}

/// What enters the router.
#[derive(Debug)]
pub enum Input {
    /// The first frame of a connection, for a room of this router.
    Open {
        /// The connection.
        connection: ConnectionId,
        /// Its access token's grant, valid now.
        grant: Box<Grant>,
        /// The frame's `id`.
        id: Option<u64>,
        /// The frame.
        opening: Opening,
        /// What a join says of its client; a resumed session keeps what its join said.
        labels: Labels,
        /// The variant of the client, which becomes that of a room that nobody was in before.
        variant: Variant,
    },
    /// A later frame of a connection.
    Frame {
        /// The connection.
        connection: ConnectionId,
        /// The frame; validated against the limits.
        frame: Box<ClientFrame>,
        /// The verified grant of an `update`'s token.
        grant: Option<Box<Grant>>,
    },
    /// The connection is gone, without `leave`.
    Lost {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: Code,
    },
    /// A call of the admin API; its grant has been checked against the call.
    Admin {
        /// Finds the caller again.
        request: u64,
        /// Identity, else API key, of the caller: the `by` of what follows.
        by: String,
        /// The call.
        call: AdminCall,
    },
    /// The router drains: advise every session within the window, close what is left at its end.
    Drain {
        /// Length of the window.
        window: Duration,
    },
    /// Other settings, for what begins from now on. What was drawn at start stays: the seed, and who signs resumes.
    Configure(Box<Settings>),
    /// Something became known of a media node.
    Node(NodeFact),
    /// The outcome of a call to a media node that had a ticket: each has one, at its deadline at the latest.
    MediaReply(MediaOutcome),
    /// A media node says something to a participant of a room.
    MediaPush {
        /// The node: it has to be the room's.
        node: NodeId,
        /// What it says, unchecked.
        push: Box<v1::MediaPush>,
    },
    /// Another router of the fleet has a room that is here: it makes way.
    Elsewhere {
        /// The room.
        room: RoomId,
        /// Says where it is, to everybody who is in it.
        refusal: Refusal,
    },
    /// A room of this process that is not here was kept: it goes on here. One that is here does not become what was kept.
    Restore {
        /// The room.
        room: RoomId,
        /// As it was kept, under a fence that is this router's.
        kept: Box<Kept>,
    },
    /// What came of an [`Output::Keep`].
    Kept {
        /// The room,
        room: RoomId,
        /// in the life that asked.
        epoch: Epoch,
        /// The answer.
        answer: fabric::Answer,
    },
    /// Of a room that is kept, something that was said to be written does not stand, and never will.
    Unkept {
        /// The room.
        room: RoomId,
    },
    /// The deadline of an [`Output::Hold`] has come, and no [`Output::Release`]: its signal is at hand again.
    Late(AnswerTicket),
    /// The time of an [`Output::Wake`] has come.
    Tick,
}

/// Calls of the admin API on one router's rooms.
#[derive(Clone, Debug)]
pub enum AdminCall {
    /// Make a room; an existing one is `already_exists`.
    CreateRoom(v1::CreateRoomRequest),
    /// Rooms by name after the given one, `limit` at most.
    ListRooms {
        /// The last name of the page before; empty: from the first.
        after: String,
        /// At most that many.
        limit: usize,
    },
    /// One room.
    GetRoom(v1::GetRoomRequest),
    /// End a room and its sessions.
    DeleteRoom(v1::DeleteRoomRequest),
    /// Its metadata.
    UpdateRoom(v1::UpdateRoomRequest),
    /// Participants by identity after the given one, `limit` at most, hidden ones included.
    ListParticipants {
        /// The room.
        room: String,
        /// The last identity of the page before; empty: from the first.
        after: String,
        /// At most that many.
        limit: usize,
    },
    /// One participant.
    GetParticipant(v1::GetParticipantRequest),
    /// Remove it; its session is closed with `removed`.
    RemoveParticipant(v1::RemoveParticipantRequest),
    /// Name, metadata, attributes, permissions.
    UpdateParticipant(v1::UpdateParticipantRequest),
    /// Mute or unmute as an admin.
    MuteTrack(v1::MuteTrackRequest),
    /// A message to the room or to some.
    SendData(v1::SendDataRequest),
    /// A user's sessions, `limit` at most.
    GetUser {
        /// Who.
        identity: String,
        /// At most that many.
        limit: usize,
    },
}

impl AdminCall {
    /// The room that it is about; a list of rooms is about none, and a user about all.
    pub fn room(&self) -> Option<&str> {
        Some(match self {
            Self::ListRooms { .. } | Self::GetUser { .. } => return None,
            Self::CreateRoom(request) => &request.name,
            Self::GetRoom(request) => &request.room,
            Self::DeleteRoom(request) => &request.room,
            Self::UpdateRoom(request) => &request.room,
            Self::ListParticipants { room, .. } => room,
            Self::GetParticipant(request) => &request.room,
            Self::RemoveParticipant(request) => &request.room,
            Self::UpdateParticipant(request) => &request.room,
            Self::MuteTrack(request) => &request.room,
            Self::SendData(request) => &request.room,
        })
    }
}

/// What an admin call answers.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminReply {
    /// Of create, get and update.
    Room(v1::RoomInfo),
    /// One router's page, in name order.
    Rooms(Vec<v1::RoomInfo>),
    /// A page, in identity order.
    Participants(Vec<v1::ParticipantInfo>),
    /// Of get and update.
    Participant(Box<v1::ParticipantInfo>),
    /// Of mute.
    Track(v1::Track),
    /// Of send: the offset when it went to the room.
    Sent {
        /// Its place in the room's log.
        offset: Option<u64>,
    },
    /// Of one router, by room.
    User(Vec<v1::UserSession>),
    /// Of delete and remove.
    Done,
}

/// What leaves the router, to be carried out in order.
#[derive(Debug)]
pub enum Output {
    /// The connection now belongs to a session.
    Attach {
        /// The connection.
        connection: ConnectionId,
        /// The session.
        session: SessionId,
        /// Its room.
        room: RoomId,
        /// What its join said of the client.
        labels: Labels,
    },
    /// The opening was refused: the connection may try another first frame.
    Detach {
        /// The connection.
        connection: ConnectionId,
    },
    /// One frame to one connection.
    Send {
        /// The connection.
        to: ConnectionId,
        /// The frame.
        frame: Box<ServerFrame>,
        /// Snapshots and replays are bounded by themselves and do not count against the outbound bound.
        exempt: bool,
        /// The signal at hand ends so, with this frame.
        ends: Option<Outcome>,
    },
    /// The signal at hand has ended, and wants no answer.
    Ended(Outcome),
    /// One push to many; encoded once an encoding.
    Fanout {
        /// The connections.
        to: Vec<ConnectionId>,
        /// The push.
        frame: Box<ServerFrame>,
    },
    /// Say `leave`, then close.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        refusal: Refusal,
    },
    /// The answer to an admin call.
    AdminReply {
        /// Of which call.
        request: u64,
        /// The answer.
        reply: Result<AdminReply, Refusal>,
    },
    /// The signal at hand has not ended: it ends with the [`Input::MediaReply`] of this ticket, whose call follows or is
    /// under way.
    Awaits(MediaTicket),
    /// What is at hand, a signal or an admin call, has not ended: it ends after an [`Output::Release`] of this ticket, or with an
    /// [`Input::Late`] of it.
    Hold {
        /// The ticket.
        ticket: AnswerTicket,
        /// When it is late; for a signal counted as if it had only just arrived.
        by: Instant,
    },
    /// What was held under that ticket is at hand: what comes next ends it.
    Release(AnswerTicket),
    /// Call a media node. Calls of one participant in order, [`MediaCall::EndRoom`] after all others of the room.
    Media {
        /// The node.
        node: NodeId,
        /// The call.
        call: Box<MediaCall>,
        /// Set: the outcome comes back as [`Input::MediaReply`].
        ticket: Option<MediaTicket>,
        /// Later than that its answer is of no use; for a signal counted as if it had only just arrived.
        by: Instant,
    },
    /// Something to whoever keeps rooms. Asked of one room in order, each after the answer to the one before.
    Keep {
        /// The room,
        room: RoomId,
        /// in that life.
        epoch: Epoch,
        /// What. A claim and a write are answered by an [`Input::Kept`].
        ask: fabric::Ask,
    },
    /// Come back with [`Input::Tick`] no later than that; the newest one holds.
    Wake(Instant),
    /// Something happened.
    Observe(Event),
}
