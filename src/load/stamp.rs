//! What every payload of the load carries: whose flow it is of, its place in it, and when it was due.
//!
//! Found by a byte search, so that a delivery costs the generator next to nothing: it shares the machine
//! with the router that it measures.

use std::{fmt::Write, sync::LazyLock};

use memchr::memmem::Finder;

/// Free of quotes, so that it survives being escaped inside JSON.
const MARK: &str = "load[";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

/// The place of one payload in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which flow towards the receiver; a sender has one flow for each kind of payload.
    pub(crate) flow: u32,
    /// From 1, without gaps.
    pub(crate) number: u64,
    /// When it should have been sent, in nanoseconds of the run.
    pub(crate) due_ns: u64,
}

impl Stamp {
    /// Appends the stamp as text.
    pub(crate) fn write_to(self, out: &mut String) {
        write!(out, "{MARK}{},{},{}]", self.flow, self.number, self.due_ns).expect("a String takes any text");
    }

    /// A message for `send.data`: the stamp and a padding.
    pub(crate) fn message(self, padding: &str) -> String {
        let mut json = String::with_capacity(padding.len() + 64);
        json.push_str("{\"m\":\"");
        self.write_to(&mut json);
        json.push_str("\",\"p\":\"");
        json.push_str(padding);
        json.push_str("\"}");
        json
    }

    /// The first stamp in these bytes.
    pub(crate) fn find(bytes: &[u8]) -> Option<Self> {
        let from = FINDER.find(bytes)? + MARK.len();
        let (flow, rest) = number(&bytes[from..], b',')?;
        let (place, rest) = number(rest, b',')?;
        let (due_ns, _) = number(rest, b']')?;
        Some(Self { flow: u32::try_from(flow).ok()?, number: place, due_ns })
    }
}

/// A decimal number and what follows the byte that ends it.
fn number(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            _ if *byte == end && at > 0 => return Some((value, &bytes[at + 1..])),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { flow: 3, number: 41, due_ns: 12_345_678_901 };

    #[test]
    fn a_stamp_is_found_in_what_it_was_written_to() {
        assert_eq!(Stamp::find(STAMP.message("xxxx").as_bytes()), Some(STAMP));
        let quoted = serde_json::to_string(&STAMP.message("y")).unwrap();
        assert_eq!(Stamp::find(quoted.as_bytes()), Some(STAMP), "also where the JSON was quoted once more");
    }

    #[test]
    fn what_carries_no_whole_stamp_has_none() {
        for text in ["", "{}", "load[", "load[1,2]", "load[1,2,3", "load[,2,3]", "load[1,99999999999999999999,3]"] {
            assert_eq!(Stamp::find(text.as_bytes()), None, "{text}");
        }
    }
}
