//! A client of a router's ops port, for the command line and the load generator.
//!
//! Knows how to ask and how a router refuses; must not know what is asked for.

use std::{fmt, io::Read as _, path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, header, redirect};

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// An answer may be so long: a profile of an hour is a few of these MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of what a router says when it refuses, so much is shown.
const TOLD_BYTES_MAX: usize = 500;
/// The file of a bearer token; the router takes 4,096 bytes at most.
const TOKEN_BYTES_MAX: u64 = 4_096;

/// Where a router's ops port is.
#[derive(Clone)]
pub struct OpsTarget {
    /// Its URL, `http://127.0.0.1:9600`.
    pub url: String,
    /// The bearer token that it asks for beyond loopback.
    pub token: Option<String>,
}

impl fmt::Debug for OpsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpsTarget").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The URL or the token cannot be used.
    #[error("{url}: {why}")]
    Unusable {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers there, or not in time.
    #[error("cannot reach {url}: {why}. Is the router up, and its ops port there?")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What happened.
        why: String,
    },
    /// It wants to know who asks.
    #[error("{url} refuses ({status}): {told}. The token of its `ops.token_file` opens it")]
    Unauthenticated {
        /// What was asked.
        url: String,
        /// 401 or 403.
        status: u16,
        /// In its words.
        told: String,
    },
    /// It answered with an error.
    #[error("{url} answered {status}: {told}")]
    Refused {
        /// What was asked.
        url: String,
        /// Of HTTP.
        status: u16,
        /// In its words.
        told: String,
        /// All that it said.
        body: Bytes,
    },
    /// The answer ended early, is not what was asked for, or is past all bounds.
    #[error("the answer of {url} cannot be used: {why}")]
    Unread {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The token in a file; blanks around it do not count.
///
/// # Errors
/// A file that cannot be read, or holds more than a token can be long.
pub fn token_in(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > TOKEN_BYTES_MAX {
        return Err(std::io::Error::other(format!("more than {TOKEN_BYTES_MAX} bytes, which is no token")));
    }
    Ok(text.trim().to_owned())
}

/// Asks one router.
#[derive(Clone, Debug)]
pub struct OpsClient {
    base: Url,
    authorization: Option<header::HeaderValue>,
    http: Client,
}

impl OpsClient {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// A URL that is none of HTTP's, or a token with characters that no token has.
    pub fn new(target: &OpsTarget) -> Result<Self, OpsError> {
        let unusable = |why: String| OpsError::Unusable { url: target.url.clone(), why };
        let base = Url::parse(&target.url).map_err(|_| unusable("not a URL".to_owned()))?;
        if !["http", "https"].contains(&base.scheme()) {
            return Err(unusable("must begin with http:// or https://".to_owned()));
        }
        let authorization = target.token.as_ref().map(|token| {
            // the parser's own error would repeat the token
            let value = header::HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_| unusable("the token holds characters that no token has".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        // somebody else's choice stands
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = Client::builder().connect_timeout(CONNECT_PATIENCE).no_proxy().redirect(redirect::Policy::none());
        let http = http.build().map_err(|e| unusable(innermost(&e)))?;
        Ok(Self { base, authorization: authorization.transpose()?, http })
    }

    /// Where it asks, without what may be secret in it.
    pub fn address(&self) -> String {
        let mut shown = self.base.clone();
        // a URL that cannot have a user has none to be hidden
        shown.set_username("").ok();
        shown.set_password(None).ok();
        shown.as_str().trim_end_matches('/').to_owned()
    }

    /// The URL of a path with a query.
    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// What is there, whole, within that time.
    ///
    /// # Errors
    /// Every [`OpsError`]: the router's own words are in it.
    pub async fn get(&self, path: &str, query: &[(&str, &str)], patience: Duration) -> Result<Bytes, OpsError> {
        let url = self.url(path, query);
        self.answer(self.http.request(Method::GET, url.clone()).timeout(patience), &url).await
    }

    /// The answer to JSON.
    ///
    /// # Errors
    /// Every [`OpsError`]: the router's own words are in it.
    pub async fn post(&self, path: &str, body: &serde_json::Value, patience: Duration) -> Result<Bytes, OpsError> {
        let url = self.url(path, &[]);
        self.answer(self.http.request(Method::POST, url.clone()).timeout(patience).json(body), &url).await
    }

    /// The answer to a text.
    ///
    /// # Errors
    /// Every [`OpsError`]: the router's own words are in it.
    pub async fn post_text(&self, path: &str, text: &str, patience: Duration) -> Result<Bytes, OpsError> {
        let url = self.url(path, &[]);
        let request = self.http.request(Method::POST, url.clone()).timeout(patience).body(text.to_owned());
        self.answer(request, &url).await
    }

    /// The answer to a text that is to stand in the place of what is there at that revision; absent: nothing is to stand there.
    ///
    /// # Errors
    /// Every [`OpsError`]: the router's own words are in it.
    pub async fn replace_text(
        &self,
        path: &str,
        text: Option<String>,
        revision: i64,
        patience: Duration,
    ) -> Result<Bytes, OpsError> {
        let url = self.url(path, &[]);
        let method = if text.is_some() { Method::PUT } else { Method::DELETE };
        let request = self.http.request(method, url.clone()).timeout(patience);
        let request = request.header(header::IF_MATCH, format!("\"{revision}\"")).body(text.unwrap_or_default());
        self.answer(request, &url).await
    }

    async fn answer(&self, mut request: RequestBuilder, url: &Url) -> Result<Bytes, OpsError> {
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let unreachable = |e: reqwest::Error| OpsError::Unreachable { url: self.address(), why: why(&e) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let asked = self.shown(url);
        let body = body(response).await.map_err(|why| OpsError::Unread { url: asked.clone(), why })?;
        match status {
            status if status.is_success() => Ok(body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(OpsError::Unauthenticated { url: asked, status: status.as_u16(), told: told(&body) })
            }
            status => Err(OpsError::Refused { url: asked, status: status.as_u16(), told: told(&body), body }),
        }
    }

    /// What was asked, without the query, which may be long.
    fn shown(&self, url: &Url) -> String {
        let path = url.path().strip_prefix(self.base.path().trim_end_matches('/')).unwrap_or_default();
        format!("{}{path}", self.address())
    }
}

async fn body(mut response: Response) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(|e| why(&e))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(format!("more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() { "it takes too long".to_owned() } else { innermost(error) }
}

/// What is at the bottom of it: the layers above say that it happened.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// What a router says: the message of its JSON, what is wrong with a file that it was shown, or its text.
fn told(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = json.and_then(|json| match json["error"]["message"].as_str() {
        Some(message) => Some(message.to_owned()),
        None => mistakes(&json),
    });
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(TOLD_BYTES_MAX)]).into_owned());
    let shown: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TOLD_BYTES_MAX).collect();
    if shown.is_empty() { "without a word".to_owned() } else { shown }
}

fn mistakes(json: &serde_json::Value) -> Option<String> {
    let part = |mistake: &serde_json::Value, name: &str| mistake[name].as_str().unwrap_or_default().to_owned();
    let one = |mistake| format!("{} = {}: {}", part(mistake, "key"), part(mistake, "value"), part(mistake, "problem"));
    Some(json["mistakes"].as_array()?.iter().map(one).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn serve() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = |headers: http::HeaderMap, uri: http::Uri| async move {
            format!("{uri} {:?}", headers.get("authorization"))
        };
        let told = |status: u16, body: &'static str| (StatusCode::from_u16(status).unwrap(), body);
        let routes =
            Router::new()
                .route("/in/asked", get(asked))
                .route(
                    "/closed",
                    get(move || async move { told(401, r#"{"error":{"message":"needs the bearer token"}}"#) }),
                )
                .route("/wrong", get(move || async move { told(400, "seconds is x;\n\x1b[2J allowed: a number\n") }))
                .route(
                    "/mistaken",
                    get(move || async move {
                        told(422, r#"{"mistakes":[{"key":"a.b","value":"1","problem":"allowed: 2"}]}"#)
                    }),
                )
                .route("/silent", get(move || async move { told(503, "") }));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }

    fn client(url: &str, token: Option<&str>) -> Result<OpsClient, OpsError> {
        OpsClient::new(&OpsTarget { url: url.to_owned(), token: token.map(str::to_owned) })
    }

    #[tokio::test]
    async fn a_path_is_asked_below_the_url_with_query_and_token() {
        let client = client(&format!("{}/in/", serve().await), Some("a-token")).unwrap();
        let answer = client.get("/asked", &[("tag", "op:join")], PATIENCE).await.unwrap();
        assert_eq!(answer, "/in/asked?tag=op%3Ajoin Some(\"Bearer a-token\")");
    }

    #[tokio::test]
    async fn a_refusal_says_what_the_router_says_in_one_line() {
        let url = serve().await;
        let said = async |path| client(&url, None).unwrap().get(path, &[], PATIENCE).await.unwrap_err().to_string();
        let closed =
            format!("{url}/closed refuses (401): needs the bearer token. The token of its `ops.token_file` opens it");
        assert_eq!(said("/closed").await, closed);
        assert_eq!(said("/wrong").await, format!("{url}/wrong answered 400: seconds is x;  [2J allowed: a number"));
        assert_eq!(said("/mistaken").await, format!("{url}/mistaken answered 422: a.b = 1: allowed: 2"));
        assert_eq!(said("/silent").await, format!("{url}/silent answered 503: without a word"));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_in_words_without_the_urls_password() {
        let client = client("http://ann:secret@127.0.0.1:1", None).unwrap();
        let said = client.get("/metrics", &[], PATIENCE).await.unwrap_err().to_string();
        assert!(said.starts_with("cannot reach http://127.0.0.1:1: Connection refused"), "{said}");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_a_token_never() {
        let refused = |url, token| client(url, token).unwrap_err().to_string();
        assert_eq!(refused("ops", None), "ops: not a URL");
        assert_eq!(refused("ws://127.0.0.1:7800", None), "ws://127.0.0.1:7800: must begin with http:// or https://");
        let said = refused("http://127.0.0.1:9600", Some("sec\nret"));
        assert!(said.contains("characters that no token has") && !said.contains("sec"), "{said}");
        let target = OpsTarget { url: "http://a".to_owned(), token: Some("secret".to_owned()) };
        assert!(!format!("{target:?} {:?}", OpsClient::new(&target)).contains("secret"));
    }

    #[test]
    fn a_token_is_a_short_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " 0123456789abcdef\n").unwrap();
        assert_eq!(token_in(&file).unwrap(), "0123456789abcdef");
        std::fs::write(&file, "x".repeat(5_000)).unwrap();
        assert!(token_in(&file).unwrap_err().to_string().contains("more than 4096 bytes"));
        assert!(token_in(&folder.path().join("none")).is_err());
    }
}
