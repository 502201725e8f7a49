//! What a client needs to draw the room, in parts when it is large; and its ICE servers.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{Now, Router};
use crate::{
    ids::SessionId,
    protocol::{FEATURES, PROTOCOL_VERSION, v1},
    room::Participant,
};

impl Router {
    /// The parts of a session's view of its room; all but the last say `more`.
    pub(super) fn snapshot(&self, id: &SessionId, resume_token: String, now: Now) -> Vec<v1::Joined> {
        let Some(session) = self.sessions.get(id) else { return Vec::new() };
        let Some(room) = self.rooms.get(&session.room) else { return Vec::new() };
        let Some(you) = room.participant(&session.participant) else { return Vec::new() };
        let visible = |p: &&Participant| p.id != you.id && (!p.permissions.hidden || you.permissions.room_admin);
        let others: Vec<&Participant> = room.participants().iter().filter(visible).collect();
        let mut first = v1::Joined {
            session: id.to_string(),
            resume_token,
            room: Some(room.info()),
            epoch: room.epoch().to_string(),
            offset: room.tip().0,
            seq: session.held.last().0,
            you: Some(you.to_wire()),
            ice_servers: self.ice_servers(session.identity.as_str(), now),
            ping_seconds: u32::try_from(self.settings.ping.as_secs()).unwrap_or(u32::MAX),
            linger_seconds: u32::try_from(self.settings.linger.as_secs()).unwrap_or(u32::MAX),
            server: Some(v1::Server {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                protocol: PROTOCOL_VERSION,
                features: FEATURES.map(str::to_owned).to_vec(),
                region: self.settings.region.clone(),
            }),
            ..v1::Joined::default()
        };
        first.tracks.clone_from(&you.tracks);
        let mut parts = vec![first];
        for (place, chunk) in others.chunks(self.settings.snapshot_part.max(1)).enumerate() {
            if place > 0 {
                parts.push(v1::Joined::default());
            }
            let Some(part) = parts.last_mut() else { break };
            part.participants = chunk.iter().map(|p| p.to_wire()).collect();
            part.tracks.extend(chunk.iter().flat_map(|p| p.tracks.iter().cloned()));
        }
        let last = parts.len() - 1;
        parts[..last].iter_mut().for_each(|part| part.more = true);
        parts
    }

    fn ice_servers(&self, identity: &str, now: Now) -> Vec<v1::IceServer> {
        let ice = &self.settings.ice;
        let mut servers = ice.fixed.clone();
        if !ice.turn_urls.is_empty() {
            let username = format!("{}:{identity}", now.unix_ms / 1_000 + ice.turn_ttl.as_secs());
            let mac = Hmac::<Sha1>::new_from_slice(&ice.turn_secret).expect("HMAC takes a key of any length");
            let credential = STANDARD.encode(mac.chain_update(&username).finalize().into_bytes());
            servers.push(v1::IceServer { urls: ice.turn_urls.clone(), username, credential });
        }
        servers
    }
}
