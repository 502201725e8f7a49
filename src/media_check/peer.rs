//! A WebRTC client for checks and tests: made-up frames in, counts of frames out, over a UDP socket of its own.
//!
//! Sends what a browser with a camera would send, in VP8 and Opus, as far as a node can tell; decodes nothing.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    format::Codec,
    media::{Direction, Frequency, KeyframeRequestKind, MediaData, MediaKind, MediaTime, Mid},
    net::{Protocol, Receive},
};

use crate::media_node::crypto;

/// Between two frames of a track.
pub const FRAME_EVERY: Duration = Duration::from_millis(20);

/// What a peer has got of one track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Whole frames.
    pub frames: usize,
    /// The `cid` that the sender wrote into the newest one.
    pub cid: String,
}

/// A track that the peer sends.
#[derive(Debug)]
struct Sending {
    cid: String,
    kind: MediaKind,
    mid: Mid,
    frames: u64,
    keyframe_requests: usize,
}

/// The client.
pub struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    began: Instant,
    next_frame: Instant,
    pending: Option<SdpPendingOffer>,
    sending: Vec<Sending>,
    /// Stream and track of the msid of each section that the other side sends in, by its mid.
    remote: BTreeMap<String, (String, String)>,
    /// By the track of the section's msid; of sections without one by their mid.
    received: BTreeMap<String, Received>,
    connected: bool,
    closed: bool,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("sending", &self.sending).field("received", &self.received).finish_non_exhaustive()
    }
}

impl Peer {
    /// On a free port of `ip`, which the node has to be able to send to.
    ///
    /// # Errors
    /// When there is no such address here.
    pub fn new(ip: IpAddr) -> Result<Self> {
        let socket = UdpSocket::bind((ip, 0)).with_context(|| format!("cannot bind a UDP port of {ip}"))?;
        socket.set_nonblocking(true)?;
        let (address, now) = (socket.local_addr()?, Instant::now());
        let config = RtcConfig::new().set_crypto_provider(crypto::provider()).clear_codecs();
        let mut rtc = config.enable_vp8(true).enable_opus(true, false).build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").with_context(|| format!("{address} is no candidate"))?);
        let (sending, remote, received) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (pending, connected, closed) = (None, false, false);
        Ok(Self {
            rtc,
            socket,
            address,
            began: now,
            next_frame: now,
            pending,
            sending,
            remote,
            received,
            connected,
            closed,
        })
    }

    /// An offer with further tracks to send, each under its `cid`.
    ///
    /// # Errors
    /// When there is nothing to offer.
    pub fn offer(&mut self, tracks: &[(MediaKind, &str)]) -> Result<String> {
        let mut change = self.rtc.sdp_api();
        for (kind, cid) in tracks {
            let (stream, track) = (Some("stream".to_owned()), Some((*cid).to_owned()));
            let mid = change.add_media(*kind, Direction::SendOnly, stream, track, None);
            let cid = (*cid).to_owned();
            self.sending.push(Sending { cid, kind: *kind, mid, frames: 0, keyframe_requests: 0 });
        }
        let (offer, pending) = change.apply().context("nothing to offer")?;
        self.pending = Some(pending);
        Ok(offer.to_sdp_string())
    }

    /// An offer that restarts ICE.
    ///
    /// # Errors
    /// When there is no session yet.
    pub fn restart(&mut self) -> Result<String> {
        let mut change = self.rtc.sdp_api();
        change.ice_restart(true);
        let (offer, pending) = change.apply().context("nothing to offer")?;
        self.pending = Some(pending);
        Ok(offer.to_sdp_string())
    }

    /// The other side's answer.
    ///
    /// # Errors
    /// When it is none to the offer before.
    pub fn accept_answer(&mut self, sdp: &str) -> Result<()> {
        let answer = SdpAnswer::from_sdp_string(sdp).context("the answer cannot be read")?;
        let pending = self.pending.take().context("no offer waits for an answer")?;
        self.rtc.sdp_api().accept_answer(pending, answer).context("the answer does not fit the offer")?;
        self.drain()
    }

    /// The other side's offer; answers it.
    ///
    /// # Errors
    /// When it cannot be taken up.
    pub fn accept_offer(&mut self, sdp: &str) -> Result<String> {
        let offer = SdpOffer::from_sdp_string(sdp).context("the offer cannot be read")?;
        let sections = offer.media_lines.iter();
        let named = sections.filter_map(|line| Some((line.mid().to_string(), line.msid()?)));
        self.remote = named.map(|(mid, msid)| (mid, (msid.stream_id, msid.track_id))).collect();
        let answer = self.rtc.sdp_api().accept_offer(offer).context("the offer cannot be answered")?;
        self.drain()?;
        Ok(answer.to_sdp_string())
    }

    /// ICE and DTLS are through.
    pub fn is_connected(&self) -> bool {
        self.connected && !self.is_over()
    }

    /// The other side ended the connection.
    pub fn is_over(&self) -> bool {
        self.closed || !self.rtc.is_alive()
    }

    /// Frames of sections whose msid names that track.
    pub fn frames_of(&self, track: &str) -> usize {
        self.of(track).map_or(0, |received| received.frames)
    }

