//! What the binary says when it cannot start, and what it prints.

use std::process::{Command, Output};

use crate::harness::Server;

fn signalbox(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signalbox")).args(args).output().unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_key_it_refuses_to_start_and_says_what_to_set() {
    let output = signalbox(&["serve"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains("auth.keys"), "{}", complaint(&output));
}

#[test]
fn dev_mode_stays_on_loopback() {
    let output = signalbox(&["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains("client.listen"), "{}", complaint(&output));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::dev();
    let output = signalbox(&["serve", "--dev", "--listen", &server.client.to_string(), "--ops-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains(&server.client.port().to_string()), "{}", complaint(&output));
}

#[test]
fn an_unreadable_key_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signalbox.toml");
    std::fs::write(&file, "[auth.keys.app]\nsecret_file = \"/nonexistent/secret\"\n").unwrap();
    let output = signalbox(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    assert!(complaint(&output).contains("/nonexistent/secret"), "{}", complaint(&output));
}

#[test]
fn a_token_is_printed_alone_on_standard_output() {
    let output = signalbox(&["token", "--room", "r1", "--identity", "alice"]);
    assert!(output.status.success());
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(token.trim().split('.').count(), 3);
}
