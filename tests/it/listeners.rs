//! Starting, and refusing to: what is wrong is named, and the exit code tells whose fault it is.

use std::{fs, net::TcpListener};

use tempfile::TempDir;

use crate::harness::{Router, Socket, get, get_with, run_to_end};

const USAGE: i32 = 64;

#[test]
fn without_a_key_and_without_dev_it_refuses_to_start_and_says_what_to_set() {
    let (code, _, stderr) = run_to_end(&["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    assert_eq!(code, USAGE, "{stderr}");
    for part in ["auth.keys", "--dev"] {
        assert!(stderr.contains(part), "`{stderr}` lacks `{part}`");
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [
        ["serve", "--dev", "--listen", &address, "--ops-listen", "127.0.0.1:0"],
        ["serve", "--dev", "--listen", "127.0.0.1:0", "--ops-listen", &address],
    ] {
        let (code, _, stderr) = run_to_end(&arguments);
        assert_ne!(code, 0);
        assert!(stderr.contains(&address), "`{stderr}` lacks `{address}`");
        assert!(stderr.contains("taken"), "{stderr}");
    }
}

fn serve_with(config: &str) -> (i32, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("signalbox.toml");
    fs::write(&file, config).unwrap();
    let path = file.to_str().unwrap();
    let (code, _, stderr) =
        run_to_end(&["serve", "--config", path, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    (code, stderr)
}

#[test]
fn an_unreadable_key_file_is_named() {
    let (code, stderr) = serve_with("[auth.keys.app]\nsecret_file = \"/nonexistent/key\"\n");
    assert_eq!(code, USAGE, "{stderr}");
    assert!(stderr.contains("auth.keys.app.secret_file") && stderr.contains("/nonexistent/key"), "{stderr}");
}

#[test]
fn unreadable_certificates_are_named() {
    let key = "[auth.keys.app]\nsecret = \"secretsecretsecretsecretsecretsecret\"\n";
    let tls = "[client.tls]\ncert_file = \"/nonexistent/cert\"\nkey_file = \"/nonexistent/key\"\n";
    let (code, stderr) = serve_with(&format!("{key}{tls}"));
    assert_ne!(code, 0, "{stderr}");
    assert!(stderr.contains("/nonexistent/"), "{stderr}");
}

#[test]
fn all_mistakes_of_a_configuration_are_told_together() {
    let config = "[limits]\nframe_byts = 1\ntracks = \"many\"\n[rooms]\nlinger_seconds = 999999\n";
    let (code, stderr) = serve_with(config);
    assert_eq!(code, USAGE, "{stderr}");
    for part in ["limits.frame_byts", "limits.tracks", "rooms.linger_seconds", "999999", "signalbox.toml"] {
        assert!(stderr.contains(part), "`{stderr}` lacks `{part}`");
    }
}

#[test]
fn an_unknown_flag_or_command_is_a_usage_error() {
    assert_eq!(run_to_end(&["serve", "--no-such-flag"]).0, USAGE);
    assert_eq!(run_to_end(&["no-such-command"]).0, USAGE);
}

#[tokio::test]
async fn dev_mode_is_loud_and_the_ops_port_answers() {
    let router = Router::dev();
    assert!(router.stderr().contains("DEV MODE"), "{}", router.stderr());
    assert!(router.client.ip().is_loopback() && router.ops.ip().is_loopback());
    assert_eq!(get(router.ops, "/health/live").await.status, 200);
    assert_eq!(get(router.ops, "/health/ready").await.status, 200);
    let metrics = get(router.ops, "/metrics").await;
    assert!(metrics.body.contains("signalbox_"), "{metrics:?}");
    let unknown = get(router.client, "/no/such/path").await;
    assert!((400..500).contains(&unknown.status), "{unknown:?}");
}

#[test]
fn dev_mode_stays_on_loopback() {
    let (code, _, stderr) = run_to_end(&["serve", "--dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(code, USAGE, "{stderr}");
    assert!(stderr.contains("client.listen"), "{stderr}");
}

#[test]
fn a_token_is_printed_alone_on_standard_output() {
    let (code, stdout, stderr) = run_to_end(&["token", "--room", "r1", "--identity", "alice"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(stdout.trim().split('.').count(), 3);
    assert_eq!(stdout.lines().count(), 1);
}

#[tokio::test]
async fn the_ops_port_tells_of_sessions() {
    let router = Router::dev();
    let (mut alice, _) = Socket::join(&router, "r", "alice").await;
    alice.assert_alive().await;
    let metrics = get(router.ops, "/metrics").await;
    assert!(metrics.body.contains("signalbox_sessions_opened_total 1"), "{metrics:?}");
    assert_eq!(get(router.ops, "/nothing").await.status, 404);
}

#[tokio::test]
async fn every_answer_of_the_client_port_says_under_which_trace_it_was() {
    let router = Router::dev();
    let given = "4bf92f3577b34da6a3ce929d0e0e4736";
    for path in ["/v1/signal", "/v1/signal/validate", "/v1/rooms", "/nowhere"] {
        let answer = get_with(router.client, path, &[("X-Trace-ID", given)]).await;
        assert!(answer.head.contains(&format!("x-trace-id: {given}")), "{path}: {}", answer.head);
        let made = get_with(router.client, path, &[("X-Trace-ID", "what a client should not say")]).await;
        let line = made.head.lines().find_map(|line| line.strip_prefix("x-trace-id: ")).expect("a new one");
        assert!(line.len() == 32 && line.bytes().all(|b| b.is_ascii_hexdigit()) && line != given, "{path}: {line}");
    }
}
