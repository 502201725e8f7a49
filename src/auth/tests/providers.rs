//! Keys of providers, roles, and answers of introspection endpoints.

use super::*;

const ISSUER: &str = "https://id.example";

fn with_oidc() -> Settings {
    let mut settings = settings();
    settings.oidc = Some(OidcSettings {
        issuer: ISSUER.to_owned(),
        audience: Some("calls".to_owned()),
        refresh: Duration::from_secs(60),
        algorithms: AlgorithmSet::EMPTY,
    });
    let role = |names: &[&str]| RoleSettings::from_names(names.iter().copied()).unwrap();
    settings.roles.insert("guest".to_owned(), role(&["room_join", "can_subscribe"]));
    settings.roles.insert("host".to_owned(), role(&["room_join", "room_admin", "can_publish"]));
    settings
}

fn fetched(settings: &Settings, signers: &[(&str, &Signer)]) -> KeySet {
    let keys = key_set(settings);
    let document = json!({"keys": signers.iter().map(|(kid, signer)| signer.jwk(kid)).collect::<Vec<_>>()});
    let parsed = parse_jwks(document.to_string().as_bytes(), keys.provider_algorithms("oidc")).unwrap();
    assert_eq!(parsed.len(), signers.len());
    keys.with_provider_keys("oidc", parsed)
}

fn claims(extra: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": ["calls", "mail"], "sub": "alice", "exp": NOW_S + 60});
    extra.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
    claims
}

#[test]
fn every_public_key_algorithm_is_verified_by_a_key_set() {
    for algorithm in Algorithm::ALL.into_iter().filter(|a| AlgorithmSet::ASYMMETRIC.contains(*a)) {
        let signer = Signer::of(algorithm);
        let mut jwk = signer.jwk("k1");
        let keys = key_set(&with_oidc());
        for alg in [Value::Null, json!(algorithm.name())] {
            jwk["alg"] = alg.clone();
            let document = json!({"keys": [jwk]}).to_string();
            let keys =
                keys.with_provider_keys("oidc", parse_jwks(document.as_bytes(), AlgorithmSet::ASYMMETRIC).unwrap());
            let grant = verify(&signer.sign_json(Some("k1"), &claims(&json!({}))), &keys, NOW_MS);
            assert_eq!(grant.unwrap().key, "oidc", "{algorithm:?} {alg}");
        }
    }
}

#[test]
fn keys_that_were_never_fetched_are_a_reason_to_come_back() {
    let signer = Signer::of(Algorithm::Es256);
    let refusal = refused(&signer.sign_json(Some("k1"), &claims(&json!({}))), &key_set(&with_oidc()));
    assert_eq!(refusal.code, Code::AuthUnavailable);
    assert!(refusal.retry_after_ms.is_some() && refusal.code.reconnect());
}

#[test]
fn an_unknown_kid_asks_for_a_refresh_and_a_bad_signature_does_not() {
    let (known, stranger) = (Signer::of(Algorithm::Es256), Signer::of(Algorithm::Es256));
    let keys = fetched(&with_oidc(), &[("k1", &known)]);
    let token = claims(&json!({}));
    let rejected = |token: String| check(&token, &keys, NOW_MS).unwrap_err();
    assert!(matches!(rejected(stranger.sign_json(Some("k2"), &token)), Rejection::KeyUnknown { provider: "oidc", .. }));
    assert!(matches!(rejected(stranger.sign_json(Some("k1"), &token)), Rejection::Refused(_)));
    assert!(matches!(rejected(raw_token(&json!({"alg": "HS256", "kid": "k2"}), &token)), Rejection::Refused(_)));
}

#[test]
fn audience_and_issuer_must_be_the_configured_ones() {
    let signer = Signer::of(Algorithm::EdDsa);
    let keys = fetched(&with_oidc(), &[("k1", &signer)]);
    let sign = |extra: Value| signer.sign_json(Some("k1"), &claims(&extra));
    assert!(verify(&sign(json!({"aud": "calls"})), &keys, NOW_MS).is_ok());
    for aud in [json!("mail"), json!([]), Value::Null] {
        unauthenticated(&sign(json!({"aud": aud})), &keys, "audience");
    }
    unauthenticated(&sign(json!({"iss": "https://evil.example"})), &keys, "evil.example");
    // a provider's key does not sign for a static key, nor a static key for the provider
    unauthenticated(&sign(json!({"iss": "app"})), &keys, "is not allowed for key \"app\"");
    unauthenticated(&claims_token(&claims(&json!({}))), &keys, "is not allowed");
}

