//! The README's page, as it stands there, opened twice in headless Chromium.

use std::fs;

use serde_json::json;

use crate::harness::{Browser, Page, Router, Token, eventually};

/// The code block of the README's browser section.
fn snippet() -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, after) = readme.split_once("```html\n").expect("README.md has an html block");
    after.split_once("```").expect("the block ends").0.to_owned()
}

#[tokio::test]
async fn two_pages_of_the_readme_exchange_messages_and_open_a_data_channel() {
    let router = Router::dev();
    assert!(snippet().lines().count() <= 35, "the snippet has grown");
    let page = Page::serve(&snippet()).await;

    let query = |identity: &str| {
        let token = Token::new("r1", identity).claim("name", json!(identity)).sign();
        format!("token={token}&url=ws://{}/v1/signal", router.client)
    };
    let (alice, bob) = (query("alice"), query("bob"));

    let _first = Browser::open(&page.url(&alice), &[]);
    eventually("alice in the room", || page.text(&alice).contains("joined r1 as alice")).await;
    let _second = Browser::open(&page.url(&bob), &[]);
    for (query, lines) in [
        (&alice, ["bob: \"hello, room\"", "channel to bob is open", "bob, directly: hello, you"]),
        (&bob, ["alice: \"welcome\"", "channel to alice is open", "alice, directly: and hello to you"]),
    ] {
        for line in lines {
            eventually(line, || page.text(query).contains(line)).await;
        }
    }
}
