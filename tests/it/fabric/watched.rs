//! A router with a Redis: what its metrics and its log say of it.

use super::Redis;
use crate::harness::{Router, answered, get, remember};

async fn metric(router: &Router, series: &str) -> Option<f64> {
    let metrics = get(router.ops, "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    value.and_then(|value| value.parse().ok())
}

#[tokio::test]
async fn a_router_asks_its_redis_whether_it_answers_and_tells_when_it_does_not() {
    const PASSWORD: &str = "password-of-redis-password-of-redis";
    remember(PASSWORD);
    let mut redis = Redis::with_password(PASSWORD).await;
    let url = redis.url();
    let secret = ("resume.secret", "resume-secret-of-one-router-resume-secret");
    remember(secret.1);
    let router = Router::dev_with(&[("redis.addrs", &url), ("redis.password", PASSWORD), secret]);
    let pings = |outcome: &str| format!("signalbox_fabric_calls_total{{call=\"ping\",outcome=\"{outcome}\"}}");
    answered("three pings", async || (metric(&router, &pings("ok")).await? >= 3.0).then_some(())).await;
    assert_eq!(metric(&router, "signalbox_fabric_servers").await, Some(1.0));
    assert_eq!(metric(&router, "signalbox_fabric_connections").await, Some(2.0));
    assert!(metric(&router, "signalbox_fabric_silent_seconds").await < Some(2.0));
    assert!(metric(&router, "signalbox_fabric_call_latency_seconds_count{call=\"ping\"}").await >= Some(2.0));
    redis.kill();
    answered("the silence", async || (metric(&router, "signalbox_fabric_silent_seconds").await? > 2.0).then_some(()))
        .await;
    assert_eq!(metric(&router, "signalbox_fabric_connections").await, Some(0.0));
    let failures = |reason: &str| format!("signalbox_fabric_connection_failures_total{{reason=\"{reason}\"}}");
    assert_eq!(metric(&router, &failures("closed")).await, Some(2.0));
    assert!(metric(&router, &failures("unreachable")).await >= Some(1.0));
    redis.again().await;
    answered("Redis again", async || (metric(&router, "signalbox_fabric_silent_seconds").await? < 2.0).then_some(()))
        .await;
    assert!(router.stderr().contains("connected to Redis") && router.stderr().contains("no connection to Redis"));
}

#[tokio::test]
async fn a_router_without_one_shows_no_gauges_of_it() {
    let router = Router::dev();
    assert_eq!(metric(&router, "signalbox_fabric_silent_seconds").await, None);
    assert_eq!(metric(&router, "signalbox_fabric_calls_total{call=\"ping\",outcome=\"ok\"}").await, Some(0.0));
}
