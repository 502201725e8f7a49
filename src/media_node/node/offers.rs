//! Offers, answers and candidates, both ways. On glare the client's offer wins; what the node wanted is offered anew after.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, RtcConfig,
    change::SdpAnswer,
    media::{Direction, Mid},
};

use super::{
    Node, Output,
    link::{Link, Pending},
    sdp,
};
use crate::{
    ids::{ParticipantId, RoomId},
    media_node::limits::{Limits, Refusal},
    protocol::v1,
};

/// An answer goes another way than the node's own offers: it gets a head start, because a client that still waits for it
/// takes an offer for glare and drops it.
const AFTER_ANSWER: Duration = Duration::from_millis(50);
/// An offer without an answer is told again after this, and then ever later.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Names of one transport: after an ICE restart it has another.
const UFRAGS_MAX: usize = 2;
/// The longest time between two tellings is `AGAIN_AFTER` doubled that often.
const DOUBLINGS_MAX: u32 = 4;

impl Node {
    pub(super) fn offer(
        &mut self,
        offer: v1::MediaOfferRequest,
        now: Instant,
    ) -> Result<v1::SessionDescription, Refusal> {
        let text = offer.offer.map(|offer| offer.sdp).unwrap_or_default();
        self.check_sdp("offer.sdp", &text)?;
        let (room, id) = (RoomId::from(offer.room), ParticipantId::from(offer.participant_id));
        let present = self.participant(&room, &id)?.link;
        let ours = |mid: Mid| {
            let link = present.and_then(|link| self.links.get(link));
            link.is_some_and(|link| link.forwards.iter().any(|forward| forward.mid == Some(mid)))
        };
        let offer = sdp::offer(&text, ours)?;
        let mut lines = offer.media_lines.iter();
        let fingerprint = offer.session.fingerprint().or_else(|| lines.find_map(|line| line.fingerprint()));
        let fingerprint =
            fingerprint.map(|f| f.bytes).ok_or_else(|| Refusal::invalid("offer.sdp", "has no a=fingerprint"))?;
        let same =
            |link: &usize| self.links.get(*link).is_some_and(|l| l.fingerprint == fingerprint && l.rtc.is_alive());
        let key = match present.filter(same) {
            Some(link) => link,
            None => self.connect_anew(&room, &id, fingerprint, now),
        };
        let link = &mut self.links[key];
        // glare: an offer of the node that waits is void, and with it the sections that it would have made
        link.pending = None;
        link.forwards.iter_mut().filter(|forward| !forward.open).for_each(|forward| forward.mid = None);
        let answer = match link.rtc.sdp_api().accept_offer(offer) {
            Ok(answer) => answer.to_sdp_string(),
            Err(_) => {
                link.negotiate_at = Some(now + AFTER_ANSWER);
                if !link.rtc.is_alive() || link.ufrags.is_empty() {
                    self.close_broken(key, now);
                } else {
                    self.drain(key, now);
                }
                return Err(Refusal::invalid("offer.sdp", "cannot be answered"));
            }
        };
        link.sections = sdp::sections(&text);
        link.negotiate_at = Some(now + AFTER_ANSWER);
        let ufrag = link.rtc.direct_api().local_ice_credentials().ufrag;
        if link.ufrags.last() != Some(&ufrag) {
            link.ufrags.push(ufrag.clone());
            // packets of before an ICE restart may still be on their way
            if link.ufrags.len() > UFRAGS_MAX {
                self.by_ufrag.remove(&link.ufrags.remove(0));
            }
            self.by_ufrag.insert(ufrag, key);
        }
        self.drain(key, now);
        self.reconcile(&room, now);
        Ok(v1::SessionDescription { sdp: answer, ice_restart: false })
    }

    fn check_sdp(&self, field: &'static str, sdp: &str) -> Result<(), Refusal> {
        let most = self.limits.sdp_bytes;
        if sdp.len() > most {
            return Err(Refusal::Exhausted { limit: "sdp_bytes_max", found: sdp.len(), most });
        }
        if sdp.is_empty() { Err(Refusal::invalid(field, "is empty")) } else { Ok(()) }
    }

