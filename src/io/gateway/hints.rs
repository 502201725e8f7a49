//! What a client says that gray release asks for: headers or gRPC metadata, else query parameters, which are all that a
//! browser can set.
//!
//! Hints, not an identity: nothing but the choice of a variant is made of them, and what cannot be used counts as not said.

use http::HeaderMap;
use serde::Deserialize;

use crate::gray::{Hints, usable};

const AB_TAG: &str = "x-ab-tag";
const USER_ID: &str = "x-user-id";
const DEVICE_TYPE: &str = "x-device-type";

/// In the query.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said {
    ab_tag: Option<String>,
    user_id: Option<String>,
    device_type: Option<String>,
}

/// What is known of a client whose token is this subject's. A header wins over the query: a proxy in front sets those.
pub(super) fn hints<'a>(headers: &'a HeaderMap, said: &'a Said, subject: &'a str) -> Hints<'a> {
    let hint = |name: &str, said: &'a Option<String>| {
        let header = headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        usable(header).or_else(|| usable(said.as_deref()))
    };
    Hints {
        ab_tag: hint(AB_TAG, &said.ab_tag),
        user: hint(USER_ID, &said.user_id).unwrap_or(subject),
        device_type: hint(DEVICE_TYPE, &said.device_type),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::gray::HINT_BYTES_MAX;

    fn said(query: &str) -> Said {
        serde_urlencoded::from_str(query).unwrap()
    }

    fn got(headers: &[(&'static str, &[u8])], query: &str) -> (Option<String>, String, Option<String>) {
        let header = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        let (headers, said) = (headers.iter().map(header).collect(), said(query));
        let Hints { ab_tag, user, device_type } = hints(&headers, &said, "the-subject");
        (ab_tag.map(str::to_owned), user.to_owned(), device_type.map(str::to_owned))
    }

    fn hint(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn headers_win_over_the_query_and_the_user_is_else_the_tokens_subject() {
        let query = "ab_tag=b&user_id=bob&device_type=ios%2017";
        assert_eq!(got(&[], ""), (None, "the-subject".to_owned(), None));
        assert_eq!(got(&[], query), (hint("b"), "bob".to_owned(), hint("ios 17")));
        let headers: &[(_, &[u8])] = &[("x-ab-tag", b"a"), ("x-user-id", b"ann"), ("x-device-type", b"tv")];
        assert_eq!(got(headers, query), (hint("a"), "ann".to_owned(), hint("tv")));
    }

    #[test]
    fn what_cannot_be_used_counts_as_not_said() {
        let long = vec![b'x'; HINT_BYTES_MAX + 1];
        for bad in [b"".as_slice(), b"\xff\xfe", &long] {
            assert_eq!(got(&[("x-user-id", bad), ("x-ab-tag", bad)], ""), (None, "the-subject".to_owned(), None));
            assert_eq!(got(&[("x-user-id", bad)], "user_id=bob").1, "bob");
        }
        let long = String::from_utf8(long).unwrap();
        assert_eq!(
            got(&[], &format!("user_id={long}&device_type={long}&ab_tag=")),
            (None, "the-subject".to_owned(), None)
        );
        assert_eq!(got(&[("x-user-id", "\u{e9}va".as_bytes())], "").1, "\u{e9}va");
    }
}
