//! What is asked for of profiles: lengths and windows clamped to what there is, words refused with what is allowed.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};

use super::refused;
use crate::{
    io::ops::pages::quoted,
    profiler::{
        REACH, marks,
        profile::{OP, THREAD, UNKNOWN},
    },
};

/// Recorded when nothing is said, as Go's.
const SECONDS_DEFAULT: f64 = 30.0;
/// The shortest window.
pub(super) const SECONDS_MIN: f64 = 1.0;
/// The longest that is recorded: a connection of this port lives ten minutes.
const RECORDED_SECONDS_MAX: f64 = 300.0;

/// What is wrong with a request, and what is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong(pub(super) String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        refused(StatusCode::BAD_REQUEST, &self.0)
    }
}

/// The query; what is not known is passed over, since tools add things of their own.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Wrong;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Wrong> {
        let query = parts.uri.query().unwrap_or_default();
        let unread = |error: serde_urlencoded::de::Error| Wrong(format!("the query cannot be read: {error:.200}"));
        serde_urlencoded::from_str(query).map(Self).map_err(unread)
    }
}

/// What a profile may be asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    seconds: Option<String>,
    lookback: Option<String>,
    format: Option<String>,
    tag: Option<String>,
}

/// How a profile is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Pprof,
    Svg,
    Collapsed,
    Speedscope,
    Json,
}

impl Shape {
    const fn name(self) -> &'static str {
        match self {
            Self::Pprof => "pprof",
            Self::Svg => "svg",
            Self::Collapsed => "collapsed",
            Self::Speedscope => "speedscope",
            Self::Json => "json",
        }
    }

    /// The one that is asked for, of those that are allowed; the first when nothing is said.
    pub(super) fn of(asked: Option<&str>, allowed: &[Self]) -> Result<Self, Wrong> {
        let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
            return allowed.first().copied().ok_or_else(|| Wrong("no format fits".to_owned()));
        };
        allowed.iter().find(|shape| shape.name() == asked).copied().ok_or_else(|| {
            let names: Vec<_> = allowed.iter().map(|shape| shape.name()).collect();
            Wrong(format!("format is {}; allowed: {}", quoted(asked), names.join(", ")))
        })
    }
}

/// Only samples whose label says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::io::ops) struct Tag {
    pub(super) label: &'static str,
    pub(super) value: String,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    /// From now on, for that long.
    Next(Duration),
    /// The last so long.
    Last(Duration),
}

impl Asked {
    /// The window; `otherwise` when nothing is said of it.
    pub(super) fn when(&self, otherwise: When) -> Result<When, Wrong> {
        let back = match self.lookback.as_deref() {
            None | Some("") => None,
            Some("1" | "true") => Some(true),
            Some("0" | "false") => Some(false),
            Some(other) => return Err(Wrong(format!("lookback is {}; allowed: 1, 0", quoted(other)))),
        };
        match (self.seconds.as_deref(), back, otherwise) {
            (None, None, otherwise) => Ok(otherwise),
            (seconds, Some(true), _) | (seconds, None, When::Last(_)) => {
                self::seconds(seconds, REACH.as_secs_f64()).map(When::Last)
            }
            (seconds, _, _) => self::seconds(seconds, RECORDED_SECONDS_MAX).map(When::Next),
        }
    }

    pub(super) fn shape(&self, allowed: &[Shape]) -> Result<Shape, Wrong> {
        Shape::of(self.format.as_deref(), allowed)
    }

    pub(super) fn tag(&self) -> Result<Option<Tag>, Wrong> {
        tag(self.tag.as_deref())
    }
}

/// A number of seconds, clamped to what is possible.
pub(super) fn seconds(asked: Option<&str>, most: f64) -> Result<Duration, Wrong> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return Ok(Duration::from_secs_f64(SECONDS_DEFAULT));
    };
    let wrong =
        || Wrong(format!("seconds is {}; allowed: a number of seconds, {SECONDS_MIN} to {most}", quoted(asked)));
    clamped(asked.trim(), most).ok_or_else(wrong)
}

