//! `data`: one JSON value of bounded depth, checked without building anything from it.
//!
//! Must not change or copy the text: it is relayed byte for byte.

use serde_json::value::RawValue;

use super::{Checked, Encoding, JSON_DEPTH, Limits, bad, within};

pub(super) fn check(field: &str, encoding: Encoding, text: &str, limits: &Limits) -> Checked {
    if encoding == Encoding::Protobuf {
        // the parser skips values with a loop, not with recursion, so depth cannot hurt it
        serde_json::from_str::<&RawValue>(text).map_err(|e| bad(format!("{field}.data is not one JSON value: {e}")))?;
    }
    if brackets(text) <= limits.json_depth {
        return Ok(());
    }
    within(&format!("{field}.data"), depth(text), JSON_DEPTH.of(limits))
}

/// How many opening brackets there are, those in strings included: never less than the depth.
fn brackets(text: &str) -> usize {
    // `[` and `{` differ in one bit, so this is one comparison a byte, and the compiler makes vectors of it
    text.as_bytes()
        .chunks(192)
        .map(|part| usize::from(part.iter().map(|b| u8::from(b | 0x20 == b'{')).sum::<u8>()))
        .sum()
}

/// The deepest nesting of a valid JSON text.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Goes on to behind the quote that ends a string.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}
