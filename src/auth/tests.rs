//! Every way to be let in, and every way not to be.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::{
    mint::mint_with,
    settings::{JwksSettings, KeyMaterial, KeySettings, OidcSettings, RoleSettings},
    test_keys::Signer,
    *,
};
use crate::protocol::{Code, Refusal, v1::TrackSource};

const NOW_MS: u64 = 1_700_000_000_000;
const NOW_S: u64 = NOW_MS / 1000;
const SECRET: &str = "a secret of more than thirty-two bytes";
const OTHER: &str = "another secret of more than thirty-two bytes";

fn settings() -> Settings {
    Settings::default().with_secret("app", SECRET)
}

fn key_set(settings: &Settings) -> KeySet {
    KeySet::new(settings).unwrap()
}

fn public_key(signer: &Signer, kid: Option<&str>) -> KeySettings {
    KeySettings {
        name: "app".to_owned(),
        kid: kid.map(ToOwned::to_owned),
        material: KeyMaterial::PublicKeyPem(signer.public_pem.clone()),
        algorithms: AlgorithmSet::EMPTY,
    }
}

fn alice() -> TokenClaims {
    TokenClaims::join("r1", "alice").expires_at(NOW_S + 60)
}

fn hmac_token(algorithm: Algorithm, kid: Option<&str>, secret: &[u8]) -> String {
    let mut header = Header::new(algorithm.jwa());
    header.kid = kid.map(ToOwned::to_owned);
    mint_with(&header, "app", &EncodingKey::from_secret(secret), &alice()).unwrap()
}

/// A token of any header and claims, signed with the secret as HS256 would be.
fn raw_token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn claims_token(claims: &Value) -> String {
    raw_token(&json!({"alg": "HS256"}), claims)
}

fn try_claims(claims: &Value) -> Result<Grant, Refusal> {
    verify(&claims_token(claims), &key_set(&settings()), NOW_MS)
}

fn refused(token: &str, keys: &KeySet) -> Refusal {
    verify(token, keys, NOW_MS).expect_err("the token must not be accepted")
}

fn unauthenticated(token: &str, keys: &KeySet, what: &str) {
    let refusal = refused(token, keys);
    assert_eq!(refusal.code, Code::Unauthenticated, "{refusal}");
    assert!(refusal.message.contains(what), "{refusal} does not say {what:?}");
}

#[test]
fn a_minted_token_is_verified_and_says_all_it_was_given() {
    let mut claims = alice().name("Alice");
    claims.metadata = "m".to_owned();
    claims.attributes.insert("team".to_owned(), "red".to_owned());
    let token = mint("app", SECRET, &claims).unwrap();
    let grant = verify(&token, &key_set(&settings()), NOW_MS).unwrap();
    assert_eq!((grant.key.as_str(), grant.identity.as_str(), grant.name.as_str()), ("app", "alice", "Alice"));
    assert_eq!((grant.metadata.as_str(), grant.attributes["team"].as_str()), ("m", "red"));
    assert_eq!(grant.room.as_ref().map(|room| room.as_str()), Some("r1"));
    assert!(grant.room_join);
}

#[test]
fn every_hmac_algorithm_is_verified() {
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let token = hmac_token(algorithm, None, SECRET.as_bytes());
        assert!(verify(&token, &key_set(&settings()), NOW_MS).is_ok(), "{algorithm:?}");
        unauthenticated(&hmac_token(algorithm, None, OTHER.as_bytes()), &key_set(&settings()), "signature");
    }
}

#[test]
fn every_public_key_algorithm_is_verified_and_another_pair_is_not() {
    for algorithm in Algorithm::ALL.into_iter().filter(|a| AlgorithmSet::ASYMMETRIC.contains(*a)) {
        let signer = Signer::of(algorithm);
        let keys = key_set(&Settings { keys: vec![public_key(&signer, None)], ..Settings::default() });
        let token = signer.sign("app", None, &alice());
        assert!(verify(&token, &keys, NOW_MS).is_ok(), "{algorithm:?}");

        let forged =
            format!("{}{}", &token[..token.len() - 8], if token.ends_with("AAAA") { "BBBBBBBB" } else { "AAAAAAAA" });
        unauthenticated(&forged, &keys, "signature");
        let payload_changed = token.replacen('.', ".e30", 1);
        assert_eq!(refused(&payload_changed, &keys).code, Code::Unauthenticated, "{algorithm:?}");
    }
}

