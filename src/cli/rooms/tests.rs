use std::{net::SocketAddr, sync::Arc};

use clap::Parser;
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::{
    io::admin::{
        self,
        fake::{FakeRooms, Seen, state},
    },
    protocol::{Code, v1},
    router::AdminCall,
};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, clap::Error> {
    Line::try_parse_from(["rooms"].into_iter().chain(line.split_ascii_whitespace())).map(|line| line.args)
}

/// An admin API over that fake, on a port of its own.
async fn serve(rooms: &Arc<FakeRooms>) -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = admin::routes(&state(rooms, &Seen::default()));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn run(url: &str, line: &str) -> Result<String> {
    answer(parse(&format!("{line} --url {url} --token admin+create+list")).unwrap()).await
}

async fn json(url: &str, line: &str) -> Value {
    serde_json::from_str(&run(url, &format!("{line} --json")).await.unwrap()).unwrap()
}

#[tokio::test]
async fn people_get_tables() {
    let url = serve(&FakeRooms::with_a_call()).await;
    let list = run(&url, "list").await.unwrap();
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ROOM", "PARTICIPANTS", "TRACKS", "CREATED", "METADATA"]);
    assert_eq!(lines[1], ["r1", "0/50", "0", "2023-11-14T22:13:20Z"]);
    let people = run(&url, "participants r1").await.unwrap();
    assert!(people.lines().nth(1).unwrap().contains("publish(microphone),subscribe"), "{people}");
    let alice = run(&url, "participant r1 alice").await.unwrap();
    assert!(alice.contains("identity    alice") && alice.contains("team=red") && alice.contains("t1"), "{alice}");
    assert!(run(&url, "mute r1 alice t1").await.unwrap().contains("by admin"));
    assert_eq!(run(&url, "send r1 --text hello").await.unwrap(), "sent to the room as offset 7");
    assert_eq!(run(&url, "remove r1 bob").await.unwrap(), "bob is removed from room r1");
    assert_eq!(run(&url, "delete r1").await.unwrap(), "room r1 is deleted");
    assert_eq!(run(&url, "list").await.unwrap(), "no rooms");
}

#[tokio::test]
async fn programs_get_json() {
    let url = serve(&FakeRooms::with_a_call()).await;
    let made = json(&url, "create r2 --metadata m --participants-max 3 --empty-timeout 9").await;
    assert_eq!((&made["participants_max"], &made["empty_timeout_seconds"]), (&3.into(), &9.into()));
    assert_eq!(json(&url, "update r2 --metadata n").await["metadata"], "n");
    assert_eq!(json(&url, "get r2").await["metadata"], "n");
    assert_eq!(json(&url, "list").await["rooms"][1]["name"], "r2");
    assert_eq!(json(&url, "participants r1").await["participants"][0]["tracks"][0]["kind"], "video");
    assert_eq!(json(&url, "mute r1 alice t1 --off").await["muted"], false);
    assert_eq!(json(&url, "delete r2").await, serde_json::json!({}));
}

#[tokio::test]
async fn a_list_follows_its_pages() {
    let rooms = FakeRooms::with_rooms(230);
    let url = serve(&rooms).await;
    assert_eq!(json(&url, "list").await["rooms"].as_array().unwrap().len(), 230);
    assert_eq!(rooms.asked().len(), 3);
}

#[tokio::test]
async fn permit_changes_what_is_named_and_keeps_the_rest() {
    let rooms = FakeRooms::with_a_call();
    let url = serve(&rooms).await;
    run(&url, "permit r1 alice --publish no --admin yes").await.unwrap();
    run(&url, "permit r1 alice --source camera --source data").await.unwrap();
    run(&url, "permit r1 alice --every-source").await.unwrap();
    let asked = rooms.asked();
    let updates: Vec<v1::Permissions> = asked
        .into_iter()
        .filter_map(|(_, call)| match call {
            AdminCall::UpdateParticipant(update) => update.permissions,
            _ => None,
        })
        .collect();
    let first = &updates[0];
    assert!(!first.can_publish && first.can_subscribe && first.room_admin);
    assert_eq!(first.can_publish_sources, [v1::TrackSource::Microphone as i32]);
    assert_eq!(updates[1].can_publish_sources, [v1::TrackSource::Camera as i32, v1::TrackSource::Data as i32]);
    assert!(updates[1].room_admin && updates[2].can_publish_sources.is_empty());
}

