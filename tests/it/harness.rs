//! What the tests stand on: a router process, a client, tokens, and waiting with a patience.

#[path = "../../src/io/test_authority.rs"]
mod authority;
mod browser;
mod http;
mod leaks;
mod process;
mod socket;
mod stream;
mod tokens;
mod tools;

use std::time::Duration;

pub(crate) use authority::Authority;
pub(crate) use browser::{Browser, Page};
pub(crate) use http::{Answer, Begun, ask, ask_with, free, get, get_with};
pub(crate) use leaks::{leaks, remember};
pub(crate) use process::{MediaNode, Router, run_to_end};
pub(crate) use socket::{Socket, raw_frame, refusal_of, upgrade_raw};
pub(crate) use stream::Stream;
pub(crate) use tokens::{Token, unix_now};
pub(crate) use tools::{built_by_go, prometheus_3, promtools, repository, tool};

/// How long anything may take before a test gives up. Generous: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until the condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let since = tokio::time::Instant::now();
        while !condition() {
            assert!(since.elapsed() < PATIENCE, "{place}: in {PATIENCE:?} not seen: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn answered<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let since = tokio::time::Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(since.elapsed() < PATIENCE, "{place}: in {PATIENCE:?} not seen: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits for a future, but not for ever.
#[track_caller]
pub(crate) fn within<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: in {PATIENCE:?} not seen: {what}"),
        }
    }
}
