//! What happened, past tense, one enum. Telemetry decides in one exhaustive match what becomes of each.
//!
//! Built by the core and by `io`; knows nothing of metrics, logs or spans.

use std::{net::IpAddr, time::Duration};

use crate::{
    ids::{ConnectionId, Identity, RoomId, SessionId},
    protocol::{Code, OpKind},
};

/// How a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done.
    Ok,
    /// Refused, with the code that the client got.
    Refused(Code),
}

/// Which part of a drain the router is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DrainPhase {
    /// Not draining.
    Serving,
    /// Not ready, no new sessions; advice goes out over the drain window.
    Advising,
    /// The window is over: the sessions that are left are closed with the reconnect code.
    Closing,
    /// Nothing is left.
    Drained,
}

/// A fact about this router.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A signal was carried out or refused.
    SignalHandled {
        /// Its kind.
        op: OpKind,
        /// How it ended.
        outcome: Outcome,
        /// From the frame's arrival to the end of its handling.
        took: Duration,
    },
    /// Pushes were handed to sockets, counted once a flush.
    Delivered {
        /// How many.
        pushes: u32,
    },
    /// A session began.
    SessionOpened {
        /// Its id.
        session: SessionId,
        /// Who.
        identity: Identity,
        /// Where.
        room: RoomId,
        /// On which connection.
        connection: ConnectionId,
    },
    /// A dropped session came back.
    SessionResumed {
        /// Its id.
        session: SessionId,
        /// Whether all that was missed could be given.
        recovered: bool,
    },
    /// A session lost its connection and lingers.
    SessionDropped {
        /// Its id.
        session: SessionId,
        /// Why the connection ended.
        reason: Code,
    },
    /// A session ended for good.
    SessionClosed {
        /// Its id.
        session: SessionId,
        /// Why.
        reason: Code,
    },
    /// A room came to be.
    RoomCreated {
        /// Its name.
        room: RoomId,
    },
    /// A room ended.
    RoomClosed {
        /// Its name.
        room: RoomId,
        /// Why.
        reason: Code,
    },
    /// A bounded log or buffer let go of its oldest entry.
    PushDiscarded {
        /// Whose: `held`, `history`, `replies`.
        buffer: &'static str,
    },
    /// A connection was accepted.
    ConnectionOpened {
        /// `websocket`, `grpc`, `http`.
        transport: &'static str,
    },
    /// A connection of a client ended.
    ConnectionClosed {
        /// `websocket`, `grpc`, `http`.
        transport: &'static str,
        /// Why.
        reason: Code,
    },
    /// A connection or a request was refused before it reached a room.
    Shed {
        /// Why.
        code: Code,
        /// The client's address.
        peer_ip: Option<IpAddr>,
    },
    /// An admin changed something.
    AdminCalled {
        /// The call's name (`delete_room`).
        call: &'static str,
        /// The API key of its token.
        key: String,
        /// The room concerned.
        room: Option<String>,
        /// How it ended.
        outcome: Outcome,
    },
    /// The drain went on to its next phase.
    DrainAdvanced {
        /// The phase that begins.
        phase: DrainPhase,
    },
    /// Keys were fetched, or could not be.
    KeysRefreshed {
        /// `jwks`, `oidc`.
        source: &'static str,
        /// Keys now held; absent: the fetch failed and the old ones stay.
        keys: Option<usize>,
    },
    /// A token could not be introspected for want of the endpoint.
    IntrospectionFailed,
    /// Certificates were taken up again, or could not be.
    CertificatesReloaded {
        /// Whether the new ones are in force.
        ok: bool,
    },
}
