//! A room as it is kept outside of its router, and a room that goes on from there.
//!
//! What is kept names participants by their id, because seats are a router's own.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::AHashMap;
use bytes::{Bytes, BytesMut};

use super::{
    Audience, Bounds, Edge, Founding, Member, Request, Room, Seat, Turn,
    history::{Entry, History, Kept, Said},
    place::Merge,
};
use crate::{
    fabric::{
        AudienceKept, EdgeKept, EntryFound, EntryKept, EntryToKeep, FORMAT, MemberKept, RoomKept, SaidKept, SaidToKeep,
        To, Unreadable,
    },
    ids::{Epoch, Offset, ParticipantId, TrackId},
    protocol::v1::{self, event::Kind},
};

/// Lives of a room that are remembered; a resume across more gets a snapshot.
const EDGES_MAX: usize = 8;
/// Some twenty messages.
const BLOCK_BYTES: usize = 4_096;

/// A seat that nobody has, ever: they are given from 1.
const NOBODY: Seat = Seat(0);

/// What of a request is known from the log: its offset, and the track if it published one.
#[derive(Debug, PartialEq)]
pub(crate) struct Returned {
    pub(crate) by: Request,
    pub(crate) offset: Offset,
    pub(crate) track: Option<Box<v1::Track>>,
}

/// Members by their seats, and entries of the log by their offsets.
type Contents = (Vec<(Seat, MemberKept)>, Vec<(u64, EntryFound)>);

impl Room {
    /// From now on it is noted who changes.
    pub(crate) fn note_changes(&mut self) {
        self.touched.get_or_insert_default();
    }

    /// Something of a member changed that the room does not know of.
    pub(crate) fn touch(&mut self, seat: Seat) {
        if let Some(at) = self.position(seat) {
            self.touch_at(at);
        }
    }

    pub(super) fn touch_at(&mut self, at: usize) {
        if let Some(touched) = &mut self.touched {
            let member = &self.members[at];
            touched.insert(member.seat, member.participant.id.clone());
        }
    }

    /// Who changed or left since the last time.
    pub(crate) fn take_touched(&mut self) -> BTreeMap<Seat, ParticipantId> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How many did.
    pub(crate) fn changed(&self) -> usize {
        self.touched.as_ref().map_or(0, BTreeMap::len)
    }

    /// These are to be asked for once more.
    pub(crate) fn touch_again(&mut self, members: BTreeMap<Seat, ParticipantId>) {
        if let Some(touched) = &mut self.touched {
            touched.extend(members);
        }
    }

    /// Whose request is at hand, until it is none.
    pub(crate) fn set_request(&mut self, request: Option<Request>) {
        self.history.request = request;
    }

    /// The offset of the oldest event that is kept; without any, of the next one.
    pub(crate) fn first_kept(&self) -> Offset {
        self.history.first()
    }

    /// Its record, as far as the room knows.
    pub(crate) fn to_kept(&self) -> RoomKept {
        RoomKept {
            format: FORMAT,
            epoch: self.founding.epoch.to_string(),
            edges: self
                .edges
                .iter()
                .map(|edge| EdgeKept { epoch: edge.epoch.to_string(), last: edge.last.0 })
                .collect(),
            merges: self.merges.iter().map(Merge::to_kept).collect(),
            metadata: self.founding.metadata.to_string(),
            created_at_ms: self.founding.created_at_ms,
            participants_max: self.founding.participants_max,
            empty_timeout_ms: u64::try_from(self.founding.empty_timeout.as_millis()).unwrap_or(u64::MAX),
            ..RoomKept::default()
        }
    }

