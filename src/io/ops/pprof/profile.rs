//! `profile` and `flamegraph`: one window, in the shape that is asked for.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::{
    asked::{Asked, Query, Shape, Tag, When, Wrong},
    file, no_guessing, picture, refused,
};
use crate::{
    io::ops::routes::Shared,
    profiler::{
        pprof,
        profile::Profile,
        views::{self, Caption},
    },
};

/// What `profile` records when nothing is said, as Go's.
const RECORDED: When = When::Next(Duration::from_secs(30));
/// What a flamegraph shows when nothing is said: at once, since a person waits.
const SHOWN: When = When::Last(Duration::from_secs(60));

/// `GET /debug/pprof/profile`.
pub(in crate::io::ops) async fn profile(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    let shapes = [Shape::Pprof, Shape::Svg, Shape::Collapsed, Shape::Speedscope];
    answer(&shared, &asked, RECORDED, &shapes).await.unwrap_or_else(|wrong| wrong.into_response())
}

/// `GET /debug/pprof/flamegraph`.
pub(in crate::io::ops) async fn flamegraph(State(shared): State<Shared>, Query(asked): Query<Asked>) -> Response {
    answer(&shared, &asked, SHOWN, &[Shape::Svg]).await.unwrap_or_else(|wrong| wrong.into_response())
}

async fn answer(shared: &Shared, asked: &Asked, otherwise: When, shapes: &[Shape]) -> Result<Response, Wrong> {
    let (when, shape, tag) = (asked.when(otherwise)?, asked.shape(shapes)?, asked.tag()?);
    let profiles = &shared.profiles;
    Ok(match when {
        When::Last(length) => {
            let make = move |profiler: &crate::profiler::Profiler| {
                shaped(Arc::new(profiler.between(length, Duration::ZERO)), shape, tag.as_ref())
            };
            profiles.apart(make).await
        }
        When::Next(length) => match profiles.record(length).await {
            Ok(taken) if shape == Shape::Pprof && tag.is_none() => {
                profiles.apart(move |_| as_pprof(taken.pprof())).await
            }
            Ok(taken) => profiles.apart(move |_| shaped(taken.profile.clone(), shape, tag.as_ref())).await,
            Err(why) => refused(StatusCode::SERVICE_UNAVAILABLE, &format!("no profile: {why}")),
        },
    })
}

fn as_pprof(bytes: Bytes) -> Response {
    file("application/octet-stream", "signalbox-cpu.pb.gz", bytes)
}

/// A profile as it is wanted, of the samples that are wanted.
pub(super) fn shaped(profile: Arc<Profile>, shape: Shape, tag: Option<&Tag>) -> Response {
    let profile = match tag {
        None => profile,
        Some(tag) => {
            let mut tagged = Arc::unwrap_or_clone(profile);
            tagged.retain(tag.label, &tag.value);
            Arc::new(tagged)
        }
    };
    match shape {
        Shape::Pprof => as_pprof(pprof::encode(&profile).into()),
        Shape::Speedscope => {
            file("application/json", "signalbox-cpu.speedscope.json", views::speedscope(&profile, "signalbox"))
        }
        Shape::Svg => match views::flamegraph(&profile, &caption(&profile, "CPU", tag)) {
            Ok(svg) => picture(svg),
            Err(error) => {
                refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("the flamegraph cannot be drawn: {error}"))
            }
        },
        Shape::Collapsed | Shape::Json => {
            let plain = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
            (plain, no_guessing(views::collapsed(&profile))).into_response()
        }
    }
}

/// What a picture says over itself: of what, and when.
pub(in crate::io::ops) fn caption(profile: &Profile, what: &str, tag: Option<&Tag>) -> Caption {
    let of = tag.map(|tag| format!(" of {}:{}", tag.label, tag.value)).unwrap_or_default();
    Caption { title: format!("{what}{of}"), window: window(profile) }
}

/// `1m 30s until 21:30:00`: two of them fit over a picture.
pub(super) fn window_of_day(profile: &Profile) -> String {
    let window = window(profile);
    match window.split_once(" until ") {
        Some((length, end)) => {
            let time = end.split(' ').nth(1).unwrap_or(end);
            format!("{length} until {time}")
        }
        None => window,
    }
}

/// `1m 30s until 2026-11-25 21:30:00 UTC`.
fn window(profile: &Profile) -> String {
    let length = humantime::format_duration(Duration::from_secs(profile.length.as_secs_f64().round() as u64));
    let end = Duration::from_secs((profile.started + profile.length).as_secs());
    let end = crate::io::ops::pages::utc(end).replace('T', " ");
    format!("{length} until {} UTC", end.trim_end_matches(".000Z"))
}
