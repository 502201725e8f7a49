//! The router's own view of a run, fetched from its ops port: beside the client's, it tells where the time went.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use crate::ops_client::{OpsClient, OpsError, OpsTarget};

/// What is asked.
const PATH: &str = "/debug/latency";
/// How long the router may take to tell, and to drain what it recorded last.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Up to this the router tells windows apart by the second.
const WINDOW_MAX_SECONDS: u64 = 3_600;

/// Why the router did not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    /// It cannot be reached, or refuses.
    #[error(transparent)]
    Asked(#[from] OpsError),
    /// It answered no report.
    #[error("{url} does not tell: {why}")]
    Unread {
        /// What was asked.
        url: String,
        /// What is wrong with the answer.
        why: serde_json::Error,
    },
    /// It drains nothing any more.
    #[error("{url} has drained nothing for {} seconds", PATIENCE.as_secs())]
    Stale {
        /// What was asked.
        url: String,
    },
}

/// The router's own view of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RouterView {
    /// How far back it reaches from the run's end, seconds: to its beginning; of a run of more than a minute up to two
    /// minutes further, because the router tells the past by the minute.
    pub window_seconds: u64,
    /// By what was measured.
    pub measures: Vec<RouterSide>,
}

/// One measure as the router saw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouterSide {
    /// The measure's name, as among the client's.
    pub name: &'static str,
    /// Latencies in the window.
    pub count: u64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 are at most this, milliseconds.
    pub p99_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Told {
    covered_seconds: u64,
    until_unix_ms: u64,
    overall: Vec<Overall>,
}

#[derive(Debug, Deserialize)]
struct Overall {
    kind: String,
    op: String,
    count: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// All since that moment, once the router has drained what ended until now. Up to a minute the window is as short as
/// whole seconds allow, so that what was there before the run stays out of it.
pub(super) async fn since(begun: Instant, target: &OpsTarget) -> Result<RouterView, Untold> {
    let client = OpsClient::new(target)?;
    let before = ask(&client, window_since(begun)).await?.until_unix_ms;
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE {
        let told = ask(&client, window_since(begun)).await?;
        if told.until_unix_ms != before {
            return Ok(told.view());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Untold::Stale { url: client.address() + PATH })
}

async fn ask(client: &OpsClient, seconds: u64) -> Result<Told, Untold> {
    let window = format!("{seconds}s");
    let answer = client.get(PATH, &[("format", "json"), ("window", &window)], PATIENCE).await?;
    serde_json::from_slice(&answer).map_err(|why| Untold::Unread { url: client.address() + PATH, why })
}

/// Seconds until now, rounded up; as many as the router can tell.
fn window_since(begun: Instant) -> u64 {
    let seconds = begun.elapsed().as_secs_f64().ceil() as u64;
    seconds.clamp(1, WINDOW_MAX_SECONDS)
}

impl Told {
    fn view(&self) -> RouterView {
        let measures = Measure::ALL.into_iter().filter_map(|measure| self.of(measure)).collect();
        RouterView { window_seconds: self.covered_seconds, measures }
    }

    /// What the router measures of what the client measures: of a join the frame, not the handshake before it.
    fn of(&self, measure: Measure) -> Option<RouterSide> {
        let (kind, op) = match measure {
            Measure::Delivery => ("delivery", "send"),
            Measure::SignalDelivery => ("delivery", "signal"),
            own => ("signal", own.name()),
        };
        let row = self.overall.iter().find(|row| row.kind == kind && row.op == op)?;
        Some(RouterSide { name: measure.name(), count: row.count, p50_ms: row.p50_ms, p99_ms: row.p99_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_of_the_client_is_found_among_the_routers() {
        let told: Told = serde_json::from_value(serde_json::json!({
            "covered_seconds": 12,
            "until_unix_ms": 1,
            "overall": [
                { "kind": "signal", "op": "send", "count": 2, "p50_ms": 0.1, "p99_ms": 0.2 },
                { "kind": "delivery", "op": "send", "count": 7, "p50_ms": 0.3, "p99_ms": 0.4, "more": true },
            ]
        }))
        .unwrap();
        assert_eq!(told.of(Measure::Delivery).unwrap().p99_ms, 0.4);
        assert_eq!(told.of(Measure::Send).unwrap().count, 2);
        assert_eq!(told.of(Measure::Join), None);
        let view = told.view();
        let names: Vec<_> = view.measures.iter().map(|measure| measure.name).collect();
        assert_eq!((view.window_seconds, names), (12, vec!["delivery", "send"]));
    }

    #[test]
    fn a_window_reaches_back_to_the_beginning_and_not_a_second_further() {
        let ago = |ms: u64| Instant::now() - Duration::from_millis(ms);
        assert_eq!([0, 100, 1_900, 11_500].map(|ms| window_since(ago(ms))), [1, 1, 2, 12]);
        assert_eq!(window_since(Instant::now() + Duration::from_secs(5)), 1, "it has not begun");
        assert_eq!(window_since(ago(7_200_000)), WINDOW_MAX_SECONDS);
    }

    #[tokio::test]
    async fn nobody_at_the_ops_port_is_an_error_in_words() {
        let nobody = OpsTarget { url: "http://127.0.0.1:1/".to_owned(), token: None };
        let error = since(Instant::now(), &nobody).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot reach http://127.0.0.1:1: Connection refused"), "{error}");
    }
}
