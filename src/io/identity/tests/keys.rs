//! Key sets and discovery.

use std::{
    future::Future as _,
    task::{Context, Waker},
};

use super::*;

pub(super) fn jwks(url: &str) -> JwksSettings {
    JwksSettings {
        url: url.to_owned(),
        refresh: Duration::from_secs(3600),
        issuer: None,
        audience: None,
        algorithms: AlgorithmSet::EMPTY,
    }
}

fn with_jwks(provider: &Provider) -> Settings {
    Settings { jwks: Some(jwks(&provider.url("/keys"))), ..settings() }
}

fn with_oidc(issuer: &str) -> Settings {
    let oidc = OidcSettings {
        issuer: issuer.to_owned(),
        audience: Some("calls".to_owned()),
        refresh: Duration::from_secs(3600),
        algorithms: AlgorithmSet::EMPTY,
    };
    Settings { oidc: Some(oidc), ..settings() }
}

fn token(signer: &Signer, kid: &str) -> String {
    signer.sign("https://id.example", Some(kid), &TokenClaims::join("r1", "alice"))
}

const PAUSE: Duration = Duration::from_millis(source::UNKNOWN_KEY_PAUSE_MS);

#[tokio::test]
async fn a_key_set_is_fetched_for_its_first_token_and_kept() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    provider.serve_keys(&[("k1", &signer)]);
    let bench = Bench::new(&with_jwks(&provider));
    for _ in 0..3 {
        let grant = bench.authenticator.verify(&token(&signer, "k1")).await.unwrap();
        assert_eq!((grant.key.as_str(), grant.identity.as_str()), ("jwks", "alice"));
    }
    assert_eq!(provider.asked(), 1);
    assert_eq!(bench.events(), [Event::KeysRefreshed { source: "jwks", keys: Ok(1) }]);
}

#[tokio::test]
async fn a_rotated_key_is_fetched_on_its_first_token_but_not_for_every_unknown_one() {
    let (provider, old, new) = (Provider::start().await, Signer::of(Algorithm::Rs256), Signer::of(Algorithm::Es384));
    provider.serve_keys(&[("old", &old)]);
    let bench = Bench::new(&with_jwks(&provider));
    assert_eq!(bench.code(&token(&old, "old")).await, Ok(()));
    provider.serve_keys(&[("old", &old), ("new", &new)]);
    assert_eq!(bench.code(&token(&new, "new")).await, Err(Code::Unauthenticated), "fetched a moment ago");
    bench.pass(PAUSE);
    assert_eq!(bench.code(&token(&new, "new")).await, Ok(()));
    assert_eq!(bench.code(&token(&old, "old")).await, Ok(()));
    assert_eq!(provider.asked(), 2);
    for stranger in 0..20 {
        assert_eq!(bench.code(&token(&new, &format!("k{stranger}"))).await, Err(Code::Unauthenticated));
    }
    assert_eq!(provider.asked(), 2);

    bench.pass(PAUSE);
    provider.serve_keys(&[("new", &new)]);
    assert_eq!(bench.code(&token(&new, "k0")).await, Err(Code::Unauthenticated));
    assert_eq!(bench.code(&token(&old, "old")).await, Err(Code::Unauthenticated), "it is no longer published");
    assert_eq!(provider.asked(), 3);
}

#[tokio::test]
async fn many_tokens_of_an_unknown_key_cause_one_fetch() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::EdDsa));
    provider.serve_keys(&[("k1", &signer)]);
    let bench = Bench::new(&with_jwks(&provider));
    let token = token(&signer, "k1");
    let all = futures_util::future::join_all((0..50).map(|_| bench.code(&token))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(provider.asked(), 1);
}

fn failed(source: &'static str, fault: &str) -> Event {
    Event::KeysRefreshed { source, keys: Err(fault.to_owned()) }
}

#[tokio::test]
async fn old_keys_stay_while_the_endpoint_is_away_or_talks_nonsense() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    provider.serve_keys(&[("k1", &signer)]);
    let bench = Bench::new(&with_jwks(&provider));
    assert_eq!(bench.code(&token(&signer, "k1")).await, Ok(()));
    let oversized = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(600 * 1024));
    let bad = [
        (Answer::Status(500), "status 500 Internal Server Error, not 200"),
        (Answer::Status(302), "status 302 Found, not 200"),
        (Answer::Text("<html>".to_owned()), "the answer is not of the expected format"),
        (Answer::Text(oversized), "the answer is longer than 524288 bytes"),
    ];
    for (bad, fault) in bad {
        provider.set("/keys", bad);
        bench.pass(PAUSE);
        assert_eq!(bench.code(&token(&signer, "k2")).await, Err(Code::Unauthenticated));
        assert_eq!(bench.events().last(), Some(&failed("jwks", fault)));
        assert_eq!(bench.code(&token(&signer, "k1")).await, Ok(()));
    }
    provider.stop.cancel();
    bench.pass(PAUSE);
    assert_eq!(bench.code(&token(&signer, "k2")).await, Err(Code::Unauthenticated));
    assert_eq!(bench.code(&token(&signer, "k1")).await, Ok(()));
}