#[test]
fn a_token_without_a_signature_is_not_accepted_by_any_spelling_of_none() {
    let keys = key_set(&settings());
    let claims = json!({"iss": "app", "sub": "alice", "video": {"roomJoin": true, "room": "r1"}});
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let signed = raw_token(&json!({"alg": alg}), &claims);
        unauthenticated(&signed, &keys, "is not allowed for key \"app\"; allowed: HS256, HS384, HS512");
        let bare = &signed[..=signed.rfind('.').unwrap()];
        unauthenticated(bare, &keys, "is not allowed");
    }
    let genuine = claims_token(&claims);
    unauthenticated(&genuine[..=genuine.rfind('.').unwrap()], &keys, "signature");
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let signer = Signer::of(Algorithm::Rs256);
    let keys = key_set(&Settings { keys: vec![public_key(&signer, None)], ..Settings::default() });
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        unauthenticated(&hmac_token(algorithm, None, signer.public_pem.as_bytes()), &keys, "is not allowed");
    }
    // and with an HMAC key of the same name beside it, the public text still verifies nothing
    let both = Settings { keys: vec![public_key(&signer, None), settings().keys.remove(0)], ..Settings::default() };
    unauthenticated(&hmac_token(Algorithm::Hs256, None, signer.public_pem.as_bytes()), &key_set(&both), "signature");
}

#[test]
fn only_the_algorithms_on_the_keys_list_are_accepted() {
    let mut settings = settings();
    settings.keys[0].algorithms = AlgorithmSet::of(Algorithm::Hs512);
    let keys = key_set(&settings);
    assert!(verify(&hmac_token(Algorithm::Hs512, None, SECRET.as_bytes()), &keys, NOW_MS).is_ok());
    unauthenticated(
        &hmac_token(Algorithm::Hs256, None, SECRET.as_bytes()),
        &keys,
        "algorithm \"HS256\" is not allowed for key \"app\"; allowed: HS512",
    );
}

#[test]
fn keys_rotate_by_kid_while_both_are_live() {
    let mut settings = settings().with_secret("app", OTHER);
    settings.keys[0].kid = Some("old".to_owned());
    settings.keys[1].kid = Some("new".to_owned());
    let keys = key_set(&settings);
    for (kid, secret) in [("old", SECRET), ("new", OTHER)] {
        let by_kid = hmac_token(Algorithm::Hs256, Some(kid), secret.as_bytes());
        assert!(verify(&by_kid, &keys, NOW_MS).is_ok(), "{kid}");
        let without_kid = hmac_token(Algorithm::Hs256, None, secret.as_bytes());
        assert!(verify(&without_kid, &keys, NOW_MS).is_ok(), "{kid} unnamed");
    }
    unauthenticated(&hmac_token(Algorithm::Hs256, Some("old"), OTHER.as_bytes()), &keys, "signature");
    unauthenticated(&hmac_token(Algorithm::Hs256, Some("gone"), SECRET.as_bytes()), &keys, "kid \"gone\"");
}

#[test]
fn a_key_without_kid_takes_tokens_with_any() {
    let token = hmac_token(Algorithm::Hs256, Some("whatever"), SECRET.as_bytes());
    assert!(verify(&token, &key_set(&settings()), NOW_MS).is_ok());
}

#[test]
fn an_unknown_or_absent_issuer_is_named() {
    let keys = key_set(&settings());
    unauthenticated(&mint("nobody", SECRET, &alice()).unwrap(), &keys, "\"nobody\"");
    unauthenticated(&claims_token(&json!({"sub": "alice"})), &keys, "claim `iss`");
    let long = "x".repeat(1_000);
    assert!(refused(&mint(&long, SECRET, &alice()).unwrap(), &keys).message.len() < 200);
}

#[test]
fn dates_hold_to_the_millisecond_and_leeway_moves_their_edges() {
    let mut settings = settings();
    for leeway_ms in [0, 5_000] {
        settings.leeway = Duration::from_millis(leeway_ms);
        let keys = key_set(&settings);
        let mut claims = alice();
        claims.not_before = Some(NOW_S);
        let token = mint("app", SECRET, &claims).unwrap();
        let end = NOW_MS + 60_000 + leeway_ms;
        let code_at = |at: u64| verify(&token, &keys, at).map(|_| ()).map_err(|refusal| refusal.code);
        assert_eq!(code_at(NOW_MS - leeway_ms - 1), Err(Code::TokenNotYetValid));
        assert_eq!(code_at(NOW_MS - leeway_ms), Ok(()));
        assert_eq!(code_at(end - 1), Ok(()));
        assert_eq!(code_at(end), Err(Code::TokenExpired));
        assert_eq!(verify(&token, &keys, NOW_MS).unwrap().expires_at_ms, Some(end));
    }
}

