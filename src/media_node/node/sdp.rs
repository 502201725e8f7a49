//! What of a client's SDP matters beyond what `str0m` reads: whose track a section carries, and who sends in it.

use str0m::{
    change::SdpOffer,
    media::{MediaKind, Mid},
};

use crate::media_node::limits::Refusal;

/// One media section as the client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) mid: Mid,
    pub(super) kind: MediaKind,
    /// The track of its msid.
    pub(super) track: Option<String>,
    /// The client sends in it.
    pub(super) sends: bool,
}

/// The media sections of an SDP, in their order. Reads lines only: `str0m` has judged the whole.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    blocks(sdp).filter_map(section).collect()
}

fn section(lines: &str) -> Option<Section> {
    let kind = match lines.lines().next()? {
        line if line.starts_with("m=audio ") => MediaKind::Audio,
        line if line.starts_with("m=video ") => MediaKind::Video,
        _ => return None,
    };
    let value = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name));
    let track = value("a=msid:").and_then(|msid| msid.split_whitespace().nth(1)).map(str::to_owned);
    let sends = direction(lines).is_none_or(|direction| ["a=sendrecv", "a=sendonly"].contains(&direction));
    Some(Section { mid: Mid::from(value("a=mid:")?.trim()), kind, track, sends: sends && !is_rejected(lines) })
}

/// A section of port 0 that is no bundle's.
fn is_rejected(lines: &str) -> bool {
    let port = lines.lines().next().and_then(|line| line.split(' ').nth(1));
    port == Some("0") && !lines.lines().any(|line| line == "a=bundle-only")
}

fn direction(lines: &str) -> Option<&str> {
    lines.lines().find(|line| ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"].contains(line))
}

/// From each `m=` line to before the next.
fn blocks(sdp: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> =
        sdp.match_indices("m=").map(|(at, _)| at).filter(|at| *at == 0 || sdp[..*at].ends_with('\n')).collect();
    let ends: Vec<usize> = starts.iter().copied().skip(1).chain([sdp.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| &sdp[start..end])
}

/// A client's offer as the node takes it up: in sections that the client made the node only receives, so a browser's
/// `sendrecv` is answered with `recvonly` and makes it no remote track that nobody sends. In sections that the node made
/// (`ours`) both may send: `addTrack` of a browser uses them for its own tracks.
pub(super) fn offer(sdp: &str, ours: impl Fn(Mid) -> bool) -> Result<SdpOffer, Refusal> {
    let mut text = String::with_capacity(sdp.len());
    let media: usize = blocks(sdp).map(str::len).sum();
    text.push_str(&sdp[..sdp.len() - media]);
    for block in blocks(sdp) {
        match section(block) {
            Some(section) if !ours(section.mid) => one_way(block, &mut text),
            _ => text.push_str(block),
        }
    }
    SdpOffer::from_sdp_string(&text).map_err(|_| Refusal::invalid("offer.sdp", "is no SDP that can be read"))
}

fn one_way(block: &str, text: &mut String) {
    let instead = match direction(block) {
        Some("a=sendrecv") => Some(("a=sendrecv", "a=sendonly")),
        Some("a=recvonly") => Some(("a=recvonly", "a=inactive")),
        _ => None,
    };
    for line in block.split_inclusive('\n') {
        match instead {
            Some((from, to)) if line.trim_end() == from => text.push_str(&line.replace(from, to)),
            _ => text.push_str(line),
        }
    }
}

/// The id of the stream in the msid of what is forwarded: who publishes it. Letters, digits and `-._` of the identity stand
/// as they are, other bytes as `%XX`, so that `decodeURIComponent` gives the identity; one that has no room in an msid's 64
/// characters (RFC 8830 2) is told by `instead`.
pub(super) fn stream_id(identity: &str, instead: &str) -> String {
    let mut id = String::new();
    for byte in identity.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => id.push(byte.into()),
            _ => id.push_str(&format!("%{byte:02X}")),
        }
    }
    if (1..=64).contains(&id.len()) && id != "-" { id } else { instead.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 x\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=msid:- mic\r\na=sendrecv\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:x\r\na=recvonly\r\n";

    #[test]
    fn sections_tell_track_and_direction() {
        let sections = sections(SDP);
        assert_eq!(sections.len(), 2);
        let mic = Section { mid: "0".into(), kind: MediaKind::Audio, track: Some("mic".into()), sends: true };
        assert_eq!(sections[0], mic);
        assert_eq!(
            (sections[1].kind, sections[1].track.as_deref(), sections[1].sends),
            (MediaKind::Video, None, false)
        );
        assert!(super::sections("").is_empty());
    }

    #[test]
    fn the_node_only_receives_in_sections_of_the_client() {
        let mut text = String::new();
        blocks(SDP).for_each(|block| one_way(block, &mut text));
        assert!(text.contains("a=msid:- mic\r\na=sendonly\r\nm=application"), "{text}");
        assert!(text.ends_with("a=mid:x\r\na=inactive\r\n"), "{text}");
    }

    #[test]
    fn an_identity_survives_the_msid() {
        assert_eq!(stream_id("alice-1", "id"), "alice-1");
        assert_eq!(stream_id("Zoë @home", "id"), "Zo%C3%AB%20%40home");
        assert_eq!(stream_id(&"x".repeat(65), "id"), "id");
        assert_eq!((stream_id("", "id"), stream_id("-", "id")), ("id".to_owned(), "id".to_owned()));
    }
}
