//! Datagrams in and out, and media from publishers to subscribers.

use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{
    Event, IceConnectionState, Output as RtcOutput,
    media::{KeyframeRequestKind, Mid, Rid},
    rtp::RtpPacket,
    stats::{MediaEgressStats, MediaIngressStats},
};

use super::{
    Node, Output,
    link::{Incoming, Link},
};

/// Addresses that one client's packets may come from at a time: its networks, and its NATs' new ideas.
const ADDRESSES_MAX: usize = 8;

/// The least time between two turns of one link.
const TURN: Duration = Duration::from_millis(1);

impl Node {
    /// A datagram came in.
    pub fn receive(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.totals.bytes += bytes.len() as u64;
        let Some(key) = self.link_of(from, bytes, now) else { return };
        let to = self.announced;
        if self.links[key].receive(from, to, bytes, now) {
            self.drain(key, now);
        } else {
            self.close_broken(key, now);
        }
    }

    /// Time passed.
    pub fn pass_time(&mut self, now: Instant) {
        self.sweep(now);
        while let Some((at, key)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, key));
            let Some(link) = self.links.get_mut(key) else { continue };
            link.wake = None;
            if link.pass_time(now).is_err() {
                self.close_broken(key, now);
                continue;
            }
            self.due(key, now);
            self.due_keyframes(key, now);
            self.drain(key, now);
        }
    }

    /// Whose it is: STUN says it by name (RFC 8445 7.2.2), the rest by where it comes from.
    fn link_of(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> Option<usize> {
        let named = user_name(bytes).and_then(|name| self.by_ufrag.get(name.split(':').next()?)).copied();
        let known = self.by_address.get(&from).copied();
        let (key, fresh) = match named {
            Some(named) => (named, known != Some(named)),
            None => (known?, false),
        };
        let link = self.links.get_mut(key)?;
        if !link.accepts(from, self.announced, bytes, now) {
            return None;
        }
        if fresh {
            link.addresses.push_back(from);
            let oldest = (link.addresses.len() > ADDRESSES_MAX).then(|| link.addresses.pop_front()).flatten();
            if let Some(oldest) = oldest.filter(|oldest| self.by_address.get(oldest) == Some(&key)) {
                self.by_address.remove(&oldest);
            }
            self.by_address.insert(from, key);
        }
        Some(key)
    }

    /// Takes everything out of a link, and what that brings about out of the others.
    pub(super) fn drain(&mut self, key: usize, now: Instant) {
        let mut waiting = VecDeque::from([key]);
        while let Some(key) = waiting.pop_front() {
            let mut packets = VecDeque::new();
            if !self.poll(key, now, &mut packets) {
                continue;
            }
            for packet in packets {
                self.forward(key, &packet, now, &mut waiting);
            }
            self.rest(key);
        }
    }

    /// Whether the link is still there.
    fn poll(&mut self, key: usize, now: Instant, packets: &mut VecDeque<RtpPacket>) -> bool {
        loop {
            let Some(link) = self.links.get_mut(key) else { return false };
            match link.rtc.poll_output() {
                Ok(RtcOutput::Timeout(at)) => {
                    // never at once again: the caller has given it its time
                    link.wake_by(at.max(now + TURN), &mut self.wakes, key);
                    return true;
                }
                Ok(RtcOutput::Transmit(transmit)) => {
                    self.totals.bytes += transmit.contents.len() as u64;
                    self.outputs
                        .push_back(Output::Send { to: transmit.destination, bytes: transmit.contents.to_vec() });
                }
                Ok(RtcOutput::Event(Event::RtpPacket(packet))) => packets.push_back(packet),
                Ok(RtcOutput::Event(Event::Closed)) | Err(_) => {
                    self.close_broken(key, now);
                    return false;
                }
                Ok(RtcOutput::Event(event)) => self.happened(key, event, now),
            }
        }
    }

    fn happened(&mut self, key: usize, event: Event, now: Instant) {
        let link = &mut self.links[key];
        match event {
            Event::KeyframeRequest(request) => {
                let forward = link.forwards.iter().find(|forward| forward.mid == Some(request.mid));
                if let Some((from, mid)) = forward.map(|forward| forward.from) {
                    self.want_keyframe(from, mid, request.kind, now);
                }
            }
            Event::StreamPaused(stream) => {
                let Some(rid) = stream.rid.filter(|_| stream.paused) else { return };
                let changed = link.published(stream.mid).is_some_and(|published| published.layers.pauses(rid));
                if changed {
                    self.want_keyframe(key, stream.mid, KeyframeRequestKind::Pli, now);
                }
            }
            Event::MediaIngressStats(MediaIngressStats { mid, rid, packets, nacks, loss, .. }) => {
                let fresh = link.told_of((mid, rid, false), [packets, nacks]);
                self.count(fresh, loss);
            }
            Event::MediaEgressStats(MediaEgressStats { mid, rid, packets, nacks, loss, .. }) => {
                let fresh = link.told_of((mid, rid, true), [packets, nacks]);
                self.count(fresh, loss);
            }
            Event::Connected => {
                tracing::debug!(
                    room = link.room.as_str(),
                    participant = link.participant.as_str(),
                    "transport connected"
                );
            }
            Event::IceConnectionStateChange(state) if state != IceConnectionState::Disconnected => {
                link.silent_since = None;
            }
            Event::IceConnectionStateChange(_) => {
                link.silent_since = Some(now);
                tracing::debug!(room = link.room.as_str(), participant = link.participant.as_str(), "transport silent");
            }
            _ => {}
        }
    }

    /// So many packets came or went, and of all that should have, `loss` (0 to 1) did not. That is told after repair: what
    /// had to be asked for again was lost all the same.
    fn count(&mut self, [packets, nacks]: [u64; 2], loss: Option<f32>) {
        let loss = f64::from(loss.unwrap_or(0.0)).clamp(0.0, 1.0);
        self.totals.packets += packets as f64;
        self.totals.lost += (packets as f64 * loss).max(nacks.min(packets) as f64);
    }

    fn forward(&mut self, key: usize, packet: &RtpPacket, now: Instant, waiting: &mut VecDeque<usize>) {
        let Some(link) = self.links.get_mut(key) else { return };
        let Some((mid, layer)) = link.place_of(packet) else { return };
        let params = link.rtc.codec_config().find(|params| params.pt() == packet.header.payload_type).copied();
        let Some(params) = params else { return };
        let Some(published) = link.published(mid).filter(|published| !published.muted) else { return };
        let switched = layer.is_some_and(|layer| published.layers.sends(layer));
        if layer.is_some() && layer != published.layers.chosen() {
            return;
        }
        let (number, outs) = (published.number, published.outs.clone());
        if switched {
            self.want_keyframe(key, mid, KeyframeRequestKind::Pli, now);
        }
        let media = Incoming { packet, params: &params };
        for to in outs {
            let Some(link) = self.links.get_mut(to) else { continue };
            // str0m sends what was written when time moves on
            if link.forward(number, &media, now) && link.pass_time(now).is_ok() && !waiting.contains(&to) {
                waiting.push_back(to);
            }
        }
    }

    /// Somebody needs a keyframe of what that link publishes there.
    pub(super) fn want_keyframe(&mut self, key: usize, mid: Mid, kind: KeyframeRequestKind, now: Instant) {
        let Some(link) = self.links.get_mut(key) else { return };
        if link.want_keyframe(mid, kind, now) && link.pass_time(now).is_ok() {
            link.wake_by(now, &mut self.wakes, key);
        }
        self.rest(key);
    }

    fn due_keyframes(&mut self, key: usize, now: Instant) {
        let Some(link) = self.links.get(key) else { return };
        let due = link.published.iter().filter(|p| p.keyframe.due.is_some_and(|at| at <= now));
        for mid in due.map(|published| published.mid).collect::<Vec<_>>() {
            self.want_keyframe(key, mid, KeyframeRequestKind::Pli, now);
        }
    }

    /// Sees to it that the link is woken for what its `Rtc` knows nothing of.
    pub(super) fn rest(&mut self, key: usize) {
        if let Some(link) = self.links.get_mut(key)
            && let Some(at) = link.own_wake()
        {
            link.wake_by(at, &mut self.wakes, key);
        }
    }

    /// Ends a transport, and tells its client: RTCP BYE, DTLS close_notify.
    pub(super) fn close(&mut self, key: usize, now: Instant) {
        if let Some(link) = self.links.get_mut(key) {
            link.rtc.close().ok();
            link.pass_time(now).ok();
        }
        while let Some(link) = self.links.get_mut(key) {
            match link.rtc.poll_output() {
                Ok(RtcOutput::Transmit(transmit)) => {
                    self.outputs
                        .push_back(Output::Send { to: transmit.destination, bytes: transmit.contents.to_vec() });
                }
                Ok(RtcOutput::Event(_)) => {}
                Ok(RtcOutput::Timeout(_)) | Err(_) => break,
            }
        }
        let Some(link) = self.links.try_remove(key) else { return };
        for ufrag in &link.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        for address in &link.addresses {
            if self.by_address.get(address) == Some(&key) {
                self.by_address.remove(address);
            }
        }
        self.wakes.retain(|(_, woken)| *woken != key);
    }

    /// The transport cannot go on, or its client closed it. The participant stays: it may connect anew.
    pub(super) fn close_broken(&mut self, key: usize, now: Instant) {
        let Some((room, id)) = self.links.get(key).map(|link| (link.room.clone(), link.participant.clone())) else {
            return;
        };
        self.close(key, now);
        if let Ok(participant) = self.participant(&room, &id)
            && participant.link == Some(key)
        {
            participant.link = None;
        }
        self.reconcile(&room, now);
    }
}