#[test]
fn odd_dates_neither_panic_nor_let_in() {
    let token = |exp: Value| json!({"iss": "app", "sub": "a", "exp": exp, "video": {}});
    assert_eq!(try_claims(&token(json!(-1))).unwrap_err().code, Code::TokenExpired);
    assert_eq!(try_claims(&token(json!(0))).unwrap_err().code, Code::TokenExpired);
    assert_eq!(try_claims(&token(json!(1e300))).unwrap().expires_at_ms, Some(u64::MAX));
    assert_eq!(try_claims(&token(json!(NOW_S as f64 + 0.5))).unwrap().expires_at_ms, Some(NOW_MS + 500 + 5_000));
    assert_eq!(try_claims(&token(Value::Null)).unwrap().expires_at_ms, None);
    assert_eq!(try_claims(&token(json!("soon"))).unwrap_err().code, Code::Unauthenticated);
}

#[test]
fn a_forged_expired_token_is_told_of_the_forgery_only() {
    let token = mint("app", OTHER, &alice().expires_at(1)).unwrap();
    unauthenticated(&token, &key_set(&settings()), "signature");
}

#[test]
fn absent_grants_mean_what_the_field_takes_them_for() {
    let with = |video: Value| try_claims(&json!({"iss": "app", "sub": "a", "video": video})).unwrap();
    let plain = with(json!({"roomJoin": true, "room": "r1", "someFutureGrant": {"x": 1}}));
    let p = &plain.permissions;
    assert!(p.can_publish && p.can_subscribe && p.can_publish_data && p.can_publish_sources.is_empty());
    assert!(!p.can_update_own_metadata && !p.hidden && !p.room_admin && !plain.room_create && !plain.room_list);

    let p = with(json!({"canPublish": false})).permissions;
    assert!(!p.can_publish && !p.can_publish_data && p.can_subscribe);
    let p = with(json!({"canPublish": false, "canPublishData": true})).permissions;
    assert!(!p.can_publish && p.can_publish_data);
    let p = with(json!({"canPublish": null, "canSubscribe": false, "room": ""}));
    assert!(p.permissions.can_publish && !p.permissions.can_subscribe && p.room.is_none() && !p.room_join);
}

#[test]
fn publish_sources_never_widen_by_being_unknown() {
    let with = |sources: Value| {
        let video = json!({"canPublishSources": sources});
        try_claims(&json!({"iss": "app", "sub": "a", "video": video})).unwrap().permissions
    };
    let p = with(json!(["microphone", "SCREEN_SHARE", "microphone", "hologram"]));
    assert_eq!(p.can_publish_sources, [TrackSource::Microphone as i32, TrackSource::ScreenShare as i32]);
    assert!(p.can_publish);
    let p = with(json!(["hologram"]));
    assert!(!p.can_publish && p.can_publish_data);
    assert!(with(json!([])).can_publish);
}

#[test]
fn an_identity_is_required_to_join_and_only_then() {
    let refusal = try_claims(&json!({"iss": "app", "video": {"roomJoin": true, "room": "r1"}})).unwrap_err();
    assert_eq!(refusal.code, Code::Unauthenticated);
    assert!(refusal.message.contains("`sub`"));
    let admin = try_claims(&json!({"iss": "app", "video": {"roomAdmin": true}})).unwrap();
    assert!(admin.permissions.room_admin && admin.identity.as_str().is_empty());
}

#[test]
fn a_token_without_grants_of_its_own_allows_nothing() {
    let grant = try_claims(&json!({"iss": "app", "sub": "a", "roles": ["host"]})).unwrap();
    assert!(!grant.room_join && grant.permissions == Permissions::default());
}

#[test]
fn claims_past_a_limit_name_the_limit() {
    for (claims, limit) in [
        (json!({"sub": "x".repeat(257)}), "limits.name_bytes is 256"),
        (json!({"sub": "x", "name": "x".repeat(257)}), "limits.name_bytes"),
        (json!({"sub": "x", "metadata": "x".repeat(16 * 1024 + 1)}), "limits.metadata_bytes"),
        (json!({"sub": "x", "attributes": {"a": "x".repeat(16 * 1024)}}), "limits.attributes_bytes"),
        (json!({"sub": "x", "video": {"room": "x".repeat(129)}}), "limits.room_name_bytes"),
    ] {
        let mut claims = claims;
        claims["iss"] = json!("app");
        let refusal = try_claims(&claims).unwrap_err();
        assert_eq!(refusal.code, Code::LimitExceeded);
        assert!(refusal.message.contains(limit), "{refusal}");
    }
    let many: serde_json::Map<String, Value> = (0..65).map(|i| (format!("a{i}"), json!("v"))).collect();
    let refusal = try_claims(&json!({"iss": "app", "sub": "x", "attributes": many})).unwrap_err();
    assert!(refusal.message.contains("limits.attributes is 64"), "{refusal}");
}

