//! `diff`: two windows beside each other, what grew in red and what shrank in blue.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{
    asked::{Query, Shape, Tag, Wrong, tag},
    no_guessing, picture,
    profile::{caption, window_of_day},
    refused,
};
use crate::{
    io::ops::{captures, pages::quoted, routes::Shared},
    profiler::{
        Profiler, REACH,
        captures::Part,
        profile::Profile,
        views::{self, Caption},
    },
};

/// Functions that are told in the JSON: so many that what shrank most, at their end, is among them.
const CHANGES: usize = 1_000;
/// What two windows may be.
const WINDOWS: &str = "5m (the last five minutes), 1h..10m (from an hour ago to ten minutes ago), \
    FROM..UNTIL in Unix seconds, within the last hour; or capture:ID, quiet:ID (the quiet hour before that capture)";

#[derive(Debug, Default, Deserialize)]
pub(in crate::io::ops) struct Asked {
    base: Option<String>,
    target: Option<String>,
    format: Option<String>,
    tag: Option<String>,
}

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    /// The ring.
    Past(Past),
    /// A capture of that id.
    Capture(String, Part),
}

/// A time of the past, as how long ago it began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) from: Duration,
    pub(super) until: Duration,
}

/// The hour before the last minute, beside the last minute.
const BASE: Past = Past { from: REACH, until: Duration::from_secs(60) };
const TARGET: Past = Past { from: Duration::from_secs(60), until: Duration::ZERO };

/// `GET /debug/pprof/diff`.
pub(in crate::io::ops) async fn diff(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let understood = asked.understood(crate::io::clock::since_epoch());
    let (base, target, shape, tag) = match understood {
        Ok(understood) => understood,
        Err(wrong) => return wrong.into_response(),
    };
    let pinned = shared.captures.clone();
    let answer = move |profiler: &Profiler| {
        let of = |window: Of| match window {
            Of::Past(past) => Ok(profiler.between(past.from, past.until)),
            Of::Capture(id, part) => captures::profile(&pinned, &id, part),
        };
        match of(base).and_then(|base| Ok((base, of(target)?))) {
            Ok((base, target)) => drawn(&base, &target, shape, tag.as_ref()),
            Err(error) => refused(StatusCode::NOT_FOUND, &error.to_string()),
        }
    };
    shared.profiles.apart(answer).await
}

/// Both of them, as it is wanted.
pub(super) fn drawn(base: &Profile, target: &Profile, shape: Shape, tag: Option<&Tag>) -> Response {
    let [base, target] = [base, target].map(|profile| {
        let mut profile = profile.clone();
        if let Some(tag) = tag {
            profile.retain(tag.label, &tag.value);
        }
        profile
    });
    if shape == Shape::Json {
        let changes = views::changes(&base, &target, CHANGES);
        let told = json!({ "base": summary(&base), "target": summary(&target), "changes": changes });
        return no_guessing(Json(told)).into_response();
    }
    match difference(&base, &target, caption(&target, "CPU, difference", tag)) {
        Ok(svg) => picture(svg),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("the difference cannot be drawn: {error}")),
    }
}

/// The picture of both, whose caption tells of both windows.
pub(in crate::io::ops) fn difference(
    base: &Profile,
    target: &Profile,
    caption: Caption,
) -> Result<String, views::ViewError> {
    let window = format!("{}, beside {}", window_of_day(target), window_of_day(base));
    views::difference(base, target, &Caption { window, ..caption })
}

fn summary(profile: &Profile) -> serde_json::Value {
    json!({
        "started_unix_ms": profile.started.as_millis() as u64,
        "seconds": profile.length.as_secs_f64(),
        "samples": profile.count(),
    })
}

impl Asked {
    fn understood(&self, now: Duration) -> Result<(Of, Of, Shape, Option<Tag>), Wrong> {
        let window = |name, asked: &Option<String>, otherwise| match asked.as_deref().filter(|asked| !asked.is_empty())
        {
            None => Ok(Of::Past(otherwise)),
            Some(asked) => {
                of(asked, now).ok_or_else(|| Wrong(format!("{name} is {}; allowed: {WINDOWS}", quoted(asked))))
            }
        };
        let shape = Shape::of(self.format.as_deref(), &[Shape::Svg, Shape::Json])?;
        Ok((
            window("base", &self.base, BASE)?,
            window("target", &self.target, TARGET)?,
            shape,
            tag(self.tag.as_deref())?,
        ))
    }
}

/// A capture, or a time.
fn of(asked: &str, now: Duration) -> Option<Of> {
    match asked.split_once(':') {
        Some(("capture", id)) => Some(Of::Capture(id.to_owned(), Part::Profile)),
        Some(("quiet", id)) => Some(Of::Capture(id.to_owned(), Part::Quiet)),
        _ => past(asked, now).map(Of::Past),
    }
}

/// Absent: it cannot be read, or lies outside the ring, or ends before it begins.
pub(super) fn past(asked: &str, now: Duration) -> Option<Past> {
    let ago = |text: &str| match text.parse::<u64>() {
        // seconds since the epoch are told from a length by having no unit
        Ok(unix) => now.checked_sub(Duration::from_secs(unix)).or(Some(Duration::ZERO)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    let (from, until) = match asked.split_once("..") {
        Some((from, until)) => (ago(from.trim())?, ago(until.trim())?),
        None => (humantime::parse_duration(asked).ok()?, Duration::ZERO),
    };
    // the slot at hand may reach a little beyond the hour
    (until < from && until < REACH && from <= REACH + Duration::from_secs(10)).then_some(Past { from, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_764_100_000);

    fn secs(from: u64, until: u64) -> Option<Past> {
        Some(Past { from: Duration::from_secs(from), until: Duration::from_secs(until) })
    }

    #[test]
    fn windows_are_lengths_ago_or_unix_seconds() {
        assert_eq!(past("5m", NOW), secs(300, 0));
        assert_eq!(past("1h..10m", NOW), secs(3_600, 600));
        assert_eq!(past("1764099900..1764099960", NOW), secs(100, 40));
        assert_eq!(past("1764099990..1764100500", NOW), secs(10, 0), "until now at most");
    }

    #[test]
    fn what_is_no_window_or_lies_outside_the_ring_is_refused_with_what_is_allowed() {
        for text in ["", "5", "soon", "10m..1h", "5m..5m", "2h", "3h..2h", "1..2", "-5m", "..", "5m..", "a..b"] {
            assert_eq!(past(text, NOW), None, "{text}");
        }
        let asked = Asked { base: Some("yesterday".to_owned()), ..Asked::default() };
        let wrong = asked.understood(NOW).unwrap_err().0;
        assert!(wrong.starts_with("base is \"yesterday\"; allowed: 5m"), "{wrong}");
        assert_eq!(Asked::default().understood(NOW).unwrap().0, Of::Past(BASE));
        assert_eq!(of("quiet:../x", NOW), Some(Of::Capture("../x".to_owned(), Part::Quiet)), "looked up, not opened");
    }
}