#[tokio::test]
async fn while_no_key_was_ever_fetched_the_token_is_to_come_back_and_static_keys_work() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    let bench = Bench::new(&with_jwks(&provider));
    let refusal = bench.authenticator.verify(&token(&signer, "k1")).await.unwrap_err();
    assert_eq!(refusal.code, Code::AuthUnavailable);
    assert!(refusal.retry_after_ms.is_some());
    assert_eq!(bench.code(&mint("app", SECRET, &TokenClaims::join("r1", "bob")).unwrap()).await, Ok(()));

    provider.serve_keys(&[("k1", &signer)]);
    bench.pass(PAUSE);
    assert_eq!(bench.code(&token(&signer, "k1")).await, Ok(()));
}

#[tokio::test]
async fn keys_are_refreshed_in_the_background_until_shutdown() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    provider.serve_keys(&[("k1", &signer)]);
    let mut settings = with_jwks(&provider);
    settings.jwks.as_mut().unwrap().refresh = Duration::from_millis(20);
    let bench = Bench::new(&settings);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(bench.authenticator.clone().run_refresh(shutdown.clone()));
    until("a third fetch", || provider.asked() >= 3).await;
    let next = Signer::of(Algorithm::Es256);
    provider.serve_keys(&[("k2", &next), ("k3", &signer)]);
    until("both keys", || bench.events().contains(&Event::KeysRefreshed { source: "jwks", keys: Ok(2) })).await;
    assert_eq!(bench.code(&token(&next, "k2")).await, Ok(()));

    provider.set("/keys", Answer::Status(503));
    let failed = failed("jwks", "status 503 Service Unavailable, not 200");
    until("a failure", || bench.events().contains(&failed)).await;
    assert_eq!(bench.code(&token(&next, "k2")).await, Ok(()));
    shutdown.cancel();
    tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_take_the_fetch_with_it() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    provider.serve_keys(&[("k1", &signer)]);
    let bench = Bench::new(&with_jwks(&provider));
    let impatient = token(&signer, "k1");
    {
        let verifying = bench.authenticator.verify(&impatient);
        tokio::pin!(verifying);
        let mut context = Context::from_waker(Waker::noop());
        assert!(verifying.as_mut().poll(&mut context).is_pending());
    }
    until("the fetch", || !bench.events().is_empty()).await;
    assert_eq!(bench.code(&impatient).await, Ok(()));
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn discovery_leads_to_the_keys_of_that_issuer_and_audience() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    let issuer = provider.url("");
    provider.serve_keys(&[("k1", &signer)]);
    provider.set("discovery", Answer::Json(json!({"issuer": issuer, "jwks_uri": provider.url("/keys")})));
    let mut settings = with_oidc(&issuer);
    settings.roles.insert("host".to_owned(), RoleSettings::from_names(["room_join"]).unwrap());
    let bench = Bench::new(&settings);
    let sign = |aud: &str, iss: &str| {
        signer.sign_json(Some("k1"), &json!({"iss": iss, "aud": aud, "sub": "alice", "roles": ["host"]}))
    };
    let grant = bench.authenticator.verify(&sign("calls", &issuer)).await.unwrap();
    assert!(grant.room_join && grant.key == "oidc");
    assert_eq!(bench.code(&sign("mail", &issuer)).await, Err(Code::Unauthenticated));
    assert_eq!(bench.code(&sign("calls", "https://other.example")).await, Err(Code::Unauthenticated));
    assert_eq!(provider.asked(), 2, "one discovery, one key set");
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let (provider, signer) = (Provider::start().await, Signer::of(Algorithm::Es256));
    let issuer = provider.url("");
    provider.serve_keys(&[("k1", &signer)]);
    for (document, fault) in [
        (
            json!({"issuer": "https://evil.example", "jwks_uri": provider.url("/keys")}),
            "the document's issuer is not the configured one",
        ),
        (
            json!({"issuer": issuer, "jwks_uri": "file:///etc/keys"}),
            "jwks_uri is not a URL, or is http while the issuer is https",
        ),
        (json!({"issuer": issuer}), "the answer is not of the expected format"),
    ] {
        provider.set("discovery", Answer::Json(document));
        let bench = Bench::new(&with_oidc(&issuer));
        let token = signer.sign_json(Some("k1"), &json!({"iss": issuer, "aud": "calls", "sub": "alice"}));
        assert_eq!(bench.code(&token).await, Err(Code::AuthUnavailable));
        assert_eq!(bench.events(), [failed("oidc", fault)]);
    }
}