    /// Its events after that one, as they are kept.
    pub(crate) fn kept_after(
        &self,
        after: Offset,
        (at, unix_ms): (Instant, u64),
    ) -> impl Iterator<Item = (u64, Bytes)> {
        // they are written one behind the other into blocks, and each of them is a part of one
        let mut all = BytesMut::with_capacity(BLOCK_BYTES);
        self.history.after(after).map(move |(offset, entry)| {
            let said = match (&entry.written, said_to_keep(&entry.kept)) {
                (None, Ok(said)) => said,
                (Some(written), _) => return (offset.0, (**written).clone()),
                (None, Err(written)) => return (offset.0, written.clone()),
            };
            let age = at.saturating_duration_since(entry.at).as_millis() as u64;
            self.entry_kept((offset, entry), said, unix_ms.saturating_sub(age)).put(&mut all);
            (offset.0, all.split().freeze())
        })
    }

    fn entry_kept<'a>(
        &'a self,
        (offset, entry): (Offset, &'a Entry),
        said: SaidToKeep<'a>,
        at_unix_ms: u64,
    ) -> EntryToKeep<'a> {
        let name = |seat| self.member(seat).map_or("", |member| member.participant.id.as_str());
        let (to, one, other) = match entry.audience {
            Audience::All => (To::All, NOBODY, NOBODY),
            Audience::Except(one) => (To::Except, one, NOBODY),
            Audience::AdminsAnd(one) => (To::AdminsAnd, one, NOBODY),
            Audience::AdminsExcept(one) => (To::AdminsExcept, one, NOBODY),
            Audience::OrdinaryExcept(one) => (To::OrdinaryExcept, one, NOBODY),
            Audience::Pair(one, other) => (To::Pair, one, other),
        };
        let audience = AudienceKept { to, one: name(one), other: name(other) };
        let by = entry.by.map_or(("", 0), |(seat, request)| (name(seat), request));
        EntryToKeep { at_unix_ms, audience, by, offset: offset.0, said }
    }

    /// A room that was kept, with nobody on a connection, and before it goes on.
    ///
    /// # Errors
    /// What was kept is no such thing.
    pub(crate) fn restore(
        (founding, kept): (Founding, &RoomKept),
        tip: Offset,
        (members, entries): Contents,
        (bounds, (at, unix_ms)): (Arc<Bounds>, (Instant, u64)),
    ) -> Result<Self, Unreadable> {
        let seats: AHashMap<String, Seat> =
            members.iter().map(|(seat, member)| (member.participant.id.clone(), *seat)).collect();
        let entries = entries.into_iter().filter_map(|(offset, entry)| {
            let age = Duration::from_millis(unix_ms.saturating_sub(entry.kept.at_unix_ms));
            let at = at.checked_sub(age).unwrap_or(at);
            let entry = match entry_from(entry.kept, at, &seats) {
                Some(known) => known.written_as(entry.more),
                None => Entry::new(at, Audience::Pair(NOBODY, NOBODY), Kept::Unknown(entry.more?), None),
            };
            Some((Offset(offset), entry))
        });
        let history = History::restore(tip, entries.collect::<Vec<_>>().into_iter());
        let mut edges = edges_from(kept, tip)?;
        edges.drain(..edges.len().saturating_sub(EDGES_MAX));
        let merges = kept.merges.iter().map(Merge::read).collect::<Result<_, _>>()?;
        let mut room = Self { history, edges, merges, ..Self::new(founding, bounds) };
        for (seat, member) in members {
            room.seat_again(seat, member);
        }
        Ok(room)
    }

    pub(super) fn seat_again(&mut self, seat: Seat, kept: MemberKept) {
        let member = Member::restored(seat, kept);
        self.seats.insert(member.identity().clone(), seat);
        let tracks = member.participant.tracks.iter();
        self.track_owners.extend(tracks.map(|track| (TrackId::from(track.id.as_str()), seat)));
        self.members.push(member);
    }

    /// Says that the room goes on in another epoch: the first event of it.
    pub(crate) fn go_on(&mut self, turn: &mut Turn<'_>) -> Offset {
        let edge = self.edges.last().copied().unwrap_or(Edge { epoch: self.founding.epoch, last: Offset(0) });
        let went_on = v1::RoomContinued { epoch: edge.epoch.to_string(), offset: edge.last.0 };
        self.emit(Audience::All, Kind::RoomContinued(went_on), turn)
    }

    /// Requests whose events are in the log, oldest first.
    pub(crate) fn returned(&self) -> impl Iterator<Item = Returned> {
        self.history.after(Offset(self.first_kept().0.saturating_sub(1))).filter_map(|(offset, entry)| {
            let track = match &entry.kept {
                Kept::Event(kind) => match &**kind {
                    Kind::TrackPublished(track) => Some(track.clone()),
                    _ => None,
                },
                Kept::Message(_) | Kept::Unknown(_) => None,
            };
            Some(Returned { by: entry.by?, offset, track })
        })
    }

    /// The life of the room that an event is of.
    pub(super) fn epoch_of(&self, offset: Offset) -> Epoch {
        let edge = self.edges.iter().find(|edge| offset <= edge.last);
        edge.map_or(self.founding.epoch, |edge| edge.epoch)
    }
}

