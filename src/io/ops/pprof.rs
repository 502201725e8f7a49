//! `/debug/pprof`: profiles by Go's conventions, so that the tools people have need no configuration, and as pictures.
//!
//! Windows that end now are recorded, those of the past come from the profiler's ring. Readers that ask for the same at
//! about the same moment share one recording. Names are found, and pictures drawn, one at a time on one thread beside
//! the ops thread. Errors are text with `X-Go-Pprof`, which `go tool pprof` shows. No parameter is a path.

mod asked;
mod diff;
mod heap;
mod index;
mod process;
mod profile;
pub(super) mod switch;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared as SharedFuture, WeakShared},
};
use http::{HeaderName, HeaderValue, StatusCode, header};

pub(super) use self::{diff::difference, profile::caption};
use super::{rendering::Rendering, routes::Shared};
use crate::profiler::{Profiler, Refused, pprof as format, profile::Profile};

/// When to come back, who found too much under way.
const RETRY_SECONDS: u16 = 5;
/// Readers that ask for the same length within this share a recording, whose beginning is the first one's.
const TOGETHER: Duration = Duration::from_millis(200);

/// Recorded, with names; or why not.
type Recorded = Result<Arc<Taken>, Refused>;

/// What readers share.
struct Taken {
    profile: Arc<Profile>,
    /// As most of them want it, made once.
    pprof: OnceLock<Bytes>,
}

impl Taken {
    /// In pprof's format.
    fn pprof(&self) -> Bytes {
        self.pprof.get_or_init(|| format::encode(&self.profile).into()).clone()
    }
}
type Recording = BoxFuture<'static, Recorded>;

/// The profiler, and what is under way for readers.
#[derive(Clone)]
pub(super) struct Profiles {
    pub(super) profiler: Profiler,
    under_way: Arc<Mutex<HashMap<Key, WeakShared<Recording>>>>,
    started: Instant,
    /// One: a name is found by one reader for all.
    rendering: Rendering,
}

/// The moment of the beginning, and the length.
type Key = (u128, Duration);

impl Profiles {
    pub(super) fn new(profiler: Profiler) -> Self {
        Self { profiler, under_way: Arc::default(), started: Instant::now(), rendering: Rendering::with_places(1) }
    }

    /// What is sampled from now on for that long. Whoever goes away leaves nothing behind.
    async fn record(&self, length: Duration) -> Recorded {
        let begun = Instant::now();
        let key = (begun.saturating_duration_since(self.started).as_millis() / TOGETHER.as_millis(), length);
        let recording = self.join_or_begin(key);
        recording.await
    }

    fn join_or_begin(&self, key: Key) -> SharedFuture<Recording> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recording) = under_way.get(&key).and_then(WeakShared::upgrade) {
            return recording;
        }
        under_way.retain(|_, recording| recording.upgrade().is_some());
        let recording = self.clone().begin(key.1).shared();
        if let Some(weak) = recording.downgrade() {
            under_way.insert(key, weak);
        }
        recording
    }

    fn begin(self, length: Duration) -> Recording {
        let recording = self.profiler.record(length);
        let finished = async move {
            let recording = recording?;
            tokio::time::sleep(length).await;
            let profile = self.rendering.apart(move || recording.finish()).await;
            let taken = |profile| Arc::new(Taken { profile: Arc::new(profile), pprof: OnceLock::new() });
            profile.map(taken).ok_or_else(|| Refused("finding the names panicked; the log says where".to_owned()))
        };
        finished.boxed()
    }

    /// An answer made of profiles, beside the ops thread.
    pub(super) async fn apart(&self, make: impl FnOnce(&Profiler) -> Response + Send + 'static) -> Response {
        let profiler = self.profiler.clone();
        let made = self.rendering.apart(move || make(&profiler)).await;
        made.unwrap_or_else(|| {
            refused(StatusCode::INTERNAL_SERVER_ERROR, "making the answer panicked; the log says where")
        })
    }
}

/// Everything under `/debug/pprof`.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/debug/pprof", get(index::moved))
        .route("/debug/pprof/", get(index::index))
        .route("/debug/pprof/profile", get(profile::profile))
        .route("/debug/pprof/flamegraph", get(profile::flamegraph))
        .route("/debug/pprof/diff", get(diff::diff))
        .route("/debug/pprof/trace", get(trace::trace))
        .route("/debug/pprof/heap", get(heap::heap))
        .route("/debug/pprof/allocs", get(heap::allocs))
        .route("/debug/pprof/cmdline", get(process::cmdline))
        .route("/debug/pprof/symbol", get(process::symbol).post(process::symbol_of_body))
        .route("/debug/pprof/threadcreate", get(process::threads))
        .route("/debug/pprof/goroutine", get(process::goroutine))
        .route("/debug/pprof/block", get(process::block))
        .route("/debug/pprof/mutex", get(process::mutex))
        .route("/debug/pprof/{*other}", any(index::nothing))
        .method_not_allowed_fallback(index::nothing)
}

/// Tells `go tool pprof` that the text is for people.
const FOR_PEOPLE: HeaderName = HeaderName::from_static("x-go-pprof");

/// A refusal as these tools understand it.
fn refused(status: StatusCode, text: &str) -> Response {
    let headers = [(FOR_PEOPLE, HeaderValue::from_static("1"))];
    let mut answer = (status, headers, no_guessing(format!("{text}\n"))).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    answer
}

/// An answer with its headers, in words instead.
pub(super) fn for_people(answer: Response, text: &str) -> Response {
    let (mut head, _) = answer.into_parts();
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    let mut told = refused(head.status, text);
    told.headers_mut().extend(head.headers);
    told
}

/// A body that no browser takes for something else, nor keeps.
pub(super) fn no_guessing(body: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, body)
}

/// A body of that type, which a browser saves under that name.
fn file(content_type: &'static str, name: &str, body: impl IntoResponse) -> Response {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let disposition = disposition.unwrap_or_else(|_| HeaderValue::from_static("attachment"));
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(content_type)), (header::CONTENT_DISPOSITION, disposition)];
    (headers, no_guessing(body)).into_response()
}

/// A picture that a browser shows, with the script that makes it zoom, and nothing from elsewhere.
pub(super) fn picture(svg: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ];
    (headers, no_guessing(svg)).into_response()
}
