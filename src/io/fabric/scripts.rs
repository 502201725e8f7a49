//! What Redis is asked, and how its answers read. A room is changed by scripts, so that each change is whole.
//!
//! A script is named by its hash; a Redis that does not know it, because it was started anew or has been a replica, is sent
//! the text.

use std::sync::LazyLock;

use bytes::Bytes;
use redis::{Cmd, Value};
use sha1::{Digest as _, Sha1};

use super::refusal::strange;
use crate::{
    fabric::{BRANCH_PREFIX, BRANCHES_MAX, Fault, Kept, Taken, Write, Written},
    ids::RoomId,
};

/// A script, and the name that Redis knows it by.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { text, hash }
    }
}

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));
static BESIDE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beside.lua")));
static END: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("end.lua")));

/// Fields of a room's state that are not its router's.
const OWN_FIELDS: [&str; 7] = ["owner", "fence", "seq", "edition", "released", "branches", "last"];

/// The two keys of a room. They share a hash tag, and so a slot of a Cluster.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) state: String,
    pub(super) log: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, scope: &str, room: &RoomId) -> Self {
        let key = |what| format!("{prefix}{{r/{scope}/{room}}}:{what}");
        Self { state: key("state"), log: key("log") }
    }
}

/// A question about a room: which, who asks, the number of the call, how long the room is kept in milliseconds.
pub(super) struct Asked<'a> {
    pub(super) keys: Keys,
    pub(super) me: &'a str,
    /// Goes up: what comes late, after one with a higher number, changes nothing.
    pub(super) seq: u64,
    pub(super) keep_ms: u128,
    pub(super) what: What<'a>,
}

/// What is asked.
pub(super) enum What<'a> {
    Take { force: bool },
    Write(&'a Write),
    Beside { name: &'a str, instead: &'a str, branch: &'a Bytes },
    End { fence: u64 },
}

const fn flag(set: bool) -> &'static str {
    if set { "1" } else { "0" }
}

impl Asked<'_> {
    /// As it is sent: by the script's hash, or with its text.
    pub(super) fn command(&self, by_hash: bool) -> Cmd {
        let script: &Script = match self.what {
            What::Take { .. } => &TAKE,
            What::Write(_) => &WRITE,
            What::Beside { .. } => &BESIDE,
            What::End { .. } => &END,
        };
        let (args, bytes) = self.size();
        let mut command = Cmd::with_capacity(args + 6, bytes + if by_hash { 64 } else { script.text.len() });
        match by_hash {
            true => command.arg("EVALSHA").arg(&script.hash),
            false => command.arg("EVAL").arg(script.text),
        };
        command.arg("2").arg(&self.keys.state).arg(&self.keys.log).arg(self.me).arg(self.seq.to_string());
        match &self.what {
            What::Take { force } => command.arg(flag(*force)).arg(self.keep_ms.to_string()),
            What::Write(write) => arguments(&mut command, write, self.keep_ms),
            What::Beside { name, instead, branch } => command
                .arg(name)
                .arg(instead)
                .arg(BRANCHES_MAX.to_string())
                .arg(self.keep_ms.to_string())
                .arg(branch.as_ref()),
            What::End { fence } => command.arg(fence.to_string()),
        };
        command
    }

    /// About how many bytes it takes up.
    pub(super) fn bytes(&self) -> usize {
        self.size().1
    }

    /// About how many arguments, and bytes of them.
    fn size(&self) -> (usize, usize) {
        let own = 2 * self.keys.state.len() + self.me.len() + 84;
        match &self.what {
            What::Take { .. } | What::End { .. } => (5, own),
            What::Beside { name, instead, branch } => (7, own + name.len() + instead.len() + branch.len()),
            What::Write(write) => {
                let set: usize = write.set.iter().map(|(name, content)| name.len() + content.len()).sum();
                let deleted: usize = write.delete.iter().map(String::len).sum();
                let entries: usize = write.entries.iter().map(|(_, content)| content.len() + 20).sum();
                let count = 2 * write.set.len() + write.delete.len() + 2 * write.entries.len();
                (count + 13, own + set + deleted + entries)
            }
        }
    }
}

