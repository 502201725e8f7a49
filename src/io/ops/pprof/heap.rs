//! `/debug/pprof/heap` and `/debug/pprof/allocs`: where memory was allocated, when the build can tell.

use axum::{extract::State, response::Response};
use http::StatusCode;

use super::{file, refused};
use crate::{
    io::ops::routes::Shared,
    profiler::{
        heap::{Allocations, HeapUnavailable},
        pprof,
        profile::Profile,
    },
};

/// `GET /debug/pprof/heap`: what is in use.
pub(super) async fn heap(State(shared): State<Shared>) -> Response {
    shared.profiles.apart(|profiler| answer(profiler.allocations(Allocations::InUse), "signalbox-heap.pb.gz")).await
}

/// `GET /debug/pprof/allocs`: all that was allocated since sampling began.
pub(super) async fn allocs(State(shared): State<Shared>) -> Response {
    shared.profiles.apart(|profiler| answer(profiler.allocations(Allocations::All), "signalbox-allocs.pb.gz")).await
}

fn answer(profile: Result<Profile, HeapUnavailable>, name: &str) -> Response {
    match profile {
        Ok(profile) => file("application/octet-stream", name, pprof::encode(&profile)),
        Err(why @ HeapUnavailable::Failed(_)) => refused(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()),
        Err(why) => refused(StatusCode::NOT_FOUND, &why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::io::ops::tests::{routes_of, telemetry};

    async fn get(path: &str) -> Response {
        use tower::ServiceExt as _;
        let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        routes_of(telemetry(), "127.0.0.1", None).oneshot(request).await.unwrap()
    }

    /// Sampling is off in every build until it is activated.
    #[tokio::test]
    async fn without_sampling_the_answer_is_a_text_that_says_how() {
        for path in ["/debug/pprof/heap", "/debug/pprof/allocs?seconds=30"] {
            let (head, body) = get(path).await.into_parts();
            let said = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            assert_eq!(head.status, StatusCode::NOT_FOUND, "{said}");
            assert_eq!(head.headers["x-go-pprof"], "1");
            assert!(said.contains("profiler.heap = true"), "{said}");
            assert_eq!(said.contains("--features heap-profiling"), cfg!(not(feature = "heap-profiling")), "{said}");
        }
    }

    #[tokio::test]
    async fn a_profile_is_bytes_with_a_name_and_a_failure_may_pass() {
        let head =
            answer(Ok(Profile::cpu(Duration::ZERO, Duration::ZERO, Duration::ZERO)), "heap.pb.gz").into_parts().0;
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/octet-stream");
        assert_eq!(head.headers[header::CONTENT_DISPOSITION], "attachment; filename=\"heap.pb.gz\"");
        assert_eq!(head.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let failed = answer(Err(HeapUnavailable::Failed("no space left".to_owned())), "heap.pb.gz");
        assert_eq!(failed.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
