//! Opaque tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

pub(super) fn settings_for(provider: &Provider) -> Settings {
    let introspection = IntrospectionSettings {
        url: provider.url("/introspect"),
        client_id: "signal box".to_owned(),
        client_secret: "s3cr3t:/ü".into(),
        cache: Duration::from_secs(60),
        cache_entries: 8,
        timeout: Duration::from_secs(5),
    };
    let mut settings = Settings { introspection: Some(introspection), ..settings() };
    settings.roles.insert("host".to_owned(), RoleSettings::from_names(["room_join", "can_publish"]).unwrap());
    settings
}

fn active(extra: &Value) -> Answer {
    let mut answer = json!({"active": true, "sub": "alice", "scope": "openid host"});
    extra.as_object().unwrap().iter().for_each(|(name, value)| answer[name] = value.clone());
    Answer::Json(answer)
}

#[tokio::test]
async fn an_active_token_is_granted_its_roles_and_asked_about_once() {
    let provider = Provider::start().await;
    provider.set("/introspect", active(&json!({"username": "Alice"})));
    let bench = Bench::new(&settings_for(&provider));
    for _ in 0..3 {
        let grant = bench.authenticator.verify("opaque-1").await.unwrap();
        assert_eq!(
            (grant.key.as_str(), grant.identity.as_str(), grant.name.as_str()),
            ("introspection", "alice", "Alice")
        );
        assert!(grant.room_join && grant.permissions.can_publish && !grant.permissions.can_subscribe);
    }
    assert_eq!(provider.asked(), 1);
    let (headers, form) = provider.last_form.lock().unwrap().take().unwrap();
    assert_eq!(form["token"], "opaque-1");
    let basic = STANDARD.encode("signal+box:s3cr3t%3A%2F%C3%BC");
    assert_eq!(headers["authorization"], format!("Basic {basic}"));

    assert_eq!(bench.code("opaque-2").await, Ok(()));
    assert_eq!(provider.asked(), 2);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.code("opaque-1").await, Ok(()));
    assert_eq!(provider.asked(), 3);
}

#[tokio::test]
async fn an_answer_is_not_believed_past_the_tokens_own_end() {
    let provider = Provider::start().await;
    let bench = Bench::new(&settings_for(&provider));
    provider.set("/introspect", active(&json!({"exp": bench.now_s() + 10})));
    assert_eq!(bench.code("opaque").await, Ok(()));
    bench.pass(Duration::from_millis(14_999)); // five seconds of leeway
    assert_eq!(bench.code("opaque").await, Ok(()));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.code("opaque").await, Err(Code::TokenExpired));
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn a_refusal_is_believed_for_a_shorter_while() {
    let provider = Provider::start().await;
    provider.set("/introspect", Answer::Json(json!({"active": false})));
    let bench = Bench::new(&settings_for(&provider));
    for _ in 0..3 {
        assert_eq!(bench.code("opaque").await, Err(Code::Unauthenticated));
    }
    assert_eq!(provider.asked(), 1);
    provider.set("/introspect", active(&json!({})));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.code("opaque").await, Ok(()));
    assert!(bench.events().is_empty());
}

#[tokio::test]
async fn answers_past_the_bound_push_out_others_and_are_asked_again() {
    let provider = Provider::start().await;
    provider.set("/introspect", active(&json!({})));
    let bench = Bench::new(&settings_for(&provider));
    for token in 0..9 {
        assert_eq!(bench.code(&format!("opaque-{token}")).await, Ok(()));
        bench.pass(Duration::from_millis(1));
    }
    assert_eq!(bench.code("opaque-8").await, Ok(()));
    assert_eq!(provider.asked(), 9);
    assert_eq!(bench.code("opaque-0").await, Ok(()));
    assert_eq!(provider.asked(), 10);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_not_a_refusal_and_is_not_remembered() {
    let provider = Provider::start().await;
    let bench = Bench::new(&settings_for(&provider));
    let oversized = format!("{{\"active\":true,\"sub\":\"a\",\"x\":\"{}\"}}", "x".repeat(70 * 1024));
    let bad = [Answer::Status(401), Answer::Status(500), Answer::Text("<html>".to_owned()), Answer::Text(oversized)];
    let faults = [
        "status 401 Unauthorized, not 200",
        "status 500 Internal Server Error, not 200",
        "the answer is not of the expected format",
        "the answer is longer than 65536 bytes",
    ];
    let failed: Vec<_> = faults.map(|fault| Event::IntrospectionFailed { fault: fault.to_owned() }).into();
    for (times, answer) in bad.into_iter().enumerate() {
        provider.set("/introspect", answer);
        let refusal = bench.authenticator.verify("opaque").await.unwrap_err();
        assert_eq!((refusal.code, refusal.retry_after_ms.is_some()), (Code::AuthUnavailable, true));
        assert_eq!(bench.events(), failed[..=times]);
    }
    provider.set("/introspect", active(&json!({})));
    assert_eq!(bench.code("opaque").await, Ok(()));
    provider.stop.cancel();
    assert_eq!(bench.code("opaque").await, Ok(()), "remembered while it is away");
}

#[tokio::test]
async fn an_endpoint_that_is_away_or_silent_is_named_unavailable() {
    let provider = Provider::start().await;
    provider.set("/introspect", Answer::Silence);
    let mut settings = settings_for(&provider);
    settings.introspection.as_mut().unwrap().timeout = Duration::from_millis(50);
    let bench = Bench::new(&settings);
    assert_eq!(bench.code("opaque").await, Err(Code::AuthUnavailable));

    // a port that was just given up
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    settings.introspection.as_mut().unwrap().url = format!("http://{gone}/introspect");
    assert_eq!(Bench::new(&settings).code("opaque").await, Err(Code::AuthUnavailable));
}

#[tokio::test]
async fn jwts_and_absurd_tokens_are_not_sent_anywhere() {
    let provider = Provider::start().await;
    provider.set("/introspect", active(&json!({})));
    let bench = Bench::new(&settings_for(&provider));
    let token = mint("app", SECRET, &TokenClaims::join("r1", "bob")).unwrap();
    assert_eq!(bench.authenticator.verify(&token).await.unwrap().key, "app");
    let stranger = mint("other", SECRET, &TokenClaims::join("r1", "bob")).unwrap();
    assert_eq!(bench.code(&stranger).await, Err(Code::Unauthenticated));
    assert_eq!(bench.code("").await, Err(Code::Unauthenticated));
    assert_eq!(bench.code(&"x".repeat(64 * 1024 + 1)).await, Err(Code::Unauthenticated));
    assert_eq!(provider.asked(), 0);
}