    /// A transport for a connection of the participant that is not known yet; the one before it, if any, is over.
    fn connect_anew(&mut self, room: &RoomId, id: &ParticipantId, fingerprint: Vec<u8>, now: Instant) -> usize {
        let config = RtcConfig::new()
            .set_crypto_provider(self.crypto.clone())
            .set_dtls_cert(self.certificate.clone())
            // the node has one address, and clients come to it
            .set_ice_lite(true)
            .set_rtp_mode(true)
            .enable_opus(true, false)
            .set_stats_interval(Some(Duration::from_secs(1)));
        let mut rtc = config.build(now);
        let candidate = Candidate::host(self.announced, "udp").expect("the settings' address can be announced");
        rtc.add_local_candidate(candidate);
        let key = self.links.insert(Link {
            room: room.clone(),
            participant: id.clone(),
            rtc,
            fingerprint,
            ufrags: Vec::new(),
            addresses: VecDeque::new(),
            candidates: 0,
            sections: Vec::new(),
            pending: None,
            negotiate_at: None,
            closing: Vec::new(),
            published: Vec::new(),
            forwards: Vec::new(),
            wake: None,
            silent_since: None,
            told: HashMap::new(),
        });
        self.drain(key, now);
        let participant = self.participant(room, id).expect("the offer's participant is known");
        if let Some(before) = participant.link.replace(key) {
            self.close(before, now);
        }
        key
    }

    pub(super) fn answer(&mut self, answer: v1::MediaAnswerRequest, now: Instant) -> Result<(), Refusal> {
        let text = answer.answer.map(|answer| answer.sdp).unwrap_or_default();
        self.check_sdp("answer.sdp", &text)?;
        let (room, id) = (RoomId::from(answer.room), ParticipantId::from(answer.participant_id));
        let waits_for_none = || Refusal::invalid("answer", "no offer of the node waits for one");
        let key = self.participant(&room, &id)?.link.ok_or_else(waits_for_none)?;
        let answer = SdpAnswer::from_sdp_string(&text)
            .map_err(|_| Refusal::invalid("answer.sdp", "is no SDP that can be read"))?;
        let link = &mut self.links[key];
        let pending = link.pending.take().ok_or_else(waits_for_none)?;
        if link.rtc.sdp_api().accept_answer(pending.offer, answer).is_err() {
            // what it would have made is offered anew, later: the client may be confused for a while
            link.forwards.iter_mut().filter(|forward| !forward.open).for_each(|forward| forward.mid = None);
            link.negotiate_at = Some(now + AGAIN_AFTER);
            self.drain(key, now);
            return Err(Refusal::invalid("answer.sdp", "does not answer the node's offer"));
        }
        link.sections = sdp::sections(&text);
        for forward in link.forwards.iter_mut().filter(|forward| !forward.open) {
            let media = forward.mid.and_then(|mid| link.rtc.media(mid));
            forward.open = media.is_some_and(|media| media.direction().is_sending() && !media.disabled());
        }
        self.drain(key, now);
        self.reconcile(&room, now);
        Ok(())
    }

    pub(super) fn candidate(&mut self, told: &v1::MediaCandidateRequest, now: Instant) -> Result<(), Refusal> {
        let (room, id) = (RoomId::from(told.room.as_str()), ParticipantId::from(told.participant_id.as_str()));
        let most = self.limits.candidates;
        let key = self.participant(&room, &id)?.link;
        let Some(candidate) = &told.candidate else {
            let ended = told.end_of_candidates.is_some();
            return if ended { Ok(()) } else { Err(Refusal::invalid("candidate", "is missing")) };
        };
        let parsed = parse(&candidate.candidate)?;
        // before the offer there is nothing that it could belong to: the client tells candidates after its offer
        let Some(link) = key.and_then(|key| self.links.get_mut(key)) else { return Ok(()) };
        Limits::room_for("candidates_max", link.candidates, most)?;
        link.candidates += 1;
        if let Some(parsed) = parsed {
            link.rtc.add_remote_candidate(parsed);
            self.drain(key.expect("it has a link"), now);
        }
        Ok(())
    }