fn arguments<'a>(command: &'a mut Cmd, write: &Write, keep_ms: u128) -> &'a mut Cmd {
    command.arg(write.fence.to_string()).arg(keep_ms.to_string());
    command.arg(flag(write.reset)).arg(flag(write.released)).arg(write.trim_below.to_string());
    command.arg(write.edition.to_string()).arg(write.after.to_string()).arg(flag(write.unless_later));
    command.arg(write.set.len().to_string());
    for (name, content) in &write.set {
        command.arg(name).arg(content.as_ref());
    }
    command.arg(write.delete.len().to_string());
    for name in &write.delete {
        command.arg(name);
    }
    command.arg(write.entries.len().to_string());
    for (offset, content) in &write.entries {
        command.arg(offset.to_string()).arg(content.as_ref());
    }
    command
}

/// What a take brought.
pub(super) fn taken(answer: Value) -> Result<Taken, Fault> {
    let mut parts = list(answer).ok_or_else(|| strange("a take"))?.into_iter();
    let mut next = || parts.next().ok_or_else(|| strange("a take"));
    let taken = match text(next()?).as_deref() {
        Some("nothing") => number(next()?).map(|fence| Taken::Nothing { fence }),
        Some("held") => text(next()?).map(|owner| Taken::Held { owner }),
        Some("kept") => {
            let (fence, state, entries) = (number(next()?), fields(next()?), entries(next()?));
            fence.zip(state).zip(entries).map(|((fence, state), entries)| {
                let (own, state): (Vec<_>, Vec<_>) =
                    state.into_iter().partition(|(name, _)| OWN_FIELDS.contains(&name.as_str()));
                let (branches, fields) = state.into_iter().partition(|(name, _)| name.starts_with(BRANCH_PREFIX));
                Taken::Kept(Kept { fence, edition: edition(&own), fields, entries, branches })
            })
        }
        _ => None,
    };
    taken.ok_or_else(|| strange("a take"))
}

/// What became of a write, or of an end.
pub(super) fn written(answer: Value) -> Result<Written, Fault> {
    let mut parts = list(answer).ok_or_else(|| strange("a write"))?.into_iter();
    let written = match parts.next().and_then(text).as_deref() {
        Some("written") => Some(Written::Written),
        Some("branched") => Some(Written::Branched),
        Some("missing") => Some(Written::Missing),
        Some("fenced") => parts.next().and_then(text).map(|owner| Written::Fenced { owner }),
        _ => None,
    };
    written.ok_or_else(|| strange("a write"))
}

/// Whether there was a place for a branch.
pub(super) fn put(answer: Value) -> Result<bool, Fault> {
    match list(answer).and_then(|parts| parts.into_iter().next()).and_then(text).as_deref() {
        Some("put") => Ok(true),
        Some("full") => Ok(false),
        _ => Err(strange("a branch")),
    }
}

/// Names and contents, one after the other.
fn fields(value: Value) -> Option<Vec<(String, Bytes)>> {
    let (mut all, mut fields) = (list(value)?.into_iter(), Vec::new());
    while let Some(name) = all.next() {
        fields.push((text(name)?, bytes(all.next()?)?));
    }
    Some(fields)
}

/// Which write of its router's stands.
fn edition(own: &[(String, Bytes)]) -> u64 {
    let said = own.iter().find(|(name, _)| name == "edition");
    said.and_then(|(_, number)| std::str::from_utf8(number).ok()?.parse().ok()).unwrap_or(0)
}

/// Each an id, and the list of its one name and content.
fn entries(value: Value) -> Option<Vec<(u64, Bytes)>> {
    let entry = |value| {
        let [id, content]: [Value; 2] = list(value)?.try_into().ok()?;
        let [_, content]: [Value; 2] = list(content)?.try_into().ok()?;
        let id = text(id)?;
        let (offset, _) = id.split_once('-')?;
        Some((offset.parse().ok()?, bytes(content)?))
    };
    list(value)?.into_iter().map(entry).collect()
}