impl Link {
    /// Wakes the link then at the latest.
    fn wake_by(&mut self, at: Instant, wakes: &mut BTreeSet<(Instant, usize)>, key: usize) {
        if let Some(before) = self.wake {
            if before <= at {
                return;
            }
            wakes.remove(&(before, key));
        }
        wakes.insert((at, key));
        self.wake = Some(at);
    }

    /// How many of these packets and requests are new since the last time.
    fn told_of(&mut self, stream: (Mid, Option<Rid>, bool), counts: [u64; 2]) -> [u64; 2] {
        let before = self.told.insert(stream, counts).unwrap_or_default();
        [0, 1].map(|at| counts[at].saturating_sub(before[at]))
    }
}

/// The USERNAME of a STUN message (RFC 8489 14.3): `local:remote`.
fn user_name(bytes: &[u8]) -> Option<&str> {
    const HEADER_BYTES: usize = 20;
    const USERNAME: u16 = 0x0006;
    if bytes.len() < HEADER_BYTES || bytes[0] >= 2 || bytes[4..8] != [0x21, 0x12, 0xa4, 0x42] {
        return None;
    }
    let mut rest = &bytes[HEADER_BYTES..];
    while let [a, b, c, d, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let value_bytes = value.get(..length)?;
        if u16::from_be_bytes([*a, *b]) == USERNAME {
            return std::str::from_utf8(value_bytes).ok();
        }
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stun_message_tells_its_user() {
        let mut bytes = vec![0, 1, 0, 20, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([0; 12]);
        bytes.extend([0x80, 0x22, 0, 3, b'a', b'b', b'c', 0]);
        bytes.extend([0, 6, 0, 5, b'u', b':', b'v', b'w', b'x', 0, 0, 0]);
        assert_eq!(user_name(&bytes), Some("u:vwx"));
        for end in 0..bytes.len() - 3 {
            assert_eq!(user_name(&bytes[..end]), None, "{end}");
        }
        bytes[4] = 0;
        assert_eq!(user_name(&bytes), None, "no magic cookie");
    }
}