#[test]
fn roles_count_only_for_a_providers_token_without_a_video_claim() {
    let signer = Signer::of(Algorithm::Es384);
    let keys = fetched(&with_oidc(), &[("k1", &signer)]);
    let grant = |extra: Value| verify(&signer.sign_json(Some("k1"), &claims(&extra)), &keys, NOW_MS).unwrap();
    let host = grant(json!({"roles": ["guest", "host", "wizard"]}));
    assert!(
        host.room_join && host.permissions.room_admin && host.permissions.can_publish && host.permissions.can_subscribe
    );
    assert!(!host.permissions.can_publish_data && !host.room_create && host.room.is_none());
    let guest = grant(json!({"roles": "guest"}));
    assert!(guest.room_join && !guest.permissions.can_publish);
    assert!(!grant(json!({})).room_join);
    let own = grant(json!({"roles": ["host"], "video": {"roomJoin": true, "canPublish": false}}));
    assert!(own.room_join && !own.permissions.room_admin && !own.permissions.can_publish);
}

#[test]
fn the_roles_claim_may_lie_deeper() {
    let signer = Signer::of(Algorithm::Es256);
    let settings = Settings { roles_claim: "realm_access.roles".to_owned(), ..with_oidc() };
    let keys = fetched(&settings, &[("k1", &signer)]);
    let token = signer.sign_json(None, &claims(&json!({"realm_access": {"roles": ["host"]}, "roles": ["guest"]})));
    assert!(verify(&token, &keys, NOW_MS).unwrap().permissions.room_admin);
}

#[test]
fn a_jwks_without_issuer_takes_any_but_the_static_keys_and_the_oidc_issuer_comes_first() {
    let (by_oidc, by_jwks) = (Signer::of(Algorithm::Es256), Signer::of(Algorithm::Es256));
    let mut settings = with_oidc();
    settings.jwks = Some(JwksSettings {
        url: "http://127.0.0.1/keys".to_owned(),
        refresh: Duration::from_secs(60),
        issuer: None,
        audience: None,
        algorithms: AlgorithmSet::EMPTY,
    });
    let document = json!({"keys": [by_jwks.jwk("k1")]}).to_string();
    let keys = fetched(&settings, &[("k1", &by_oidc)])
        .with_provider_keys("jwks", parse_jwks(document.as_bytes(), AlgorithmSet::ASYMMETRIC).unwrap());
    let token = |signer: &Signer, iss: &str| signer.sign_json(Some("k1"), &claims(&json!({"iss": iss})));
    assert_eq!(verify(&token(&by_jwks, "https://other.example"), &keys, NOW_MS).unwrap().key, "jwks");
    assert_eq!(verify(&token(&by_oidc, ISSUER), &keys, NOW_MS).unwrap().key, "oidc");
    unauthenticated(&token(&by_jwks, ISSUER), &keys, "signature");
    unauthenticated(&token(&by_jwks, "app"), &keys, "is not allowed");
}

