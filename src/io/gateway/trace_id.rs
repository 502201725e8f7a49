//! `X-Trace-ID`: taken from the request or made, told to the client again, and carried by all that its connection does.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::event::{SpanId, TraceId};

/// The header, and the gRPC metadata key.
pub(crate) const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The request's trace id (32 hexadecimal digits, or a UUID); a new one when there is none or it is something else.
pub(crate) fn trace_id(headers: &HeaderMap) -> TraceId {
    given(headers).unwrap_or_else(new_trace)
}

/// The request's trace id, when it brought one that is one.
pub(crate) fn given(headers: &HeaderMap) -> Option<TraceId> {
    TraceId::parse(headers.get(TRACE_ID)?.to_str().ok()?)
}

/// As it is told to the client.
pub(crate) fn header_value(trace: TraceId) -> HeaderValue {
    HeaderValue::try_from(trace.to_string()).expect("hexadecimal digits are a header's value")
}

fn new_trace() -> TraceId {
    // 0 would be no trace: once in 2^128
    std::iter::repeat_with(|| fastrand::u128(..)).find_map(TraceId::new).expect("an endless source has one")
}

/// A span for what the connection does as a whole.
pub(crate) fn new_span() -> SpanId {
    std::iter::repeat_with(|| fastrand::u64(..)).find_map(SpanId::new).expect("an endless source has one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_trace_id_is_taken_and_any_other_replaced() {
        let given = "4bf92f3577b34da6a3ce929d0e0e4736";
        let asked = |value: &str| trace_id(&HeaderMap::from_iter([(TRACE_ID, HeaderValue::try_from(value).unwrap())]));
        assert_eq!(asked(given).to_string(), given);
        assert_eq!(header_value(asked(given)), given);
        for bad in ["", "x", "secret token", &given[1..]] {
            assert_ne!(asked(bad), asked(bad), "{bad}: each a new one");
        }
        assert_ne!(trace_id(&HeaderMap::new()), trace_id(&HeaderMap::new()));
    }
}
