//! Against a small identity provider on loopback that can be told to change, stall, lie or go away.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::{
        Algorithm, AlgorithmSet, TokenClaims, mint,
        settings::{IntrospectionSettings, JwksSettings, OidcSettings, RoleSettings},
        test_keys::Signer,
    },
    protocol::Code,
};

mod introspection;
mod keys;

const SECRET: &str = "a secret of more than thirty-two bytes";
const PATIENCE: Duration = Duration::from_secs(10);

/// What the provider answers next.
#[derive(Clone)]
enum Answer {
    Json(Value),
    Text(String),
    Status(u16),
    /// Never.
    Silence,
}

/// An identity provider: answers by path, counts, remembers what it was asked.
struct Provider {
    answers: Mutex<BTreeMap<&'static str, Answer>>,
    asked: AtomicUsize,
    last_form: Mutex<Option<(HeaderMap, BTreeMap<String, String>)>>,
    url: Mutex<String>,
    stop: CancellationToken,
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            answers: Mutex::default(),
            asked: AtomicUsize::new(0),
            last_form: Mutex::default(),
            url: Mutex::new(format!("http://{}", listener.local_addr().unwrap())),
            stop: CancellationToken::new(),
        });
        let router = Router::new()
            .route("/keys", get(|State(p): State<Arc<Provider>>| async move { p.answer("/keys").await }))
            .route(
                "/.well-known/openid-configuration",
                get(|State(p): State<Arc<Provider>>| async move { p.answer("discovery").await }),
            )
            .route("/introspect", post(introspect))
            .with_state(Arc::clone(&provider));
        let stop = provider.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = axum::serve(listener, router) => (),
                () = stop.cancelled() => (),
            }
        });
        provider
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url.lock().unwrap())
    }

    fn set(&self, path: &'static str, answer: Answer) {
        self.answers.lock().unwrap().insert(path, answer);
    }

    fn serve_keys(&self, signers: &[(&str, &Signer)]) {
        let keys: Vec<_> = signers.iter().map(|(kid, signer)| signer.jwk(kid)).collect();
        self.set("/keys", Answer::Json(json!({ "keys": keys })));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn answer(&self, path: &str) -> Response {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().get(path).cloned().unwrap_or(Answer::Status(404));
        let (status, body) = match answer {
            Answer::Json(value) => (StatusCode::OK, value.to_string()),
            Answer::Text(text) => (StatusCode::OK, text),
            Answer::Status(status) => (StatusCode::from_u16(status).unwrap(), String::new()),
            Answer::Silence => std::future::pending().await,
        };
        Response::builder().status(status).body(Body::from(body)).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn introspect(State(provider): State<Arc<Provider>>, headers: HeaderMap, body: String) -> Response {
    let form = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    let form = form.query_pairs().into_owned().collect();
    *provider.last_form.lock().unwrap() = Some((headers, form));
    provider.answer("/introspect").await
}

/// An authenticator with a clock that is set by hand, and what it observed.
struct Bench {
    authenticator: Authenticator,
    now_unix_ms: Arc<AtomicU64>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    fn new(settings: &Settings) -> Self {
        let now_unix_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (clock, log) = (Arc::clone(&now_unix_ms), Arc::clone(&events));
        let authenticator = Authenticator::new(
            settings,
            Arc::new(move || clock.load(Ordering::SeqCst)),
            Arc::new(move |event| log.lock().unwrap().push(event)),
        )
        .unwrap();
        Self { authenticator, now_unix_ms, events }
    }

    fn pass(&self, time: Duration) {
        self.now_unix_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn now_s(&self) -> u64 {
        self.now_unix_ms.load(Ordering::SeqCst) / 1000
    }

    async fn code(&self, token: &str) -> Result<(), Code> {
        self.authenticator.verify(token).await.map(|_| ()).map_err(|refusal| refusal.code)
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

fn settings() -> Settings {
    Settings::default().with_secret("app", SECRET)
}

/// Waits until a condition holds, for as long as patience lasts.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

#[tokio::test]
async fn static_keys_need_no_provider_and_no_waiting() {
    let bench = Bench::new(&settings());
    let token = mint("app", SECRET, &TokenClaims::join("r1", "alice").expires_at(bench.now_s() + 60)).unwrap();
    assert_eq!(bench.authenticator.verify(&token).await.unwrap().identity.as_str(), "alice");
    assert_eq!(bench.code("opaque").await, Err(Code::Unauthenticated));
    bench.pass(Duration::from_secs(66));
    assert_eq!(bench.code(&token).await, Err(Code::TokenExpired));
    // nothing to refresh: it ends by itself
    tokio::time::timeout(PATIENCE, bench.authenticator.clone().run_refresh(CancellationToken::new())).await.unwrap();
    assert!(bench.events().is_empty());
}

#[test]
fn bad_urls_and_keys_are_refused_by_their_config_key() {
    let make = |settings: &Settings| {
        Authenticator::new(settings, Arc::new(|| 0), Arc::new(|_| ())).map(|_| ()).unwrap_err().to_string()
    };
    let mut bad = settings();
    bad.jwks = Some(keys::jwks("ftp://keys.example/"));
    assert!(make(&bad).contains("auth.jwks.url"));
    bad.jwks = Some(keys::jwks("not a url"));
    assert!(make(&bad).contains("auth.jwks.url"));
    assert!(make(&Settings::default().with_secret("app", "short")).contains("\"app\""));
}

#[tokio::test]
async fn no_secret_shows_in_debug_text() {
    let provider = Provider::start().await;
    let settings = introspection::settings_for(&provider);
    let bench = Bench::new(&settings);
    let shown = format!("{:?} {settings:?}", bench.authenticator);
    assert!(!shown.contains(SECRET) && !shown.contains("s3cr3t"), "{shown}");
}
