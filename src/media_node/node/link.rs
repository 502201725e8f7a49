//! One participant's transport: an `Rtc`, what is published over it and what is forwarded to it.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use str0m::{
    Input, Rtc, RtcError,
    change::SdpPendingOffer,
    media::{KeyframeRequestKind, MediaKind, Mid, Pt, Rid},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpPacket, RtpWrite},
};

use super::{layers::Layers, rewrite::Rewrite, sdp::Section};
use crate::ids::{ParticipantId, RoomId, TrackId};

/// Keyframes of one track are asked for at most this often: each costs the publisher a frame several times as large.
const KEYFRAME_EVERY: Duration = Duration::from_millis(500);

/// A transport of one participant.
pub(super) struct Link {
    pub(super) room: RoomId,
    pub(super) participant: ParticipantId,
    pub(super) rtc: Rtc,
    /// Of the client's certificate: another one is another connection.
    pub(super) fingerprint: Vec<u8>,
    pub(super) ufrags: Vec<String>,
    /// From where its packets came, the newest last.
    pub(super) addresses: VecDeque<SocketAddr>,
    pub(super) candidates: usize,
    pub(super) sections: Vec<Section>,
    pub(super) pending: Option<Pending>,
    /// When to see whether an offer is needed.
    pub(super) negotiate_at: Option<Instant>,
    /// Sections of the node whose track is over.
    pub(super) closing: Vec<Mid>,
    pub(super) published: Vec<Published>,
    pub(super) forwards: Vec<Forward>,
    pub(super) wake: Option<Instant>,
    /// Nothing came from its client since then.
    pub(super) silent_since: Option<Instant>,
    /// Packets, and requests to send some again, that statistics told of, by stream and direction.
    pub(super) told: HashMap<(Mid, Option<Rid>, bool), [u64; 2]>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("room", &self.room).field("participant", &self.participant).finish_non_exhaustive()
    }
}

/// An offer of the node that waits for its answer.
pub(super) struct Pending {
    pub(super) offer: SdpPendingOffer,
    pub(super) sdp: String,
    /// It is told again then: who was connecting anew may not have had it.
    pub(super) again_at: Instant,
    pub(super) tries: u32,
}

/// Media that comes in and belongs to an announced track.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) mid: Mid,
    pub(super) number: u64,
    pub(super) kind: MediaKind,
    pub(super) muted: bool,
    pub(super) layers: Layers,
    /// Links that it is forwarded to.
    pub(super) outs: Vec<usize>,
    pub(super) keyframe: Keyframe,
}

/// When a keyframe was asked for last, and whether another one is wanted.
#[derive(Debug, Default)]
pub(super) struct Keyframe {
    asked: Option<Instant>,
    pub(super) due: Option<Instant>,
}

impl Keyframe {
    /// Somebody needs one. Whether to ask the publisher now; else it is asked as soon as it may be.
    pub(super) fn wanted(&mut self, now: Instant) -> bool {
        let at = self.asked.map_or(now, |asked| asked + KEYFRAME_EVERY);
        if at > now {
            self.due = Some(at);
            return false;
        }
        (self.asked, self.due) = (Some(now), None);
        true
    }
}

/// A track that is forwarded to this link's participant.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) track: TrackId,
    pub(super) number: u64,
    pub(super) kind: MediaKind,
    /// The msid's stream: whose it is.
    pub(super) stream: String,
    /// The publisher's link, and where in it.
    pub(super) from: (usize, Mid),
    /// Where in this link, from the offer on.
    pub(super) mid: Option<Mid>,
    /// The client took it.
    pub(super) open: bool,
    pub(super) rewrite: Rewrite,
    /// The payload type here of each that comes in. `None`: the client has no such codec.
    pub(super) types: Vec<(Pt, Option<Pt>)>,
}

