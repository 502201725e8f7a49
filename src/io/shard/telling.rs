//! What a shard tells: frames to connections, the ends of signals, events with what is known of their connection.

use std::time::Instant;

use super::Shard;
use crate::{
    event::{Event, Outcome, Signal, Stage},
    ids::ConnectionId,
    io::outbound::{Mark, Unsent},
    protocol::{Encoding, encode, v1::ServerFrame},
};

impl Shard {
    /// What happens to a session is told with all that is known of the connection that it got, or that it lost.
    pub(super) fn observe(&self, event: &Event, at: Instant) {
        let (session, outbound) = match event {
            Event::SessionOpened { session, .. } | Event::SessionResumed { session, .. } => (session, &self.attached),
            Event::SessionDropped { session, .. } | Event::SessionClosed { session, .. } => (session, &self.left),
            Event::RoomCreated { room } => {
                self.finder.changed(room, true);
                return self.telemetry.observe(event, at);
            }
            Event::RoomClosed { room, .. } => {
                self.finder.changed(room, false);
                return self.telemetry.observe(event, at);
            }
            _ => return self.telemetry.observe(event, at),
        };
        match outbound.as_ref().map(|outbound| outbound.origin()).filter(|origin| origin.session == Some(session)) {
            Some(origin) => self.telemetry.observe_from(event, &origin, at),
            None => self.telemetry.observe(event, at),
        }
    }

    pub(super) fn send(&mut self, to: ConnectionId, frame: &ServerFrame, exempt: bool, ends: Option<Outcome>) {
        let outbound = self.outbounds.get(&to);
        let bytes = outbound.map(|outbound| encode(outbound.encoding(), frame));
        let mark = match ends {
            Some(outcome) => self.answer(outcome),
            None if exempt => Mark::Unmeasured,
            None => self.hand.push_to(to),
        };
        let (Some(outbound), Some(bytes)) = (self.outbounds.get(&to), bytes) else {
            return self.gone(to, mark);
        };
        let pushed = if exempt { outbound.push_exempt(bytes, mark) } else { outbound.push(bytes, mark) };
        match pushed {
            Ok(()) => {}
            Err(Unsent::Closed(mark)) => self.gone(to, mark),
            Err(Unsent::Full(mark)) => {
                self.overflowed.push(to);
                self.gone(to, mark);
            }
        }
    }

    /// The mark of the frame that answers the signal at hand.
    pub(super) fn answer(&mut self, outcome: Outcome) -> Mark {
        match self.hand.signal.take() {
            Some((_, mut signal)) => {
                signal.timeline.end(Stage::Reply, Instant::now());
                Mark::Answer(signal, outcome)
            }
            None => Mark::Unmeasured,
        }
    }

    pub(super) fn end_unanswered(&mut self, outcome: Outcome, at: Instant) {
        let Some((connection, signal)) = self.hand.signal.take() else { return };
        self.signal_ended(connection, signal, outcome, at);
    }

    pub(super) fn signal_ended(&self, connection: ConnectionId, signal: Box<Signal>, outcome: Outcome, at: Instant) {
        let event = Event::SignalEnded { signal, outcome };
        match self.outbounds.get(&connection) {
            Some(outbound) => self.telemetry.observe_from(&event, &outbound.origin(), at),
            None => self.telemetry.observe(&event, at),
        }
    }

    /// A frame that will not reach its client.
    pub(super) fn gone(&self, to: ConnectionId, mark: Mark) {
        let Some(event) = mark.gone() else { return };
        let at = Instant::now();
        match self.outbounds.get(&to) {
            Some(outbound) => self.telemetry.observe_from(&event, &outbound.origin(), at),
            None => self.telemetry.observe(&event, at),
        }
    }

    /// Encodes once an encoding; every connection gets a reference to the same bytes. One encoding after the other, so that a link
    /// to another router gets the bytes of each in one go.
    pub(super) fn fan_out(&mut self, to: &[ConnectionId], frame: &ServerFrame) {
        let first = to.iter().find_map(|connection| self.outbounds.get(connection)).map(|outbound| outbound.encoding());
        let mut next = first;
        while let Some(encoding) = next {
            let other = self.fan_out_as(encoding, to, frame);
            next = other.filter(|_| first == Some(encoding));
        }
    }

    /// To those with that encoding; answers another one that somebody has.
    fn fan_out_as(&mut self, encoding: Encoding, to: &[ConnectionId], frame: &ServerFrame) -> Option<Encoding> {
        let (bytes, mut other) = (encode(encoding, frame), None);
        for connection in to {
            let Some(outbound) = self.outbounds.get(connection) else { continue };
            if outbound.encoding() != encoding {
                other = Some(outbound.encoding());
            } else if let Err(Unsent::Full(_)) = outbound.push(bytes.clone(), self.hand.push_to(*connection)) {
                self.overflowed.push(*connection);
            }
        }
        other
    }
}