    /// Offers what changed, if the client has answered what was offered before.
    pub(super) fn negotiate(&mut self, key: usize, now: Instant) {
        let Some(link) = self.links.get_mut(key) else { return };
        let early = link.ufrags.is_empty() || link.negotiate_at.is_some_and(|at| at > now);
        if early || link.pending.is_some() {
            return;
        }
        link.negotiate_at = None;
        let closing = std::mem::take(&mut link.closing);
        // a section in which the client sends, too, stays for that
        let (shared, over): (Vec<_>, Vec<_>) =
            closing.into_iter().partition(|mid| link.sections.iter().any(|s| s.mid == *mid && s.sends));
        let mut change = link.rtc.sdp_api();
        over.into_iter().for_each(|mid| change.stop_media(mid));
        shared.into_iter().for_each(|mid| change.set_direction(mid, Direction::RecvOnly));
        for forward in link.forwards.iter_mut().filter(|forward| forward.mid.is_none()) {
            let (stream, track) = (forward.stream.clone(), forward.track.as_str().to_owned());
            forward.mid = Some(change.add_media(forward.kind, Direction::SendOnly, Some(stream), Some(track), None));
        }
        let Some((offer, pending)) = change.apply() else { return };
        let sdp = offer.to_sdp_string();
        link.pending = Some(Pending { offer: pending, sdp, again_at: now + AGAIN_AFTER, tries: 0 });
        self.push_offer(key);
        self.drain(key, now);
    }

    /// What is due of this link beside the work of its `Rtc`.
    pub(super) fn due(&mut self, key: usize, now: Instant) {
        let Some(link) = self.links.get_mut(key) else { return };
        if let Some(pending) = link.pending.as_mut().filter(|pending| pending.again_at <= now) {
            pending.tries = (pending.tries + 1).min(DOUBLINGS_MAX);
            pending.again_at = now + AGAIN_AFTER * 2_u32.pow(pending.tries);
            self.push_offer(key);
        } else if link.negotiate_at.is_some_and(|at| at <= now) {
            self.negotiate(key, now);
        }
    }

    fn push_offer(&mut self, key: usize) {
        let link = &self.links[key];
        let Some(pending) = &link.pending else { return };
        let push = v1::MediaPush {
            room: link.room.as_str().to_owned(),
            participant_id: link.participant.as_str().to_owned(),
            offer: Some(v1::SessionDescription { sdp: pending.sdp.clone(), ice_restart: false }),
            ..v1::MediaPush::default()
        };
        self.outputs.push_back(Output::Push(push));
    }
}

/// A candidate, or nothing for one that is of no use here: a name of mDNS, which only its own network can find.
///
/// # Errors
/// When it is no candidate.
fn parse(text: &str) -> Result<Option<Candidate>, Refusal> {
    let text = text.trim().trim_start_matches("a=");
    // RTCIceCandidate's way to say that there are no more
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(candidate) = Candidate::from_sdp_string(text) {
        return Ok(Some(candidate));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let by_name = words.len() >= 8 && words[0].starts_with("candidate:") && words[6] == "typ";
    if by_name { Ok(None) } else { Err(Refusal::invalid("candidate.candidate", "is no ICE candidate")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_told_from_names_and_nonsense() {
        let host = "candidate:1 1 udp 2122260223 192.0.2.1 50028 typ host generation 0";
        assert!(parse(host).unwrap().is_some() && parse(&format!("a={host}")).unwrap().is_some());
        assert!(parse("candidate:1 1 udp 1 3f.local 50028 typ host").unwrap().is_none());
        assert!(parse("").unwrap().is_none());
        assert_eq!(parse("candidate: nonsense").unwrap_err().to_string(), "candidate.candidate: is no ICE candidate");
    }
}