impl Link {
    pub(super) fn receive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        let Ok(contents) = bytes.try_into() else { return true };
        let receive = Receive { proto: Protocol::Udp, source: from, destination: to, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).is_ok()
    }

    pub(super) fn accepts(&self, from: SocketAddr, to: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        let Ok(contents) = bytes.try_into() else { return false };
        let receive = Receive { proto: Protocol::Udp, source: from, destination: to, contents };
        self.rtc.accepts(&Input::Receive(now, receive))
    }

    pub(super) fn published(&mut self, mid: Mid) -> Option<&mut Published> {
        self.published.iter_mut().find(|published| published.mid == mid)
    }

    /// Which section and layer a packet came in.
    pub(super) fn place_of(&mut self, packet: &RtpPacket) -> Option<(Mid, Option<Rid>)> {
        let mut streams = self.rtc.direct_api();
        let stream = streams.stream_rx(&packet.header.ssrc)?;
        Some((stream.mid(), stream.rid()))
    }

    /// Sends a packet of another link's track on to this one's client. Whether there is something to drain.
    pub(super) fn forward(&mut self, number: u64, media: &Incoming<'_>, now: Instant) -> bool {
        let Some(at) = self.forwards.iter().position(|forward| forward.number == number && forward.open) else {
            return false;
        };
        let Some(pt) = self.payload_type(at, media) else { return false };
        let forward = &mut self.forwards[at];
        let header = &media.packet.header;
        let rate = media.packet.time.denom();
        let numbers = forward.rewrite.map(*header.ssrc, *media.packet.seq_no, header.timestamp, rate, now);
        let (Some((sequence, time)), Some(mid)) = (numbers, forward.mid) else { return false };
        let kind = forward.kind;
        let mut streams = self.rtc.direct_api();
        let Some(stream) = streams.stream_tx_by_mid(mid, None) else { return false };
        let values = ExtensionValues {
            audio_level: header.ext_vals.audio_level,
            voice_activity: header.ext_vals.voice_activity,
            video_orientation: header.ext_vals.video_orientation,
            ..ExtensionValues::default()
        };
        let packet = RtpWrite::new(pt, sequence.into(), time, media.packet.timestamp, media.packet.payload.clone());
        stream.write_rtp(packet.marker(header.marker).ext_vals(values).nackable(kind == MediaKind::Video));
        true
    }

    /// The client's payload type for what came in.
    fn payload_type(&mut self, at: usize, media: &Incoming<'_>) -> Option<Pt> {
        let incoming = media.params.pt();
        if let Some((_, known)) = self.forwards[at].types.iter().find(|(pt, _)| *pt == incoming) {
            return *known;
        }
        let taken = self.rtc.media(self.forwards[at].mid?)?.remote_pts();
        let found = self.rtc.codec_config().match_params(*media.params).map(|params| params.pt());
        let found = found.filter(|pt| taken.contains(pt));
        self.forwards[at].types.push((incoming, found));
        found
    }

    /// Asks the client for a keyframe of what it publishes there, or notes that one is wanted. Whether there is something
    /// to drain.
    pub(super) fn want_keyframe(&mut self, mid: Mid, kind: KeyframeRequestKind, now: Instant) -> bool {
        let Some(published) = self.published(mid).filter(|p| p.kind == MediaKind::Video) else { return false };
        let layer = published.layers.chosen();
        if !published.keyframe.wanted(now) {
            return false;
        }
        let mut streams = self.rtc.direct_api();
        let Some(stream) = streams.stream_rx_by_mid(mid, layer) else { return false };
        stream.request_keyframe(kind);
        true
    }

    /// When something of this link is to be done that its `Rtc` knows nothing of.
    pub(super) fn own_wake(&self) -> Option<Instant> {
        let keyframes = self.published.iter().filter_map(|published| published.keyframe.due);
        keyframes.chain(self.negotiate_at).chain(self.pending.as_ref().map(|pending| pending.again_at)).min()
    }

    pub(super) fn pass_time(&mut self, now: Instant) -> Result<(), RtcError> {
        self.rtc.handle_input(Input::Timeout(now))
    }
}

/// A packet, and how its payload is coded.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    pub(super) packet: &'a RtpPacket,
    pub(super) params: &'a str0m::format::PayloadParams,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_asked_for_at_most_twice_a_second_and_no_wish_is_lost() {
        let (mut keyframe, start) = (Keyframe::default(), Instant::now());
        assert!(keyframe.wanted(start) && keyframe.due.is_none());
        let soon = start + Duration::from_millis(100);
        assert!(!keyframe.wanted(soon));
        assert_eq!(keyframe.due, Some(start + KEYFRAME_EVERY));
        assert!(keyframe.wanted(start + KEYFRAME_EVERY) && keyframe.due.is_none());
    }
}
