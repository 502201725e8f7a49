//! The one table of codes: error replies, close codes, HTTP and gRPC statuses, metric reasons.
//!
//! A number below 4500 means that the client may try again (reconnect), from 4500 on that it must not.

use std::borrow::Cow;

use tonic::Code as Grpc;

use super::v1;

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client, or the application that made its token.
    Client,
    /// This router, or the limits that its operator set.
    Router,
    /// A dependency of the router.
    Dependency,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal $number:literal $side:ident $grpc:ident $http:literal $text:literal;)*) => {
        /// Why something was refused or closed. `name` is the wire's and the metrics' word for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in table order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name: `error.code`, `leave.code`, and the metrics' `reason`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The WebSocket close code (RFC 6455 7.4.2, private use).
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// What it means, for people.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The status of a gRPC stream or call that ends with it.
            pub const fn grpc(self) -> Grpc {
                match self { $(Self::$variant => Grpc::$grpc,)* }
            }

            /// The status of an HTTP request that is refused with it.
            pub const fn http(self) -> u16 {
                match self { $(Self::$variant => $http,)* }
            }

            /// Whose fault it is.
            pub const fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side,)* }
            }
        }
    };
}

codes! {
    /// The router is about to stop; another one takes the session.
    Draining "draining" 4000 Router Unavailable 503 "the router is draining";
    /// More outbound bytes waited than `limits.outbound_bytes`.
    SlowReader "slow_reader" 4001 Client ResourceExhausted 429 "the session reads too slowly";
    /// No answer to pings.
    Idle "idle" 4002 Client DeadlineExceeded 408 "nothing was heard from the client";
    /// A queue of this router is full.
    Overloaded "overloaded" 4003 Router Unavailable 503 "the router is overloaded";
    /// A defect of ours.
    Internal "internal" 4004 Router Internal 500 "internal error";
    /// A limit on connections, sessions or rooms is reached.
    RouterFull "router_full" 4005 Router ResourceExhausted 503 "the router is full";
    /// The transport ended without a close.
    ConnectionLost "connection_lost" 4006 Client Unavailable 499 "the connection was lost";
    /// No `join` or `resume` in time.
    FirstFrameTimeout "first_frame_timeout" 4007 Client DeadlineExceeded 408 "no join or resume arrived in time";
    /// The target is away and no more can be held for it.
    HoldFull "hold_full" 4008 Client ResourceExhausted 429 "the recipient is away and its held signals are at their limit";
    /// The deadline of the signal passed.
    DeadlineExceeded "deadline_exceeded" 4009 Router DeadlineExceeded 504 "the signal's deadline passed";
    /// No media node serves the room.
    NoMediaNode "no_media_node" 4010 Router Unavailable 503 "no media node serves this room";
    /// One address or key holds as many connections or sessions as it may.
    TooManyConnections "too_many_connections" 4011 Client ResourceExhausted 429 "too many connections";
    /// The identity provider could not be asked.
    AuthUnavailable "auth_unavailable" 4012 Dependency Unavailable 503 "the identity provider cannot be reached";
    /// The room has as many participants as it may.
    RoomFull "room_full" 4013 Client ResourceExhausted 429 "the room is full";
    /// The router has begun and cannot serve yet.
    NotReady "not_ready" 4014 Router Unavailable 503 "the router is not ready yet";
    /// One user, address or key sends or connects more often than it may; the message names the limit.
    RateLimited "rate_limited" 4015 Client ResourceExhausted 429 "more often than allowed";
    /// One user, address or key has more under way at once than it may; the message names the limit.
    TooManyAtOnce "too_many_at_once" 4016 Client ResourceExhausted 429 "more at once than allowed";
    /// Another router of the fleet has the room; the refusal says which.
    RoomElsewhere "room_elsewhere" 4017 Client FailedPrecondition 421 "another router has this room; connect to it";
    /// The room's media node cannot be called, or failed.
    MediaUnavailable "media_unavailable" 4020 Dependency Unavailable 503 "the room's media node cannot be reached";
    /// A bound of the room's media node is reached.
    MediaOverloaded "media_overloaded" 4021 Dependency ResourceExhausted 503 "the room's media node is overloaded";
    /// Whoever keeps rooms did not answer whether it has the one that a session is to be resumed in.
    RoomUnavailable "room_unavailable" 4022 Dependency Unavailable 503 "what is kept of the room cannot be reached";

    /// Not a frame of this protocol.
    BadRequest "bad_request" 4500 Client InvalidArgument 400 "bad request";
    /// A limit of the protocol is passed; the message names it.
    LimitExceeded "limit_exceeded" 4501 Client InvalidArgument 413 "a limit was exceeded";
    /// A text frame on a binary connection, or the reverse.
    WrongEncoding "wrong_encoding" 4502 Client InvalidArgument 400 "the first frame chose another encoding";
    /// No token, or one that cannot be read or verified.
    Unauthenticated "unauthenticated" 4503 Client Unauthenticated 401 "the token is missing or not valid";
    /// The token's time is over.
    TokenExpired "token_expired" 4504 Client Unauthenticated 401 "the token has expired";
    /// The token's time has not begun.
    TokenNotYetValid "token_not_yet_valid" 4505 Client Unauthenticated 401 "the token is not valid yet";
    /// The token does not allow it; the message names the grant.
    PermissionDenied "permission_denied" 4506 Client PermissionDenied 403 "the token does not allow this";
    /// The token is for another room.
    WrongRoom "wrong_room" 4507 Client PermissionDenied 403 "the token is for another room";
    /// The page's origin is not on the list.
    OriginRefused "origin_refused" 4508 Client PermissionDenied 403 "this origin is not allowed";
    /// No such room, and it may not be created.
    RoomNotFound "room_not_found" 4509 Client NotFound 404 "no such room";
    /// Nobody of that identity is in the room.
    ParticipantNotFound "participant_not_found" 4510 Client NotFound 404 "no such participant in the room";
    /// No such track.
    TrackNotFound "track_not_found" 4511 Client NotFound 404 "no such track in the room";
    /// An op before `join`.
    NotJoined "not_joined" 4512 Client FailedPrecondition 409 "join or resume first";
    /// A second `join`.
    AlreadyJoined "already_joined" 4513 Client AlreadyExists 409 "the session has joined already";
    /// A room or track of that name exists.
    AlreadyExists "already_exists" 4514 Client AlreadyExists 409 "it exists already";
    /// The session is over: join anew.
    SessionGone "session_gone" 4515 Client NotFound 410 "the session is gone; join anew";
    /// Not a resume token of ours, or another identity's.
    ResumeTokenInvalid "resume_token_invalid" 4516 Client Unauthenticated 401 "the resume token is not valid for this token";
    /// Its successor has been used, or a newer join replaced the session.
    ResumeTokenSpent "resume_token_spent" 4517 Client Unauthenticated 401 "the resume token is spent";
    /// The owner tried to undo an admin's mute.
    MutedByAdmin "muted_by_admin" 4518 Client PermissionDenied 403 "an admin muted this track; only an admin can unmute it";
    /// An admin tried to undo the owner's mute.
    MutedByOwner "muted_by_owner" 4519 Client PermissionDenied 403 "its owner muted this track; only the owner can unmute it";
    /// A newer join of the same identity took its place.
    Replaced "replaced" 4520 Client Aborted 409 "a newer join of this identity replaced the session";
    /// An admin removed the participant.
    Removed "removed" 4521 Client Aborted 403 "an admin removed the participant";
    /// An admin deleted the room.
    RoomDeleted "room_deleted" 4522 Client Aborted 410 "the room was deleted";
    /// The client said `leave`.
    Left "left" 4523 Client Cancelled 200 "the client left";
    /// The participant did not come back within its linger.
    LingeredOut "lingered_out" 4524 Client Aborted 410 "the participant did not come back in time";
    /// The request's headers did not arrive in time.
    HandshakeTimeout "handshake_timeout" 4525 Client DeadlineExceeded 408 "the handshake took too long";
    /// An HTTP path that serves nothing.
    PathNotFound "path_not_found" 4526 Client Unimplemented 404 "nothing is served at this path";
    /// An HTTP method that the path does not take.
    MethodNotAllowed "method_not_allowed" 4527 Client Unimplemented 405 "this path does not take this method";
}