    /// What came in sections whose msid names that track.
    pub fn of(&self, track: &str) -> Option<&Received> {
        self.received.get(track)
    }

    /// The stream of the msid that names that track.
    pub fn stream_of(&self, track: &str) -> Option<&str> {
        self.remote.values().find(|(_, of)| of == track).map(|(stream, _)| stream.as_str())
    }

    /// Frames that a sender marked so, in any section.
    pub fn frames_from(&self, cid: &str) -> usize {
        self.received.values().filter(|received| received.cid == cid).map(|received| received.frames).sum()
    }

    /// How often the other side asked for a keyframe of that track.
    pub fn keyframe_requests(&self, cid: &str) -> usize {
        self.sending.iter().filter(|sending| sending.cid == cid).map(|sending| sending.keyframe_requests).sum()
    }

    /// Asks for a keyframe of a track that it receives.
    ///
    /// # Errors
    /// When it receives no such track.
    pub fn request_keyframe(&mut self, track: &str) -> Result<()> {
        let mid = self.remote.iter().find(|(_, (_, of))| of == track).map(|(mid, _)| Mid::from(mid.as_str()));
        let mid = mid.with_context(|| format!("no section of track {track}"))?;
        let mut writer = self.rtc.writer(mid).with_context(|| format!("section {mid} is not there"))?;
        writer.request_keyframe(None, KeyframeRequestKind::Pli)?;
        self.drain()
    }

    /// Reads and sends what is due: packets, and a frame of each track every [`FRAME_EVERY`].
    ///
    /// # Errors
    /// When the connection broke.
    pub fn turn(&mut self) -> Result<()> {
        let mut buffer = [0; 2_048];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => self.receive(source, &buffer[..length])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // ICMP: the node is not there any more
                Err(_) => {}
            }
        }
        let now = Instant::now();
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()?;
        if self.connected && now >= self.next_frame {
            self.next_frame = now + FRAME_EVERY;
            for at in 0..self.sending.len() {
                self.send_frame(at, now)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, source: SocketAddr, bytes: &[u8]) -> Result<()> {
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, bytes) else { return Ok(()) };
        let input = Input::Receive(Instant::now(), receive);
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input)?;
            self.drain()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(_) => return Ok(()),
                Output::Transmit(transmit) => {
                    // what the system does not take is lost, as the network may lose it
                    self.socket.send_to(&transmit.contents, transmit.destination).ok();
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::Closed) => self.closed = true,
                Output::Event(Event::MediaData(media)) => self.got(&media),
                Output::Event(Event::KeyframeRequest(request)) => {
                    if let Some(sending) = self.sending.iter_mut().find(|sending| sending.mid == request.mid) {
                        sending.keyframe_requests += 1;
                    }
                }
                Output::Event(_) => {}
            }
        }
    }

    fn got(&mut self, media: &MediaData) {
        let mid = media.mid.to_string();
        let track = self.remote.get(&mid).map_or(&mid, |(_, track)| track);
        let received = self.received.entry(track.clone()).or_default();
        received.frames += 1;
        received.cid = cid_in(&media.data).to_owned();
    }

    fn send_frame(&mut self, at: usize, now: Instant) -> Result<()> {
        let sending = &mut self.sending[at];
        let (codec, rate) = match sending.kind {
            MediaKind::Video => (Codec::Vp8, Frequency::NINETY_KHZ),
            MediaKind::Audio => (Codec::Opus, Frequency::FORTY_EIGHT_KHZ),
        };
        let Some(writer) = self.rtc.writer(sending.mid) else { return Ok(()) };
        let Some(pt) = writer.payload_params().find(|params| params.spec().codec == codec).map(|params| params.pt())
        else {
            return Ok(());
        };
        let passed = now.duration_since(self.began).as_micros() as u64;
        let time = MediaTime::from_micros(passed).rebase(rate);
        writer.write(pt, now, time, frame(sending.kind, &sending.cid)).map_err(|e| anyhow!("cannot send: {e}"))?;
        sending.frames += 1;
        self.drain()?;
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }
}

/// A key frame's header (RFC 6386 9.1) of a picture of 16 x 16, then the mark; of audio only the mark.
fn frame(kind: MediaKind, cid: &str) -> Vec<u8> {
    let mut frame = match kind {
        MediaKind::Video => vec![0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 16, 0, 16, 0],
        MediaKind::Audio => vec![0xf8],
    };
    frame.push(b'<');
    frame.extend(cid.as_bytes());
    frame.push(b'>');
    frame
}

/// Of whom a frame is.
fn cid_in(frame: &[u8]) -> &str {
    let start = frame.iter().position(|byte| *byte == b'<').map_or(frame.len(), |at| at + 1);
    let marked = &frame[start..];
    let end = marked.iter().position(|byte| *byte == b'>').unwrap_or(0);
    std::str::from_utf8(&marked[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_tells_of_whom_it_is() {
        assert_eq!(cid_in(&frame(MediaKind::Video, "cam")), "cam");
        assert_eq!(cid_in(&frame(MediaKind::Audio, "mic")), "mic");
        assert_eq!((cid_in(b"nothing"), cid_in(b"<"), cid_in(b"")), ("", "", ""));
    }
}
