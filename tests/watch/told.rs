//! Who is told: one server of ours in place of PagerDuty, of WeCom and of whoever hears the dead-man's switch. It takes what
//! Alertmanager posts as those do, and keeps it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// By which way something was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    PagerDuty,
    WeCom,
    DeadMansSwitch,
    Alarm,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) at: Instant,
    pub(crate) way: Way,
    /// The alert's name.
    pub(crate) alert: String,
    /// Whether it is over.
    pub(crate) over: bool,
    /// All that it says.
    pub(crate) text: String,
    pub(crate) links: Vec<String>,
}

/// Whoever is on call.
pub(crate) struct OnCall {
    pub(crate) at: SocketAddr,
    told: Arc<Mutex<Vec<Message>>>,
    serving: JoinHandle<()>,
}

type Told = State<Arc<Mutex<Vec<Message>>>>;

impl OnCall {
    pub(crate) async fn start() -> Self {
        let told = Arc::<Mutex<Vec<Message>>>::default();
        let routes = Router::new()
            .route("/v2/enqueue", post(pager_duty))
            .route("/cgi-bin/gettoken", get(async || Json(json!({ "errcode": 0, "access_token": "t" }))))
            .route("/cgi-bin/message/send", post(we_com))
            .route("/alive", post(async |State(told): Told| keep(&told, bare(Way::DeadMansSwitch))))
            .route("/alarm", post(async |State(told): Told| keep(&told, bare(Way::Alarm))))
            .with_state(told.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { at, told, serving }
    }

    /// What was told since then, the earliest first.
    pub(crate) fn since(&self, since: Instant) -> Vec<Message> {
        messages(&self.told).iter().filter(|message| message.at >= since).cloned().collect()
    }
}

impl Drop for OnCall {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn messages(told: &Mutex<Vec<Message>>) -> MutexGuard<'_, Vec<Message>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(told: &Mutex<Vec<Message>>, message: Message) {
    messages(told).push(message);
}

fn bare(way: Way) -> Message {
    let (alert, text, links) = Default::default();
    Message { at: Instant::now(), way, alert, over: false, text, links }
}

/// An event of PagerDuty's Events API, version 2.
async fn pager_duty(State(told): Told, Json(event): Json<Value>) -> (StatusCode, Json<Value>) {
    assert!(event["routing_key"].as_str().is_some_and(|key| key.len() == 32), "{event}");
    let links = event["links"].as_array().into_iter().flatten();
    let message = Message {
        alert: event["payload"]["class"].as_str().unwrap_or_default().to_owned(),
        over: event["event_action"] == "resolve",
        text: event.to_string(),
        // those that an alert has not are empty
        links: links.filter_map(|link| link["href"].as_str()).filter(|l| !l.is_empty()).map(str::to_owned).collect(),
        ..bare(Way::PagerDuty)
    };
    keep(&told, message);
    (StatusCode::ACCEPTED, Json(json!({ "status": "success" })))
}

/// A message of a WeCom application: Markdown whose first line is `**SEVERITY** Alert`, in colors.
async fn we_com(State(told): Told, Json(sent): Json<Value>) -> Json<Value> {
    assert_eq!(sent["msgtype"], "markdown", "{sent}");
    let text = sent["markdown"]["content"].as_str().unwrap_or_default().to_owned();
    let head = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let message = Message {
        alert: head.rsplit(' ').next().unwrap_or_default().to_owned(),
        over: head.contains("**OVER**"),
        links: markdown_links(&text),
        text,
        ..bare(Way::WeCom)
    };
    keep(&told, message);
    Json(json!({ "errcode": 0, "errmsg": "ok" }))
}

/// Of `[text](link)`.
fn markdown_links(text: &str) -> Vec<String> {
    text.split("](").skip(1).filter_map(|after| Some(after[..after.find(')')?].to_owned())).collect()
}