/// The nearest number of seconds that is possible; absent: it is no number.
pub(super) fn clamped(text: &str, most: f64) -> Option<Duration> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some(Duration::from_secs_f64(number.clamp(SECONDS_MIN, most)))
}

/// `op:join`, `thread:worker-0`.
pub(super) fn tag(asked: Option<&str>) -> Result<Option<Tag>, Wrong> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(None) };
    let allowed = || {
        let words: Vec<_> = marks::words().collect();
        let words = words.join(", ");
        Wrong(format!("tag is {}; allowed: thread:NAME, or op: with one of {words}, {UNKNOWN}", quoted(asked)))
    };
    let (label, value) = asked.split_once(':').ok_or_else(allowed)?;
    let label = match label {
        THREAD if !value.is_empty() => THREAD,
        OP if value == UNKNOWN || marks::words().any(|word| word == value) => OP,
        _ => return Err(allowed()),
    };
    Ok(Some(Tag { label, value: value.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        serde_urlencoded::from_str(query).unwrap()
    }

    const THIRTY: When = When::Next(Duration::from_secs(30));

    #[test]
    fn seconds_are_clamped_and_what_is_no_number_is_refused() {
        let recorded = |text: &str| asked(&format!("seconds={text}")).when(THIRTY);
        for (text, seconds) in [("5", 5.0), ("0", 1.0), ("-1", 1.0), ("1e9", 300.0), ("2.5", 2.5), ("", 30.0)] {
            assert_eq!(recorded(text), Ok(When::Next(Duration::from_secs_f64(seconds))), "{text}");
        }
        for text in ["soon", "NaN", "inf", "5s", "0x10", "../../etc/passwd"] {
            let wrong = recorded(text).unwrap_err().0;
            assert!(
                wrong.starts_with("seconds is") && wrong.contains("allowed: a number of seconds, 1 to 300"),
                "{wrong}"
            );
        }
        let last = asked("seconds=1e9&lookback=1").when(THIRTY);
        assert_eq!(last, Ok(When::Last(Duration::from_secs(3_600))));
        assert_eq!(asked("").when(THIRTY), Ok(THIRTY));
        assert_eq!(asked("seconds=90").when(When::Last(REACH)), Ok(When::Last(Duration::from_secs(90))));
        assert_eq!(asked("seconds=9&lookback=0").when(When::Last(REACH)), Ok(When::Next(Duration::from_secs(9))));
        assert!(asked("lookback=maybe").when(THIRTY).unwrap_err().0.contains("lookback is \"maybe\""));
    }

    #[test]
    fn a_tag_is_a_known_label_and_an_op_a_known_word() {
        let op = Tag { label: OP, value: "join".to_owned() };
        assert_eq!(tag(Some("op:join")), Ok(Some(op)));
        assert_eq!(tag(Some("op:unknown")).unwrap().unwrap().value, UNKNOWN);
        assert_eq!(tag(Some("thread:worker-0")).unwrap().unwrap().label, THREAD);
        assert_eq!((tag(None), tag(Some(""))), (Ok(None), Ok(None)));
        for wrong in ["op:sleep", "op", "room:r1", "thread:", ":", "op:"] {
            let said = tag(Some(wrong)).unwrap_err().0;
            assert!(said.contains("allowed: thread:NAME, or op: with one of join"), "{said}");
        }
    }

    #[test]
    fn formats_are_named() {
        let shapes = [Shape::Pprof, Shape::Svg];
        assert_eq!(Shape::of(None, &shapes), Ok(Shape::Pprof));
        assert_eq!(Shape::of(Some("svg"), &shapes), Ok(Shape::Svg));
        assert_eq!(Shape::of(Some("pdf"), &shapes).unwrap_err().0, "format is \"pdf\"; allowed: pprof, svg");
    }
}
