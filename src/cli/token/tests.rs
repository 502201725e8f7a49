use clap::Parser;

use super::*;
use crate::auth::{Grant, KeySet, Settings, verify};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Result<Args, clap::Error> {
    Line::try_parse_from(["token"].into_iter().chain(line.split_ascii_whitespace())).map(|line| line.args)
}

fn granted(line: &str) -> Grant {
    let claims = claims(&args(line).unwrap(), 1_000).unwrap();
    let token = mint(DEV_KEY, DEV_SECRET, &claims).unwrap();
    let keys = KeySet::new(&Settings::default().with_secret(DEV_KEY, DEV_SECRET)).unwrap();
    verify(&token, &keys, 1_000_000).unwrap()
}

#[test]
fn a_plain_token_joins_its_room_and_may_do_what_participants_do() {
    let grant = granted("--room r1 --identity alice --name Alice --attribute team=red --attribute x=a=b --ttl 15m");
    assert_eq!(grant.room.as_ref().map(|r| r.as_str()), Some("r1"));
    assert_eq!((grant.identity.as_str(), grant.name.as_str()), ("alice", "Alice"));
    assert_eq!(grant.attributes["team"], "red");
    assert_eq!(grant.attributes["x"], "a=b");
    assert!(grant.room_join && grant.permissions.can_publish && grant.permissions.can_publish_data);
    assert!(!grant.room_create && !grant.room_list && !grant.permissions.room_admin && !grant.permissions.hidden);
    assert_eq!(grant.expires_at_ms, Some((1_000 + 900 + 5) * 1_000));
}

#[test]
fn flags_take_away_and_add_grants() {
    let grant = granted("--room r1 --identity a --no-publish --no-subscribe --no-data --hidden --update-own-metadata");
    let permissions = grant.permissions;
    assert!(!permissions.can_publish && !permissions.can_subscribe && !permissions.can_publish_data);
    assert!(permissions.hidden && permissions.can_update_own_metadata);
    let grant = granted("--admin --create --list");
    assert!(grant.permissions.room_admin && grant.room_create && grant.room_list && !grant.room_join);
    let grant = granted("--room r1 --identity a --source camera --source data");
    assert_eq!(grant.permissions.can_publish_sources, [1, 5]);
}

#[test]
fn a_token_that_would_allow_nothing_is_not_minted() {
    for line in ["", "--identity a", "--room r1"] {
        assert!(claims(&args(line).unwrap(), 0).is_err(), "{line}");
    }
    for line in ["--ttl 0s --admin", "--ttl 1y --admin", "--ttl h --admin", "--source tv", "--attribute x"] {
        assert!(args(line).is_err(), "{line}");
    }
}

#[test]
fn a_key_file_is_a_line_or_json() {
    let pair = |key: &str, secret: &str| (key.to_owned(), secret.to_owned());
    assert_eq!(parse_key_file("# ours\n\napp: s:1\n").unwrap(), pair("app", "s:1"));
    assert_eq!(parse_key_file(r#" {"key":"app","secret":"s"}"#).unwrap(), pair("app", "s"));
    for bad in ["", "app", "app:", ": s", r#"{"key":"app"}"#, r#"{"key":"a","secret":"hush""#] {
        let error = format!("{:#}", parse_key_file(bad).unwrap_err());
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn a_key_without_its_secret_is_asked_for_it_and_a_file_wins() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "app: filed").unwrap();
    let signing = |key: Option<&str>, secret: Option<&str>, key_file| Signing {
        key: key.map(ToOwned::to_owned),
        secret: secret.map(ToOwned::to_owned),
        key_file,
    };
    let pair = |key: &str, secret: &str| (key.to_owned(), secret.to_owned());
    assert!(signing_key(&signing(Some("k"), None, None)).unwrap_err().to_string().contains("SIGNALBOX_SECRET"));
    assert!(signing_key(&signing(None, Some("s"), None)).unwrap_err().to_string().contains("SIGNALBOX_KEY"));
    assert_eq!(signing_key(&signing(Some("k"), Some("s"), None)).unwrap(), pair("k", "s"));
    assert_eq!(signing_key(&signing(None, None, None)).unwrap(), pair(DEV_KEY, DEV_SECRET));
    let by_file = signing(Some("k"), Some("s"), Some(file.path().to_owned()));
    assert_eq!(signing_key(&by_file).unwrap(), pair("app", "filed"));
    let gone = signing(None, None, Some("/no/such/file".into()));
    assert!(format!("{:#}", signing_key(&gone).unwrap_err()).contains("/no/such/file"));
}

#[test]
fn the_secret_is_not_in_the_arguments_debug_text() {
    let args = args("--admin --key app --secret hushhush").unwrap();
    assert!(!format!("{args:?}").contains("hushhush"));
}