impl Code {
    /// Whether a client that was closed or refused with it may try again.
    pub const fn reconnect(self) -> bool {
        self.number() < 4500
    }

    /// Whether it is a refusal on purpose, rather than an error: to protect the router or a bound of it, or because another
    /// router is to be asked.
    pub const fn is_shed(self) -> bool {
        matches!(
            self,
            Self::Draining
                | Self::SlowReader
                | Self::Overloaded
                | Self::RouterFull
                | Self::HoldFull
                | Self::TooManyConnections
                | Self::RoomFull
                | Self::RateLimited
                | Self::TooManyAtOnce
                | Self::RoomElsewhere
        )
    }

    /// The code of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code of that close number.
    pub fn by_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// A refusal with the table's own text.
    pub const fn refuse(self) -> Refusal {
        Refusal { code: self, message: Cow::Borrowed(self.text()), retry_after_ms: None, url: None }
    }

    /// A refusal that says more than the table: what was wrong and what is allowed.
    pub fn because(self, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { code: self, message: message.into(), retry_after_ms: None, url: None }
    }
}

/// The metadata of a gRPC status that says where to go instead.
pub const ELSEWHERE: &str = "signalbox-url";

/// A request that is not carried out, and why. Carries no secret and no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct Refusal {
    /// Its row of the table.
    pub code: Code,
    /// What was wrong and what was allowed.
    pub message: Cow<'static, str>,
    /// When to try again, in milliseconds; absent: not, or at once.
    pub retry_after_ms: Option<u64>,
    /// Where to go instead; absent: nowhere in particular.
    pub url: Option<Box<str>>,
}

