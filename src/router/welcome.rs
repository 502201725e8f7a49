//! The frames that greet: `joined`, `resumed` and the snapshot in both.

use super::{HallKey, Now, Router, ice};
use crate::{
    event::Outcome,
    ids::ConnectionId,
    protocol::{
        FEATURES, PROTOCOL_VERSION,
        v1::{self, ServerFrame, server_frame::Body},
    },
    room::{Part, Seat},
};

use super::Output;

impl Router {
    /// The room as this participant sees it. The first part has all that is said once.
    pub(super) fn snapshot(&self, hall: HallKey, seat: Seat, resume_token: &str, now: Now) -> Vec<v1::Joined> {
        let room = &self.halls[hall].room;
        let Some(seated) = self.sessions.get(&seat) else { return Vec::new() };
        let parts = room.snapshot(seat, self.settings.snapshot_part);
        let last = parts.len() - 1;
        let blank = v1::Joined {
            session: seated.session.id.as_str().to_owned(),
            epoch: room.epoch().to_string(),
            offset: room.tip().0,
            seq: seated.session.held.last().0,
            ..v1::Joined::default()
        };
        let mut frames = Vec::with_capacity(parts.len());
        for (index, Part { participants, tracks }) in parts.into_iter().enumerate() {
            let mut joined = v1::Joined { participants, tracks, more: index < last, ..blank.clone() };
            if index == 0 {
                joined.resume_token = resume_token.to_owned();
                joined.room = Some(room.info());
                joined.you = room.member(seat).map(|member| member.to_wire());
                joined.ice_servers = ice::servers(&self.settings.ice, seated.session.identity.as_str(), now.unix_ms);
                joined.ping_seconds = self.settings.ping.as_secs() as u32;
                joined.linger_seconds = self.settings.linger.as_secs() as u32;
                joined.server = Some(self.server());
                joined.media = self.halls[hall].media.to_wire();
            }
            frames.push(joined);
        }
        frames
    }

    /// The token that answers: the first one, or the successor of the one that was used.
    pub(super) fn mint(&self, hall: HallKey, seat: Seat, generation: u64) -> String {
        let room = self.halls[hall].room.id().clone();
        self.sessions.get(&seat).map_or_else(String::new, |s| self.tokens.mint(&s.session.claims(room, generation)))
    }

    fn server(&self) -> v1::Server {
        v1::Server {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL_VERSION,
            features: FEATURES.iter().map(|feature| (*feature).to_owned()).collect(),
            region: self.settings.region.clone(),
        }
    }
}

/// The answer to an opening, in parts; none of them counts against the outbound bound, and the last one ends it.
pub(super) fn send_parts(to: ConnectionId, id: Option<u64>, parts: Vec<Body>, out: &mut Vec<Output>) {
    let last = parts.len().saturating_sub(1);
    for (place, body) in parts.into_iter().enumerate() {
        let ends = (place == last).then_some(Outcome::Ok);
        out.push(Output::Send { to, frame: Box::new(ServerFrame { id, body: Some(body) }), exempt: true, ends });
    }
}
