//! `/metrics`: what telemetry holds, in the form that the scraper asks for.
//!
//! Scrapers of one form that wait at the same time share a rendering, as long as it began after each of them had asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::Mutex;

use super::rendering::Rendering;
use crate::{
    io::{admin::error_response, process},
    protocol::Code,
    telemetry::{
        Telemetry,
        exposition::{Format, accepts_gzip, gzipped},
    },
};

/// Plain and gzip of each form.
const FORMS: usize = Format::ALL.len() * 2;

/// The answers to scrapes.
#[derive(Clone, Debug)]
pub(super) struct Scrapes {
    telemetry: Arc<Telemetry>,
    rendering: Rendering,
    waiting: Arc<[Waiting; FORMS]>,
}

/// Those who wait for one form: the first renders, and leaves the others what they may share.
#[derive(Debug, Default)]
struct Waiting {
    latest: Mutex<Option<Rendered>>,
    /// Each of them holds a copy.
    each: Arc<()>,
}

#[derive(Clone, Debug)]
struct Rendered {
    begun: Instant,
    took: Duration,
    body: Bytes,
}

impl Scrapes {
    pub(super) fn new(telemetry: Arc<Telemetry>, rendering: Rendering) -> Self {
        Self { telemetry, rendering, waiting: Arc::default() }
    }

    /// Answers one scrape.
    pub(super) async fn answer(&self, headers: &HeaderMap) -> Response {
        let format = Format::negotiate(&list(headers, &header::ACCEPT));
        let gzip = accepts_gzip(&list(headers, &header::ACCEPT_ENCODING));
        let Some(rendered) = self.rendered(format, gzip).await else {
            return error_response(&Code::Internal.refuse());
        };
        self.telemetry.scraped(format, rendered.took);
        let head = [
            (header::CONTENT_TYPE, format.content_type()),
            (header::VARY, "Accept, Accept-Encoding"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (head, rendered.body).into_response();
        if gzip {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    /// A rendering that began after this was called; absent: rendering panicked.
    async fn rendered(&self, format: Format, gzip: bool) -> Option<Rendered> {
        let asked = Instant::now();
        let waiting = &self.waiting[format as usize * 2 + usize::from(gzip)];
        let each = waiting.each.clone();
        let mut latest = waiting.latest.lock().await;
        let rendered = match latest.take().filter(|latest| latest.begun >= asked) {
            Some(shared) => shared,
            None => self.render(format, gzip).await?,
        };
        // one copy is theirs in common, one is ours
        let others = Arc::strong_count(&each) > 2;
        *latest = others.then(|| rendered.clone());
        Some(rendered)
    }

    async fn render(&self, format: Format, gzip: bool) -> Option<Rendered> {
        let telemetry = self.telemetry.clone();
        let render = move || {
            let begun = Instant::now();
            let plain = telemetry.render(format, process::read().as_ref());
            let body = if gzip { gzipped(&plain) } else { plain };
            Rendered { begun, took: begun.elapsed(), body: body.into() }
        };
        self.rendering.apart(render).await
    }
}

/// A header that may come in several lines, as one.
fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
