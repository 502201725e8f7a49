//! Rooms, what bounds them, and the servers that their members find a path with.

use std::path::PathBuf;

use crate::{
    auth::settings::Secret,
    config::{
        schema::section,
        values::{List, Seconds, Text},
    },
    protocol,
};

section! {
    /// Rooms and what they remember.
    pub struct Rooms {
        keys {
            /// Make a room when the first participant joins it; else only tokens with `roomCreate` and the admin API do.
            /// On: most applications name rooms and never create them.
            auto_create: bool = true, (), live;
            /// How long an empty room stays.
            /// Five minutes keep metadata over a break, and forget abandoned rooms.
            empty_timeout_seconds: Seconds = Seconds(300), 0..=604_800, live;
            /// Participants of a room, dropped ones that may come back included, unless its creation says otherwise.
            /// Above it a fan-out to all is a load of its own kind.
            participants_max: u32 = 1000, 1..=100_000, live;
            /// Most events that a room keeps for those who come back.
            /// What a busy room of fifty says in the 20 s of a network change, and some.
            history_events: usize = 1000, 0..=1_000_000, live;
            /// How long it keeps them.
            /// Three times what a dropped participant may be away.
            history_seconds: Seconds = Seconds(60), 0..=86_400, live;
            /// Most bytes of events that it keeps.
            /// Bounds a room of large messages; metadata and presence alone stay far below.
            history_bytes: usize = 4 << 20, 0..=1 << 30, live;
            /// How long a dropped participant keeps its place.
            /// A change of network takes 2 to 15 s.
            linger_seconds: Seconds = Seconds(20), 0..=3600, live;
            /// Most directed pushes that a session keeps until they are acknowledged.
            /// Calls set up with ten others at once, candidates included.
            held_pushes: usize = 256, 1..=65_536, live;
            /// Most bytes of pushes that it keeps.
            /// 256 pushes of 4 KiB, the size of an offer without much in it.
            held_bytes: usize = 1 << 20, 1024..=1 << 30, live;
            /// Latest replies that a session keeps, so that a repeated request is answered and not redone.
            /// More than a client has under way when its connection drops.
            replies: usize = 64, 1..=4096, live;
            /// Participants in one part of a snapshot; larger rooms come in parts.
            /// About 64 KiB a part with usual metadata.
            snapshot_part: usize = 256, 1..=10_000, live;
        }
    }
}

