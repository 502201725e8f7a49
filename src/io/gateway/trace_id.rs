//! `X-Trace-ID`: taken from the request or made, told to the client again, and carried by all that its connection does.

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::{event::TraceId, telemetry::trace::new_trace};

/// The header, and the gRPC metadata key.
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The request's trace id (32 hexadecimal digits, or a UUID); a new one when there is none or it is something else.
pub(super) fn trace_id(headers: &HeaderMap) -> TraceId {
    let given = headers.get(TRACE_ID).and_then(|value| TraceId::parse(value.to_str().ok()?));
    given.unwrap_or_else(new_trace)
}

/// Tells the client which it was, and lets a page read it.
pub(super) fn tell<B>(response: &mut Response<B>, trace: TraceId) {
    let value = HeaderValue::try_from(trace.to_string()).expect("hexadecimal digits are a header's value");
    response.headers_mut().insert(TRACE_ID, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_trace_id_is_taken_and_any_other_replaced() {
        let given = "4bf92f3577b34da6a3ce929d0e0e4736";
        let asked = |value: &str| trace_id(&HeaderMap::from_iter([(TRACE_ID, HeaderValue::try_from(value).unwrap())]));
        assert_eq!(asked(given).to_string(), given);
        for bad in ["", "x", "secret token", &given[1..]] {
            assert_ne!(asked(bad), asked(bad), "{bad}: each a new one");
        }
        assert_ne!(trace_id(&HeaderMap::new()), trace_id(&HeaderMap::new()));
        let mut response = Response::new(());
        tell(&mut response, asked(given));
        assert_eq!(response.headers()["x-trace-id"], given);
    }
}