#[test]
fn a_key_set_keeps_what_can_be_used_and_drops_the_rest() {
    let signer = Signer::of(Algorithm::Es256);
    let mut for_encryption = signer.jwk("enc");
    for_encryption["use"] = json!("enc");
    let mut wrong_alg = signer.jwk("alg");
    wrong_alg["alg"] = json!("ES384");
    let mut unknown_alg = signer.jwk("future");
    unknown_alg["alg"] = json!("ML-DSA-44");
    let mut off_curve = signer.jwk("off");
    off_curve["x"] = json!(URL_SAFE_NO_PAD.encode([7; 32]));
    let odd = [
        for_encryption,
        wrong_alg,
        unknown_alg,
        off_curve,
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256", "kid": "oct"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "short"}),
        json!({"kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode([1; 32])}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "tiny"}),
        json!({"kty": "EC", "crv": "P-256", "x": "", "y": ""}),
        json!({"kid": 7}),
        json!("key"),
        signer.jwk("good"),
    ];
    let keys = parse_jwks(json!({"keys": odd}).to_string().as_bytes(), AlgorithmSet::ASYMMETRIC).unwrap();
    assert_eq!(keys.iter().map(|key| key.kid.as_deref()).collect::<Vec<_>>(), [Some("good")]);
    let many = vec![signer.jwk("k"); 200];
    let keys = parse_jwks(json!({"keys": many}).to_string().as_bytes(), AlgorithmSet::ASYMMETRIC).unwrap();
    assert_eq!(keys.len(), 64);
    for document in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
        assert_eq!(parse_jwks(document.as_bytes(), AlgorithmSet::ASYMMETRIC).unwrap_err(), KeyError::NotAKeySet);
    }
}

#[test]
fn an_active_answer_becomes_a_grant_by_roles_scopes_or_its_own_grants() {
    let keys = key_set(&with_oidc());
    let read = |answer: Value| introspected(answer.to_string().as_bytes(), &keys, NOW_MS);
    let grant = |answer: Value| match read(answer) {
        Introspected::Active(grant) => *grant,
        other => panic!("{other:?}"),
    };
    let host =
        grant(json!({"active": true, "sub": "alice", "username": "Al", "scope": "openid host", "exp": NOW_S + 9}));
    assert_eq!((host.key.as_str(), host.identity.as_str(), host.name.as_str()), ("introspection", "alice", "Al"));
    assert!(host.room_join && host.permissions.room_admin && host.expires_at_ms == Some(NOW_MS + 14_000));
    let guest = grant(json!({"active": true, "username": "bob", "roles": ["guest"]}));
    assert!(guest.identity.as_str() == "bob" && guest.room_join && !guest.permissions.can_publish);
    let own = grant(json!({"active": true, "sub": "c", "scope": "host", "video": {"roomJoin": true, "room": "r"}}));
    assert!(own.room_join && !own.permissions.room_admin && own.permissions.can_publish);
}

#[test]
fn an_inactive_expired_or_odd_answer_lets_nobody_in() {
    let keys = key_set(&with_oidc());
    let read = |answer: &str| introspected(answer.as_bytes(), &keys, NOW_MS);
    let code = |answer: &str| match read(answer) {
        Introspected::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(r#"{"active":false,"sub":"alice"}"#), Code::Unauthenticated);
    assert_eq!(code(r#"{"active":true,"sub":"alice","exp":1}"#), Code::TokenExpired);
    assert_eq!(code(r#"{"active":true,"sub":"a","nbf":99999999999}"#), Code::TokenNotYetValid);
    assert_eq!(code(r#"{"active":true,"scope":"guest"}"#), Code::Unauthenticated);
    for odd in ["", "{}", "[]", r#"{"active":"true"}"#, r#"{"active":true,"sub":1}"#, "<html>"] {
        assert_eq!(read(odd), Introspected::NotAnAnswer, "{odd}");
    }
}

#[test]
fn opaque_tokens_are_told_from_jwts() {
    assert!(is_jwt_shaped(&mint("app", SECRET, &alice()).unwrap()));
    for opaque in ["", "abc", "a.b.c", "eyJ", "2YotnFZFEjr1zCsicMWpAA", "eyJ.a"] {
        assert!(!is_jwt_shaped(opaque), "{opaque}");
    }
}

#[test]
fn other_static_keys_and_rules_leave_what_a_provider_has() {
    let (signer, settings) = (Signer::of(Algorithm::Es256), with_oidc());
    let before = fetched(&settings, &[("k1", &signer)]);
    let mut other = Settings { roles: with_oidc().roles, ..Settings::default() }.with_secret("web", OTHER);
    other.leeway = Duration::from_secs(3600);
    let after = before.with_static(&key_set(&other));
    let late = claims(&json!({"exp": NOW_S - 600}));
    assert_eq!(refused(&signer.sign_json(Some("k1"), &late), &before).code, Code::TokenExpired);
    assert_eq!(verify(&signer.sign_json(Some("k1"), &late), &after, NOW_MS).unwrap().key, "oidc");
    let old = hmac_token(Algorithm::Hs256, None, SECRET.as_bytes());
    assert!(verify(&old, &before, NOW_MS).is_ok());
    assert_eq!(refused(&old, &after).code, Code::Unauthenticated);
}