#[tokio::test]
async fn edit_and_send_say_what_was_given_and_nothing_else() {
    let (rooms, file) = (FakeRooms::with_a_call(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), [0, 255]).unwrap();
    let url = serve(&rooms).await;
    run(&url, "edit r1 alice --metadata m --attribute a=b --attribute team=").await.unwrap();
    run(&url, &format!("send r1 --bytes {} --to bob --topic t", file.path().display())).await.unwrap();
    run(&url, "send r1 --text hi").await.unwrap();
    let asked: Vec<AdminCall> = rooms.asked().into_iter().map(|(_, call)| call).collect();
    let [AdminCall::UpdateParticipant(edit), AdminCall::SendData(bytes), AdminCall::SendData(text)] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!((&edit.name, edit.metadata.as_deref(), edit.attributes.len()), (&None, Some("m"), 2));
    assert_eq!(
        (bytes.bytes.as_deref(), &bytes.to[..], bytes.topic.as_str()),
        (Some(&[0, 255][..]), &["bob".to_owned()][..], "t")
    );
    assert_eq!((text.data.as_deref(), text.to.len()), (Some("\"hi\""), 0));
}

#[tokio::test]
async fn errors_say_what_to_do_next() {
    let rooms = FakeRooms::with_a_call();
    let url = serve(&rooms).await;
    for (line, token, words) in [
        ("get r9", "admin", "no room `r9`. See `signalbox rooms list`"),
        ("participant r1 zoe", "admin", "See `signalbox rooms participants r1`"),
        ("mute r1 alice t9", "admin", "signalbox rooms participant r1 IDENTITY"),
        ("create r1", "create", "See `signalbox rooms get r1`"),
        ("get r1", "none", "the grant roomAdmin, which get_room needs. A token with every grant: `signalbox token"),
        ("get r1", "admin:r2", "signalbox token --admin --room r1"),
        ("list", "forged", "--key and --secret"),
        ("send r1 --data {", "admin", "not one JSON value"),
        ("send r1 --bytes /nowhere/at/all", "admin", "/nowhere/at/all"),
    ] {
        let error = answer(parse(&format!("{line} --url {url} --token {token}")).unwrap()).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(words), "{line}: {error}");
    }
    rooms.refuse(Code::Overloaded.refuse());
    let error = run(&url, "get r1").await.unwrap_err().to_string();
    assert!(error.ends_with("Try again in a moment"), "{error}");
}

#[tokio::test]
async fn a_router_that_is_not_there_is_named() {
    let free = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = run(&url, "list").await.unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("refused") && error.contains("--url"), "{error}");
    for (url, words) in
        [("ftp://h", "http:// or https://"), ("h", "http:// or https://"), ("https://h --ca /nowhere", "--ca")]
    {
        let error = format!("{:#}", run(url, "list").await.unwrap_err());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_token_comes_from_the_file_the_argument_or_the_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-file\n").unwrap();
    let token = |line: &str| channel::token(&parse(line).unwrap().access).unwrap().to_str().unwrap().to_owned();
    assert_eq!(token(&format!("list --token given --token-file {}", file.path().display())), "Bearer from-file");
    assert_eq!(token("list --token given"), "Bearer given");
    assert_eq!(token("list --key k --secret s").split('.').count(), 3);
    assert!(channel::token(&parse("list --token a\u{7f}b").unwrap().access).is_err());
}

#[test]
fn lines_that_say_too_little_or_too_much_are_refused() {
    for line in [
        "",
        "get",
        "create",
        "create r --participants-max 0",
        "update r1",
        "permit r1 alice",
        "permit r1 alice --publish maybe",
        "permit r1 alice --source tv",
        "permit r1 alice --source camera --every-source",
        "edit r1 alice",
        "edit r1 alice --attribute x",
        "send r1",
        "send r1 --data 1 --text a",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(!format!("{:?}", parse("list --token hush --secret hush --key k").unwrap()).contains("hush"));
}
