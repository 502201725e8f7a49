//! One event of a room's log as it is kept: what was said, who may see it, whose request it was.
//!
//! Participants are named by their id: seats are a router's own.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

use super::Unreadable;
use crate::protocol::v1::{self, event::Kind};

/// See the module. What a newer build says beside it is in [`EntryFound`].
#[derive(Clone, PartialEq, Message)]
pub struct EntryKept {
    /// When, in Unix milliseconds of the router that wrote it.
    #[prost(uint64, tag = "1")]
    pub at_unix_ms: u64,
    /// To whom, a [`To`].
    #[prost(enumeration = "To", tag = "2")]
    pub to: i32,
    /// Whom the audience names; empty: nobody, or somebody who left meanwhile.
    #[prost(string, tag = "3")]
    pub one: String,
    /// The other of a pair.
    #[prost(string, tag = "4")]
    pub other: String,
    /// Whose request it was; empty: nobody's who would repeat it.
    #[prost(string, tag = "5")]
    pub by: String,
    /// The request's `id`.
    #[prost(uint64, tag = "6")]
    pub request: u64,
    /// What happened.
    #[prost(oneof = "SaidKept", tags = "10, 11")]
    pub said: Option<SaidKept>,
}

/// An entry as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryFound {
    /// As far as this build knows what it says.
    pub kept: EntryKept,
    /// As it was written, where it says more than that: so it is written again, if it is.
    pub more: Option<Bytes>,
}

/// What an entry says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum SaidKept {
    /// Something happened.
    #[prost(message, tag = "10")]
    Event(v1::Event),
    /// Somebody said something.
    #[prost(message, tag = "11")]
    Data(v1::DataPush),
}

/// Who may see an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum To {
    /// Nobody: what a newer version says in a word of its own.
    Nobody = 0,
    /// Everybody.
    All = 1,
    /// Everybody but `one`.
    Except = 2,
    /// Admins, and `one`.
    AdminsAnd = 3,
    /// Admins but `one`.
    AdminsExcept = 4,
    /// Everybody who is no admin, but `one`.
    OrdinaryExcept = 5,
    /// `one` and `other`.
    Pair = 6,
}

/// An audience with its participants by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudienceKept<'a> {
    /// Which.
    pub to: To,
    /// Whom it names.
    pub one: &'a str,
    /// The other of a pair.
    pub other: &'a str,
}

/// An entry as a room has it, to be written as an [`EntryKept`] without a copy of what it says: each event of each room that is kept
/// is written once.
#[derive(Clone, Copy, Debug)]
pub struct EntryToKeep<'a> {
    /// See [`EntryKept`].
    pub at_unix_ms: u64,
    /// To whom.
    pub audience: AudienceKept<'a>,
    /// Whose request it was, and its `id`.
    pub by: (&'a str, u64),
    /// Where it stands in the log.
    pub offset: u64,
    /// What happened.
    pub said: SaidToKeep<'a>,
}

/// What an entry says, as a room has it.
#[derive(Clone, Copy, Debug)]
pub enum SaidToKeep<'a> {
    /// Something happened.
    Event(&'a Kind),
    /// Somebody said something.
    Data {
        /// Who; empty: the admin API.
        from: &'a str,
        /// As text,
        data: Option<&'a str>,
        /// or as bytes.
        bytes: Option<&'a [u8]>,
        /// May be empty.
        topic: &'a str,
    },
}

impl EntryToKeep<'_> {
    /// Writes it behind what is there, in one go: its parts are not made first.
    pub fn put(&self, out: &mut BytesMut) {
        let (tag, said) = (self.said.tag(), self.said.len(self.offset));
        let AudienceKept { to, one, other } = self.audience;
        // what numbers and keys take, and the rest
        out.reserve(48 + one.len() + other.len() + self.by.0.len() + said);
        number(1, self.at_unix_ms, out);
        // none is negative: written as any other number
        number(2, u64::from(to as i32 as u32), out);
        text(3, one, out);
        text(4, other, out);
        text(5, self.by.0, out);
        number(6, self.by.1, out);
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(said as u64, out);
        self.said.put(self.offset, out);
    }
}

impl SaidToKeep<'_> {
    /// The field that it is.
    const fn tag(&self) -> u32 {
        match self {
            Self::Event(_) => 10,
            Self::Data { .. } => 11,
        }
    }

    /// As a message of its own.
    fn put(&self, offset: u64, out: &mut BytesMut) {
        match *self {
            Self::Event(kind) => {
                number(3, offset, out);
                kind.encode(out);
            }
            Self::Data { from, data, bytes, topic } => {
                text(1, from, out);
                if let Some(data) = data {
                    field(2, data.as_bytes(), out);
                }
                if let Some(bytes) = bytes {
                    field(3, bytes, out);
                }
                text(4, topic, out);
                encode_key(5, WireType::Varint, out);
                encode_varint(offset, out);
            }
        }
    }

    /// How long that is.
    fn len(&self, offset: u64) -> usize {
        // all keys here take one byte
        let field = |content: &[u8]| 1 + encoded_len_varint(content.len() as u64) + content.len();
        let text = |text: &str| if text.is_empty() { 0 } else { field(text.as_bytes()) };
        let number = 1 + encoded_len_varint(offset);
        match *self {
            Self::Event(kind) => kind.encoded_len() + if offset == 0 { 0 } else { number },
            Self::Data { from, data, bytes, topic } => {
                text(from)
                    + data.map_or(0, |data| field(data.as_bytes()))
                    + bytes.map_or(0, field)
                    + text(topic)
                    + number
            }
        }
    }
}