impl Member {
    /// Its record, without its session.
    pub(crate) fn to_kept(&self) -> MemberKept {
        MemberKept {
            participant: self.to_wire(),
            tracks: self.participant.tracks.clone(),
            since: self.since.0,
            auto_subscribe: self.participant.auto_subscribe,
            exceptions: self.participant.exceptions.iter().map(|track| track.as_str().to_owned()).collect(),
            heard: self.participant.heard.to_kept(),
            heard_said: self.participant.heard_said.to_kept(),
            ..MemberKept::default()
        }
    }
}

/// The lives of a room that was kept, each with its end.
///
/// # Errors
/// One is none.
pub(super) fn edges_from(kept: &RoomKept, tip: Offset) -> Result<Vec<Edge>, Unreadable> {
    let ended = kept.edges.iter().map(|edge| Ok(Edge { epoch: epoch_from(&edge.epoch)?, last: Offset(edge.last) }));
    ended.chain([epoch_from(&kept.epoch).map(|epoch| Edge { epoch, last: tip })]).collect()
}

/// Absent: a newer version says something in it that is not known here.
pub(super) fn entry_from(kept: EntryKept, at: Instant, seats: &AHashMap<String, Seat>) -> Option<Entry> {
    let seat = |id: &str| seats.get(id).copied().unwrap_or(NOBODY);
    let named = kept.audience();
    let (one, other) = (seat(named.one), seat(named.other));
    let audience = match named.to {
        To::Nobody => Audience::Pair(NOBODY, NOBODY),
        To::All => Audience::All,
        To::Except => Audience::Except(one),
        To::AdminsAnd => Audience::AdminsAnd(one),
        To::AdminsExcept => Audience::AdminsExcept(one),
        To::OrdinaryExcept => Audience::OrdinaryExcept(one),
        To::Pair => Audience::Pair(one, other),
    };
    let by = Some((seat(&kept.by), kept.request)).filter(|(seat, _)| *seat != NOBODY);
    let kept = match kept.said? {
        SaidKept::Event(event) => Kept::Event(Box::new(event.kind?)),
        SaidKept::Data(push) => Kept::Message(Said {
            from: push.from.into(),
            data: push.data.map(Into::into),
            bytes: push.bytes,
            topic: push.topic.into(),
        }),
    };
    Some(Entry::new(at, audience, kept, by))
}

/// What an entry says.
///
/// # Errors
/// Only a newer build knows; as it was written.
fn said_to_keep(kept: &Kept) -> Result<SaidToKeep<'_>, &Bytes> {
    Ok(match kept {
        Kept::Event(kind) => SaidToKeep::Event(kind),
        Kept::Message(said) => SaidToKeep::Data {
            from: said.from.as_str(),
            data: said.data.as_deref(),
            bytes: said.bytes.as_deref(),
            topic: &said.topic,
        },
        Kept::Unknown(written) => return Err(written),
    })
}

/// An epoch as it is written.
///
/// # Errors
/// It is none.
pub(super) fn epoch_from(text: &str) -> Result<Epoch, Unreadable> {
    Epoch::read(text).ok_or_else(|| Unreadable::new("an epoch", "allowed: 16 hexadecimal digits"))
}
