//! Trace and span ids (W3C Trace Context, level 1) as values: where a signal or a connection belongs in a trace.

use std::fmt;

/// A trace, 128 bits, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u128);

/// A span of a trace, 64 bits, never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(u64);

impl TraceId {
    /// Of these bits; 0 is no trace.
    pub const fn new(bits: u128) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// Of 32 hexadecimal digits, or of a UUID's usual form, which is the same with hyphens.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut digits, mut bits) = (0, 0_u128);
        for (place, c) in text.char_indices() {
            if c == '-' && text.len() == 36 && [8, 13, 18, 23].contains(&place) {
                continue;
            }
            bits = bits << 4 | u128::from(c.to_digit(16)?);
            digits += 1;
            if digits > 32 {
                return None;
            }
        }
        if digits == 32 { Self::new(bits) } else { None }
    }

    /// Its bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl SpanId {
    /// Of these bits; 0 is no span.
    pub const fn new(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRef {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// Whether whoever began the trace wants it kept.
    pub sampled: bool,
}

impl SpanRef {
    /// Reads a `traceparent` (W3C Trace Context, 3.2). Of a version after 00 the first four fields count.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let lengths = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
        // lower case only: "traceparent" is compared byte by byte on its way
        let lower_hex = |field: &str| field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let digits = [version, trace, span, flags].into_iter().all(lower_hex);
        if !lengths || !digits || version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        Some(Self {
            trace: TraceId::parse(trace)?,
            span: SpanId::new(u64::from_str_radix(span, 16).ok()?)?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_has_it() {
        let read = SpanRef::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!((read.trace.to_string(), read.span.to_string()), (TRACE.to_owned(), "00f067aa0ba902b7".to_owned()));
        assert!(read.sampled);
        assert!(!SpanRef::parse(&format!("00-{TRACE}-00f067aa0ba902b7-02")).unwrap().sampled);
        assert!(SpanRef::parse(&format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later")).unwrap().sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00",
            "00-0-0-0",
            &format!("00-{TRACE}-00f067aa0ba902b7-01-00"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-00f067aa0ba902b7-0é"),
            &"-".repeat(55),
        ] {
            assert_eq!(SpanRef::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_trace_id_is_taken_as_hex_digits_or_as_a_uuid_and_as_nothing_else() {
        let plain = TraceId::parse(TRACE).unwrap();
        assert_eq!(TraceId::parse("4bf92f35-77b3-4da6-a3ce-929d0e0e4736"), Some(plain));
        for text in ["", "x", &TRACE[1..], &format!("{TRACE}0"), &"0".repeat(32), "4bf92f3577b34da6-a3ce929d0e0e4736"] {
            assert_eq!(TraceId::parse(text), None, "{text}");
        }
    }
}