impl Refusal {
    /// That router has the room; clients reach it there.
    pub fn elsewhere(router: &str, url: &str) -> Self {
        let message = format!("router `{router}` has this room; connect to {url}");
        Self { url: Some(url.into()), ..Code::RoomElsewhere.because(message) }
    }

    /// The same, to be tried again after that many milliseconds.
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// As it travels in an error reply.
    pub fn to_wire(&self) -> v1::Error {
        v1::Error {
            code: self.code.name().to_owned(),
            message: self.message.clone().into_owned(),
            retry_after_ms: self.retry_after_ms,
            url: self.url.as_deref().unwrap_or_default().to_owned(),
        }
    }

    /// As it ends a gRPC stream or call; when to try again is told as gRPC's own clients read it (gRFC A6), and where to go
    /// instead in [`ELSEWHERE`].
    pub fn to_status(&self) -> tonic::Status {
        let mut status = tonic::Status::new(self.code.grpc(), self.to_string());
        if let Some(after_ms) = self.retry_after_ms {
            status.metadata_mut().insert("grpc-retry-pushback-ms", after_ms.into());
        }
        if let Some(Ok(url)) = self.url.as_deref().map(str::parse) {
            status.metadata_mut().insert(ELSEWHERE, url);
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique_and_in_the_private_range() {
        for (i, a) in Code::ALL.iter().enumerate() {
            assert!((4000..5000).contains(&a.number()), "{a:?}");
            for b in &Code::ALL[i + 1..] {
                assert_ne!(a.name(), b.name());
                assert_ne!(a.number(), b.number());
            }
        }
    }

    #[test]
    fn a_code_is_found_by_its_name_and_number_and_by_nothing_else() {
        for code in Code::ALL {
            assert_eq!(Code::by_name(code.name()), Some(*code));
            assert_eq!(Code::by_number(code.number()), Some(*code));
        }
        assert_eq!(Code::by_name("no_such_code"), None);
        assert_eq!(Code::by_number(1000), None);
    }
}
