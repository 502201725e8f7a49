//! The table of operations. Routes are built from it, tokens are judged by it, and the OpenAPI document is held
//! against it by a test.

use http::Method;

/// One operation of the admin API, the same over both transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    CreateRoom,
    ListRooms,
    GetRoom,
    DeleteRoom,
    UpdateRoom,
    ListParticipants,
    GetParticipant,
    RemoveParticipant,
    UpdateParticipant,
    MuteTrack,
    SendData,
    GetUser,
}

/// What a token must grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// `roomCreate`.
    RoomCreate,
    /// `roomList`.
    RoomList,
    /// `roomAdmin` of the room.
    RoomAdmin,
    /// `roomCreate`, or `roomAdmin` of the room.
    CreateOrAdmin,
    /// `roomAdmin` of all rooms.
    AdminOfAll,
}

/// What the HTTP paths of rooms begin with,
pub(super) const ROOMS: &str = "/v1/rooms";
/// and those of users.
pub(super) const USERS: &str = "/v1/users";

impl Operation {
    /// All of them, in the IDL's order.
    pub(super) const ALL: [Self; 12] = [
        Self::CreateRoom,
        Self::ListRooms,
        Self::GetRoom,
        Self::DeleteRoom,
        Self::UpdateRoom,
        Self::ListParticipants,
        Self::GetParticipant,
        Self::RemoveParticipant,
        Self::UpdateParticipant,
        Self::MuteTrack,
        Self::SendData,
        Self::GetUser,
    ];

    /// Its row: the name in events and in the document, HTTP method and path below its [`prefix`](Self::prefix), and the grant.
    fn row(self) -> (&'static str, Method, &'static str, Needs) {
        use Needs::{AdminOfAll, CreateOrAdmin, RoomAdmin, RoomCreate, RoomList};
        match self {
            Self::CreateRoom => ("create_room", Method::POST, "/", RoomCreate),
            Self::ListRooms => ("list_rooms", Method::GET, "/", RoomList),
            Self::GetRoom => ("get_room", Method::GET, "/{room}", RoomAdmin),
            Self::DeleteRoom => ("delete_room", Method::DELETE, "/{room}", CreateOrAdmin),
            Self::UpdateRoom => ("update_room", Method::PATCH, "/{room}", RoomAdmin),
            Self::ListParticipants => ("list_participants", Method::GET, "/{room}/participants", RoomAdmin),
            Self::GetParticipant => ("get_participant", Method::GET, ONE, RoomAdmin),
            Self::RemoveParticipant => ("remove_participant", Method::DELETE, ONE, RoomAdmin),
            Self::UpdateParticipant => ("update_participant", Method::PATCH, ONE, RoomAdmin),
            Self::MuteTrack => ("mute_track", Method::POST, MUTE, RoomAdmin),
            Self::SendData => ("send_data", Method::POST, "/{room}/send", RoomAdmin),
            Self::GetUser => ("get_user", Method::GET, "/{identity}", AdminOfAll),
        }
    }

    /// Its name in events, metrics and the document.
    pub(super) fn name(self) -> &'static str {
        self.row().0
    }

    /// Its HTTP method.
    pub(super) fn method(self) -> Method {
        self.row().1
    }

    /// What its path begins with.
    pub(super) fn prefix(self) -> &'static str {
        if self == Self::GetUser { USERS } else { ROOMS }
    }

    /// Its path below its prefix; `/` is the prefix itself.
    pub(super) fn path_below(self) -> &'static str {
        self.row().2
    }

    /// What a token must grant.
    pub(super) fn needs(self) -> Needs {
        self.row().3
    }

    /// Whether it changes something.
    pub(super) fn changes(self) -> bool {
        self.method() != Method::GET
    }
}

const ONE: &str = "/{room}/participants/{identity}";
const MUTE: &str = "/{room}/participants/{identity}/tracks/{track}/mute";