section! {
    /// Bounds on what one client may say (bytes of UTF-8, counts of items) and on what the router holds.
    pub struct Limits {
        keys {
            /// One client frame.
            /// Offers of a call with many tracks have 10 to 30 KiB.
            frame_bytes: usize = protocol::Limits::default().frame_bytes, 1024..=16 << 20, live;
            /// A room's name.
            room_name_bytes: usize = protocol::Limits::default().room_name_bytes, 1..=4096, live;
            /// An identity, a display name, a track's name, cid, codec or rid, a region, a client's sdk, version or device.
            name_bytes: usize = protocol::Limits::default().name_bytes, 1..=4096, live;
            /// Room or participant metadata; everyone in the room is sent it.
            metadata_bytes: usize = protocol::Limits::default().metadata_bytes, 0..=1 << 20, live;
            /// Attributes of a participant.
            attributes: usize = protocol::Limits::default().attributes, 0..=1024, live;
            /// Names and values of a participant's attributes together.
            attributes_bytes: usize = protocol::Limits::default().attributes_bytes, 0..=1 << 20, live;
            /// Tracks that one participant publishes.
            /// Camera, microphone, screen and its sound, and room for conference hardware.
            tracks: usize = protocol::Limits::default().tracks, 0..=1024, live;
            /// Layers of a track; simulcast has three, SVC up to eight.
            layers: usize = protocol::Limits::default().layers, 0..=64, live;
            /// Identities in `send.to`, and tracks in `subscribe.tracks`.
            recipients: usize = protocol::Limits::default().recipients, 1..=10_000, live;
            /// A message's topic.
            topic_bytes: usize = protocol::Limits::default().topic_bytes, 0..=4096, live;
            /// Nesting of `data`.
            /// Bounds the stack of whoever reads it.
            json_depth: usize = protocol::Limits::default().json_depth, 1..=128, live;
            /// Connections of this process; past it new ones are refused.
            /// What 4 GiB hold at 12 KiB an idle session, with half of it left for traffic.
            connections: usize = 200_000, 1..=10_000_000, live;
            /// Connections of one client address (IPv6: of one /64).
            /// A large office behind one address stays below; one machine cannot take all.
            connections_per_address: usize = 1000, 1..=10_000_000, live;
            /// Connections that have not finished their PROXY header, TLS handshake or first request.
            /// Several times what 1,200 arrivals a second need; each may cost 20 KiB.
            handshakes: usize = 4096, 1..=1_000_000, live;
            /// Sessions of this process, dropped ones that may come back included.
            sessions: usize = 200_000, 1..=10_000_000, live;
            /// Sessions that one API key may hold.
            /// As many as there are: lower it when applications share a router.
            sessions_per_key: usize = 200_000, 1..=10_000_000, live;
            /// Rooms of this process.
            /// Half of limits.sessions: the smallest call has two.
            rooms: usize = 100_000, 1..=10_000_000, live;
            /// Bytes that may wait for one connection; a reader that is slower is closed.
            /// Seconds of a busy room's traffic, and not a snapshot (which counts apart).
            outbound_bytes: usize = 1 << 20, 16_384..=1 << 30, live;
            /// Inputs that may wait for one shard; who finds it full waits for signal.timeout_ms.
            /// About 20 ms of work.
            shard_inbox: usize = 8192, 64..=1_048_576;
            /// Most items on a page of the admin API.
            admin_page_max: usize = 1000, 1..=10_000, live;
        }
    }
}

section! {
    /// Servers that clients find a path with; all of them are told to each client that joins.
    pub struct Ice {
        keys {
            /// TURN servers that share ice.turn_secret with us (coturn `use-auth-secret`).
            /// Each session gets a credential of its own.
            turn_urls: Vec<String> = Vec::new(), List { count: 0..=32, each: TURN_URL }, live;
            /// The secret shared with them (coturn `static-auth-secret`).
            turn_secret: Option<Secret> = None, 1..=4096, live;
            /// The same, read from a file; its last line break does not count.
            turn_secret_file: Option<PathBuf> = None, (), live;
            /// How long such a credential is valid.
            /// A day outlasts any call; coturn asks for it again when an allocation is refreshed.
            turn_ttl_seconds: Seconds = Seconds(86_400), 60..=2_592_000, live;
        }
        sections {
            /// Servers told as they are: STUN, or TURN with a fixed password.
            servers: Vec<IceServer>;
        }
    }
}

section! {
    /// A STUN or TURN server.
    pub struct IceServer {
        keys {
            /// Its addresses, as `stun:stun.example.com:3478` or `turns:turn.example.com:443?transport=tcp`.
            urls: Vec<String> = Vec::new(), List { count: 0..=16, each: ICE_URL }, live;
            /// User name for TURN.
            username: String = String::new(), Text { allowed: "at most 512 bytes", test: |t| t.len() <= 512 }, live;
            /// Password for TURN.
            credential: Option<Secret> = None, 1..=512, live;
        }
    }
}

const ICE_URL: Text = Text {
    allowed: "stun:, stuns:, turn: or turns: and a host",
    test: |t| has_scheme(t, &["stun", "stuns", "turn", "turns"]),
};
const TURN_URL: Text = Text { allowed: "turn: or turns: and a host", test: |t| has_scheme(t, &["turn", "turns"]) };

fn has_scheme(url: &str, schemes: &[&str]) -> bool {
    url.len() <= 512 && url.split_once(':').is_some_and(|(scheme, host)| schemes.contains(&scheme) && is_host(host))
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && !host.starts_with('/') && !host.contains(['@', ',', ' '])
}
