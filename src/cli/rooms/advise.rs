//! A refusal of the router in words that say what to do next.

use tonic::Status;

use crate::protocol::Code;

/// The error to end with. The router's messages begin with the name of their code.
pub(super) fn advised(status: &Status, room: Option<&str>) -> anyhow::Error {
    let (name, message) = status.message().split_once(": ").unwrap_or(("", status.message()));
    let message = if Code::by_name(name).is_some() { message } else { status.message() };
    match advice(status, Code::by_name(name), room) {
        Some(advice) => anyhow::anyhow!("{message}. {advice}"),
        None => anyhow::anyhow!("{message}"),
    }
}

fn advice(status: &Status, code: Option<Code>, room: Option<&str>) -> Option<String> {
    let room = room.unwrap_or("ROOM");
    Some(match code {
        Some(Code::Unauthenticated) => {
            "Give a key of that router (--key and --secret, or --key-file) or a token of it (--token-file)".to_owned()
        }
        Some(Code::TokenExpired | Code::TokenNotYetValid) => {
            "Give a fresh token, or a key (--key and --secret) to mint one; check both clocks".to_owned()
        }
        Some(Code::PermissionDenied) => {
            "A token with every grant: `signalbox token --admin --create --list`".to_owned()
        }
        Some(Code::WrongRoom) => format!("A token for it: `signalbox token --admin --room {room}`"),
        Some(Code::RoomNotFound) => "See `signalbox rooms list`".to_owned(),
        Some(Code::ParticipantNotFound) => format!("See `signalbox rooms participants {room}`"),
        Some(Code::TrackNotFound) => format!("See the ids in `signalbox rooms participant {room} IDENTITY`"),
        Some(Code::AlreadyExists) => format!("See `signalbox rooms get {room}`"),
        Some(code) if code.reconnect() => "Try again in a moment".to_owned(),
        None if status.code() == tonic::Code::Unimplemented => {
            "Is that the client port of a signalbox of this version?".to_owned()
        }
        None if status.code() == tonic::Code::Unavailable => "Is the router still up?".to_owned(),
        Some(_) | None => return None,
    })
}
