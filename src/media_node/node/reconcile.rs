//! Brings a room's transports in line with what routers said of it: which media is whose, and who gets it.

use std::{collections::HashMap, time::Instant};

use str0m::media::{KeyframeRequestKind, MediaKind, Mid};

use super::{
    Node,
    layers::Layers,
    link::{Forward, Keyframe, Link, Published},
    rewrite::Rewrite,
    room::{Room, Track},
    sdp::{Section, stream_id},
};
use crate::{
    ids::{RoomId, TrackId},
    protocol::v1::TrackKind,
};

/// A track whose media is there.
struct Bound<'a> {
    id: &'a TrackId,
    track: &'a Track,
    link: usize,
    mid: Mid,
    kind: MediaKind,
    /// Of the msid at whoever receives it.
    stream: String,
}

impl Node {
    pub(super) fn reconcile(&mut self, name: &RoomId, now: Instant) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.touched = now;
        let room = &*room;
        let bound = bound(room, |link| self.links.get(link).map_or(&[][..], |link| &link.sections));
        for (id, participant) in &room.participants {
            let Some(link) = participant.link.and_then(|link| self.links.get_mut(link)) else { continue };
            publish(link, bound.iter().filter(|bound| bound.track.publisher == *id));
            let others = bound.iter().filter(|bound| bound.track.publisher != *id);
            receive(link, &others.filter(|bound| participant.wants(bound.id)).collect::<Vec<_>>());
        }
        let links: Vec<usize> = room.participants.values().filter_map(|participant| participant.link).collect();
        for link in &links {
            self.connect(*link, now);
        }
        for link in links {
            self.negotiate(link, now);
            self.rest(link);
        }
    }

    /// Media of that link goes to those who opened it; who opened it just now needs a keyframe.
    fn connect(&mut self, from: usize, now: Instant) {
        let Some(room) = self.links.get(from).map(|link| link.room.clone()) else { return };
        let mut outs: HashMap<Mid, Vec<usize>> = HashMap::new();
        let in_room = self.links.iter().filter(|(_, link)| link.room == room);
        for (to, forward) in in_room.flat_map(|(to, link)| link.forwards.iter().map(move |forward| (to, forward))) {
            if forward.open && forward.from.0 == from {
                outs.entry(forward.from.1).or_default().push(to);
            }
        }
        let link = &mut self.links[from];
        let mut wanting = Vec::new();
        for published in &mut link.published {
            let fresh = outs.remove(&published.mid).unwrap_or_default();
            if fresh.iter().any(|to| !published.outs.contains(to)) {
                wanting.push(published.mid);
            }
            published.outs = fresh;
        }
        for mid in wanting {
            self.want_keyframe(from, mid, KeyframeRequestKind::Pli, now);
        }
    }
}

/// Tracks and the sections that carry them: by the msid's track id. A client whose sections have no msid gets its tracks
/// bound in the order of announcement to the sections of their kind.
fn bound<'a, 's>(room: &'a Room, sections: impl Fn(usize) -> &'s [Section]) -> Vec<Bound<'a>> {
    let mut bound: Vec<Bound<'a>> = Vec::new();
    for (id, track) in room.in_order() {
        let kind = match track.kind {
            TrackKind::Audio => MediaKind::Audio,
            TrackKind::Video => MediaKind::Video,
            TrackKind::Data | TrackKind::Unspecified => continue,
        };
        let Some(participant) = room.participants.get(&track.publisher) else { continue };
        let Some(link) = participant.link else { continue };
        let fits = |section: &&Section| section.sends && section.kind == kind;
        let of_track = sections(link).iter().filter(fits).find(|section| section.track.as_ref() == Some(&track.cid));
        let nameless = || {
            let free = |mid: Mid| !bound.iter().any(|bound| bound.link == link && bound.mid == mid);
            sections(link).iter().filter(fits).find(|section| section.track.is_none() && free(section.mid))
        };
        let Some(section) = of_track.or_else(nameless) else { continue };
        let stream = stream_id(&participant.identity, track.publisher.as_str());
        bound.push(Bound { id, track, link, mid: section.mid, kind, stream });
    }
    bound
}

/// What the link's client publishes.
fn publish<'a>(link: &mut Link, bound: impl Iterator<Item = &'a Bound<'a>>) {
    let mut before = std::mem::take(&mut link.published);
    for Bound { track, mid, kind, .. } in bound {
        let at = before.iter().position(|published| published.number == track.number && published.mid == *mid);
        let mut published = at.map(|at| before.swap_remove(at)).unwrap_or_else(|| Published {
            mid: *mid,
            number: track.number,
            kind: *kind,
            muted: track.muted,
            layers: Layers::ranked(track.layers.clone()),
            outs: Vec::new(),
            keyframe: Keyframe::default(),
        });
        if published.muted && !track.muted {
            // everybody begins again, with a keyframe
            published.outs.clear();
        }
        published.muted = track.muted;
        link.published.push(published);
    }
}

/// What is forwarded to the link's client.
fn receive(link: &mut Link, wanted: &[&Bound<'_>]) {
    let closing = &mut link.closing;
    link.forwards.retain(|forward| {
        let keep = wanted.iter().any(|bound| bound.track.number == forward.number);
        if let Some(mid) = forward.mid.filter(|_| !keep) {
            closing.push(mid);
        }
        keep
    });
    for bound in wanted {
        let from = (bound.link, bound.mid);
        match link.forwards.iter_mut().find(|forward| forward.number == bound.track.number) {
            Some(forward) => {
                if forward.from != from || bound.track.muted {
                    forward.from = from;
                    forward.rewrite.pause();
                    forward.types.clear();
                }
            }
            None => link.forwards.push(Forward {
                track: bound.id.clone(),
                number: bound.track.number,
                kind: bound.kind,
                stream: bound.stream.clone(),
                from,
                mid: None,
                open: false,
                rewrite: Rewrite::new(bound.track.number.wrapping_mul(7_919)),
                types: Vec::new(),
            }),
        }
    }
}