#[test]
fn what_is_not_a_token_is_malformed_and_is_not_repeated() {
    let keys = key_set(&settings());
    let good = mint("app", SECRET, &alice()).unwrap();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let body = URL_SAFE_NO_PAD.encode("hush");
    let list = URL_SAFE_NO_PAD.encode("[1]");
    for (token, what) in [
        (String::new(), "three parts"),
        ("hush".to_owned(), "three parts"),
        ("hush.hush".to_owned(), "three parts"),
        (format!("{good}.hush"), "payload"),
        ("!!.hush.hush".to_owned(), "header is not base64url"),
        (format!("{body}.{body}.hush"), "header is not a JSON object"),
        (format!("{list}.{body}.hush"), "header"),
        (format!("{head}.!!.hush"), "payload is not base64url"),
        (format!("{head}.{body}.hush"), "not a JSON object of claims"),
        (good.replacen('.', "..", 1), "payload"),
        ("é.ü.ö".to_owned(), "header is not base64url"),
        ("x".repeat(TOKEN_BYTES_MAX + 1), "65536"),
        (
            claims_token(&json!({"iss": "app", "sub": "a", "video": {"canPublish": "hush"}})),
            "`video` has the wrong type",
        ),
        (claims_token(&json!({"iss": "app", "sub": 7, "hush": "hush"})), "`sub` has the wrong type"),
        (raw_token(&json!({"alg": "HS256", "crit": ["b64"]}), &json!({"iss": "app"})), "critical"),
        (raw_token(&json!({"typ": "JWT"}), &json!({"iss": "app"})), "`alg`"),
    ] {
        unauthenticated(&token, &keys, what);
        assert!(!refused(&token, &keys).message.contains("hush"), "{token}");
    }
}

#[test]
fn control_characters_of_a_token_do_not_reach_the_message() {
    let refusal = try_claims(&json!({"iss": "a\n\u{1b}[31mb", "sub": "a"})).unwrap_err();
    assert!(!refusal.message.contains(char::is_control), "{refusal:?}");
}

#[test]
fn unusable_static_keys_are_refused_by_name_and_never_shown() {
    let fault = |settings: Settings| KeySet::new(&settings).unwrap_err().to_string();
    assert!(fault(Settings::default().with_secret("app", "hush")).contains("\"app\": the secret has 4 bytes"));
    assert!(!fault(Settings::default().with_secret("app", "hush")).contains("hush"));
    assert!(fault(Settings::default().with_secret("", SECRET)).contains("name"));
    assert!(fault(Settings::default().with_secret("oidc", SECRET)).contains("oidc"));

    let signer = Signer::of(Algorithm::Rs256);
    let with = |pem: &str, algorithms: AlgorithmSet| {
        let key = KeySettings {
            material: KeyMaterial::PublicKeyPem(pem.to_owned()),
            algorithms,
            ..public_key(&signer, None)
        };
        fault(Settings { keys: vec![key], ..Settings::default() })
    };
    assert!(with(include_str!("../../tests/data/rsa_test_key.pem"), AlgorithmSet::EMPTY).contains("private key"));
    assert!(with(include_str!("../../tests/data/rsa_1024_test_key.pub.pem"), AlgorithmSet::EMPTY).contains("2048"));
    assert!(with("not a key", AlgorithmSet::EMPTY).contains("not a public key"));
    let unsuited = with(&signer.public_pem, AlgorithmSet::of(Algorithm::Es256));
    assert!(unsuited.contains("algorithms ES256 do not suit") && unsuited.contains("RS512"), "{unsuited}");

    let mut twice = settings().with_secret("app", OTHER);
    twice.keys.iter_mut().for_each(|key| key.kid = Some("k".to_owned()));
    assert!(fault(twice).contains("twice"));
    assert!(fault((0..9).fold(Settings::default(), |s, _| s.with_secret("app", SECRET))).contains("more than 8"));
    assert!(!format!("{:?}", settings()).contains(SECRET));
    assert!(!format!("{:?}", key_set(&settings())).contains(SECRET));
}

mod providers;