/// The parts of a list.
pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(parts) => Some(parts),
        _ => None,
    }
}

/// A text.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::SimpleString(text) => Some(text),
        other => String::from_utf8(bytes(other)?.into()).ok(),
    }
}

/// A number, as such or as text.
pub(super) fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => number.try_into().ok(),
        other => text(other)?.parse().ok(),
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_keys_of_a_room_share_a_tag_whatever_its_name() {
        for room in ["r", "a}b", "{x}", "é"] {
            let Keys { state, log } = Keys::new("signalbox:", "fleet", &room.into());
            assert_eq!(state, format!("signalbox:{{r/fleet/{room}}}:state"));
            let tag = |key: &str| key.split_once('{').unwrap().1.split_once('}').unwrap().0.to_owned();
            assert!(tag(&state) == tag(&log) && !tag(&state).is_empty());
        }
    }

    #[test]
    fn a_command_is_what_its_script_reads() {
        let write = Write {
            fence: 3,
            edition: 6,
            after: 5,
            trim_below: 4,
            set: vec![("f".to_owned(), Bytes::from_static(&[0, 255]))],
            delete: vec!["m:1".to_owned()],
            entries: vec![(7, Bytes::from_static(b"e"))],
            ..Write::default()
        };
        let what = What::Write(&write);
        let asked = Asked { keys: Keys::new("p:", "s", &"r".into()), me: "r1", seq: 8, keep_ms: 9, what };
        let sent = asked.command(true).get_packed_command();
        let sent =
            sent.split(|byte| *byte == b'\n').skip(2).step_by(2).map(|part| part.strip_suffix(b"\r").unwrap_or(part));
        let expected: [&[u8]; 22] = [
            b"2",
            b"p:{r/s/r}:state",
            b"p:{r/s/r}:log",
            b"r1",
            b"8",
            b"3",
            b"9",
            b"0",
            b"0",
            b"4",
            b"6",
            b"5",
            b"0",
            b"1",
            b"f",
            &[0, 255],
            b"1",
            b"m:1",
            b"1",
            b"7",
            b"e",
            b"",
        ];
        assert_eq!(sent.skip(2).collect::<Vec<_>>(), expected[..21].to_vec());
        assert!(String::from_utf8_lossy(&asked.command(false).get_packed_command()).contains("XADD"));
    }

    #[test]
    fn answers_of_another_shape_are_told_and_none_of_them_panics() {
        let odd = [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![bulk("kept"), bulk("x"), Value::Array(vec![bulk("f")]), Value::Nil]),
            Value::Array(vec![bulk("held")]),
            Value::Array(vec![bulk("nothing"), bulk("-1")]),
            Value::Array(vec![bulk("else")]),
        ];
        for value in odd {
            assert!(taken(value.clone()).is_err() && written(value.clone()).is_err(), "{value:?}");
            assert!(put(value.clone()).is_err(), "{value:?}");
        }
        let fields =
            ["owner", "r1", "f", "room", "edition", "9", "last", "7", "branches", "1", "b:7.1", "branch"].map(bulk);
        let fields = Value::Array(fields.to_vec());
        let entry = Value::Array(vec![bulk("7-0"), Value::Array(vec![bulk("e"), bulk("event")])]);
        let kept = taken(Value::Array(vec![bulk("kept"), bulk("2"), fields, Value::Array(vec![entry])])).unwrap();
        let expected = Kept {
            fence: 2,
            edition: 9,
            fields: vec![("f".to_owned(), Bytes::from_static(b"room"))],
            entries: vec![(7, Bytes::from_static(b"event"))],
            branches: vec![("b:7.1".to_owned(), Bytes::from_static(b"branch"))],
        };
        assert_eq!(kept, Taken::Kept(expected));
    }
}