/// A field that is not written when it is zero, as proto3 has it;
fn number(tag: u32, number: u64, out: &mut BytesMut) {
    if number != 0 {
        encode_key(tag, WireType::Varint, out);
        encode_varint(number, out);
    }
}

/// one that is not when it is empty;
fn text(tag: u32, text: &str, out: &mut BytesMut) {
    if !text.is_empty() {
        field(tag, text.as_bytes(), out);
    }
}

/// and one that is there whatever it holds.
fn field(tag: u32, content: &[u8], out: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.put_slice(content);
}

impl EntryFound {
    /// What was written.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn read(bytes: &Bytes) -> Result<Self, Unreadable> {
        let kept = EntryKept::read(bytes)?;
        // fields that are not known are not in it; a copy, since the original may keep a whole answer of Redis alive
        let more = (kept.encoded_len() != bytes.len()).then(|| Bytes::copy_from_slice(bytes));
        Ok(Self { kept, more })
    }
}

impl EntryKept {
    /// What was written.
    ///
    /// # Errors
    /// It is no such thing.
    pub fn read(bytes: &Bytes) -> Result<Self, Unreadable> {
        Self::decode(bytes.clone()).map_err(|why| Unreadable::new("an entry of the log", why))
    }

    /// Who may see it.
    pub fn audience(&self) -> AudienceKept<'_> {
        AudienceKept { to: self.to(), one: &self.one, other: &self.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(entry: &EntryToKeep<'_>, said: SaidKept) -> EntryKept {
        let AudienceKept { to, one, other } = entry.audience;
        EntryKept {
            at_unix_ms: entry.at_unix_ms,
            to: to as i32,
            one: one.to_owned(),
            other: other.to_owned(),
            by: entry.by.0.to_owned(),
            request: entry.by.1,
            said: Some(said),
        }
    }

    fn holds(entry: EntryToKeep<'_>, said: SaidKept) {
        let expected = kept(&entry, said);
        let mut written = BytesMut::from(&b"before"[..]);
        entry.put(&mut written);
        let written = written.split_off(6).freeze();
        assert_eq!(written, expected.encode_to_vec());
        assert_eq!(EntryKept::read(&written), Ok(expected));
    }

    fn entry<'a>(to: To, (one, other): (&'a str, &'a str), said: SaidToKeep<'a>) -> EntryToKeep<'a> {
        let audience = AudienceKept { to, one, other };
        EntryToKeep { at_unix_ms: 1_700_000_000_123, audience, by: ("p-é", 77), offset: 1 << 40, said }
    }

    #[test]
    fn a_message_is_written_as_its_schema_reads_it() {
        for (data, bytes) in [(Some("hello"), None), (None, Some(&[0_u8, 255, 7][..])), (Some(""), None), (None, None)]
        {
            for (from, topic) in [("alice", "chat"), ("", "")] {
                let entry = entry(To::All, ("", ""), SaidToKeep::Data { from, data, bytes, topic });
                let push = v1::DataPush {
                    from: from.to_owned(),
                    data: data.map(str::to_owned),
                    bytes: bytes.map(Bytes::from_static),
                    topic: topic.to_owned(),
                    offset: Some(1 << 40),
                    seq: None,
                };
                holds(entry, SaidKept::Data(push));
            }
        }
    }

    #[test]
    fn an_event_is_written_as_its_schema_reads_it_whoever_may_see_it() {
        let participant = v1::Participant { id: "p1".to_owned(), identity: "bob".to_owned(), ..Default::default() };
        let kinds = [Kind::ParticipantJoined(Box::new(participant)), Kind::RoomClosed(v1::RoomClosed::default())];
        for kind in kinds {
            for (to, named) in [(To::All, ("", "")), (To::Nobody, ("", "")), (To::Pair, ("p1", "p2"))] {
                let event = v1::Event { offset: 1 << 40, kind: Some(kind.clone()), ..Default::default() };
                holds(entry(to, named, SaidToKeep::Event(&kind)), SaidKept::Event(event));
            }
        }
    }

    #[test]
    fn what_a_newer_build_says_beside_it_is_found_and_nothing_else_is() {
        let said = SaidToKeep::Data { from: "alice", data: Some("hello"), bytes: None, topic: "" };
        let mut written = BytesMut::new();
        entry(To::All, ("", ""), said).put(&mut written);
        let known = EntryFound::read(&written.clone().freeze()).unwrap();
        assert_eq!(known.more, None);
        encode_key(99, WireType::Varint, &mut written);
        encode_varint(7, &mut written);
        let newer = written.freeze();
        assert_eq!(EntryFound::read(&newer), Ok(EntryFound { more: Some(newer.clone()), ..known }));
        // in what happened as well
        let event = v1::Event { kind: None, ..Default::default() };
        let mut unknown = event.encode_to_vec();
        unknown.extend([0xfa, 0x06, 0x01, 0x00]);
        let mut written = BytesMut::new();
        field(10, &unknown, &mut written);
        let written = written.freeze();
        let found = EntryFound::read(&written).unwrap();
        assert_eq!((found.kept.said, found.more), (Some(SaidKept::Event(event)), Some(written)));
    }

    #[test]
    fn what_is_zero_is_left_out() {
        let said = SaidToKeep::Data { from: "", data: None, bytes: None, topic: "" };
        let audience = AudienceKept { to: To::Nobody, one: "", other: "" };
        let entry = EntryToKeep { at_unix_ms: 0, audience, by: ("", 0), offset: 0, said };
        holds(entry, SaidKept::Data(v1::DataPush { offset: Some(0), ..Default::default() }));
    }
}
