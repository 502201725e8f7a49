//! The ops that are one call to the sender's room, and `ping`.

use super::{HallKey, Now, Router};
use crate::{
    ids::Seq,
    protocol::{
        Code, Refusal,
        v1::{self},
    },
    room::Seat,
    session::Reply,
};

impl Router {
    /// The room of a seat that is taken.
    pub(super) fn hall_of(&self, seat: Seat) -> Result<HallKey, Refusal> {
        self.sessions.get(&seat).map(|seated| seated.hall).ok_or_else(|| Code::NotJoined.refuse())
    }

    pub(super) fn publish(&mut self, seat: Seat, publish: v1::Publish, now: Now) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        let id = self.new_id("TR_").into();
        let (room, mut turn) = self.room_turn(hall, now.at);
        let (offset, track) = room.publish(seat, id, publish, &mut turn)?;
        self.settle(hall, now.at);
        self.put_track((hall, seat), track.clone(), now.at);
        Ok(Reply::Ok { offset: Some(offset.0), track: Some(Box::new(track)) })
    }

    pub(super) fn unpublish(&mut self, seat: Seat, unpublish: v1::Unpublish, now: Now) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        let (room, mut turn) = self.room_turn(hall, now.at);
        let offset = room.unpublish(seat, &unpublish.track, &mut turn)?;
        self.settle(hall, now.at);
        self.end_track(hall, unpublish.track, now.at);
        Ok(Reply::done(Some(offset)))
    }

    pub(super) fn mute(&mut self, seat: Seat, mute: &v1::Mute, now: Now) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        let (room, mut turn) = self.room_turn(hall, now.at);
        let offset = room.mute(seat, mute, &mut turn)?;
        self.settle(hall, now.at);
        if offset.is_some() {
            self.tell_mute(hall, &mute.track, now.at);
        }
        Ok(Reply::done(offset))
    }

    pub(super) fn subscribe(&mut self, seat: Seat, subscribe: v1::Subscribe, now: Now) -> Result<Reply, Refusal> {
        let hall = self.hall_of(seat)?;
        let (room, mut turn) = self.room_turn(hall, now.at);
        let offset = room.subscribe(seat, &subscribe, &mut turn)?;
        self.settle(hall, now.at);
        if offset.is_some() {
            self.tell_subscription((hall, seat), subscribe, now.at);
        }
        Ok(Reply::done(offset))
    }

    /// Acknowledges directed pushes; always answered, since an answer is what a ping is for.
    pub(super) fn ping(&mut self, seat: Seat, ping: &v1::Ping, now: Now) -> Reply {
        if let Some(seated) = self.sessions.get_mut(&seat) {
            seated.session.held.acknowledge(Seq(ping.seq));
        }
        Reply::Pong(v1::Pong { timestamp_ms: ping.timestamp_ms, server_time_ms: now.unix_ms })
    }
}
