//! `relay`: what its keys need of each other, of a fleet, and of their files.

use super::{super::*, file, mistake, sources, with_file};

/// A fleet that a room is on one router of.
const FLEET: &str = "[etcd]\nendpoints = \"http://etcd:2379\"\n[server]\nurl = \"wss://r7.example.com\"\n\
     [resume]\nsecret = \"resume-secret-of-the-fleet-resume-secret\"\n";

fn problem(keys: &str, of: &str) -> String {
    let error = with_file(&format!("{FLEET}[relay]\n{keys}\n")).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    mistake(&error, &format!("relay.{of}")).problem.clone()
}

fn pair() -> [(tempfile::TempDir, std::path::PathBuf); 2] {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    [file(&signed.cert.pem()), file(&signed.signing_key.serialize_pem())]
}

#[test]
fn without_a_port_for_it_clients_are_sent_to_the_router_that_has_their_room() {
    assert!(load(&sources(&[])).unwrap().config.relay_settings("r-7", b"s").is_none());
    assert!(with_file("[relay]\nlink_bytes = 2097152\n").unwrap().config.relay_settings("r-7", b"s").is_none());
}

#[test]
fn a_relay_has_its_bounds_its_secret_and_its_certificates() {
    let [(_cert_dir, cert), (_key_dir, key)] = pair();
    let keys = format!(
        "{FLEET}[relay]\nlisten = \"10.0.0.7:7803\"\nurl = \"https://r7.internal:7803\"\ncert_file = {cert:?}\n\
         key_file = {key:?}\nca_file = {cert:?}\nconnect_timeout_ms = 70\nconnections_max = 9\nlink_bytes = 1048576\n"
    );
    let settings = with_file(&keys).unwrap().config.relay_settings("r-7", b"hide-this").unwrap();
    assert_eq!((settings.router.as_str(), settings.secret.as_slice()), ("r-7", &b"hide-this"[..]));
    assert_eq!((settings.connect_timeout.as_millis(), settings.connections_max), (70, 9));
    assert_eq!((settings.link_bytes, settings.tls.clone().unwrap().own), (1 << 20, Some((cert, key))));
    assert!(!format!("{settings:?}").contains("hide-this"));
}

#[test]
fn a_port_for_links_is_open_to_others_only_with_certificates_or_on_purpose() {
    let open = "listen = \"10.0.0.7:7803\"";
    assert!(problem(open, "cert_file").contains("not loopback"));
    assert!(with_file(&format!("{FLEET}[relay]\n{open}\nplain = true\n")).is_ok());
    assert!(with_file(&format!("{FLEET}[relay]\nlisten = \"127.0.0.1:7803\"\n")).is_ok());
    assert!(problem("listen = \"0.0.0.0:7803\"\nplain = true", "url").contains("told where to reach this one"));
    let [(_cert_dir, cert), (_key_dir, key)] = pair();
    assert!(problem(&format!("ca_file = {cert:?}"), "cert_file").contains("needed beside relay.ca_file"));
    assert!(problem(&format!("cert_file = {cert:?}\nkey_file = {key:?}"), "ca_file").contains("both sides"));
}

#[test]
fn where_others_reach_it_is_an_address_that_fits_its_certificates() {
    let url = |url: &str| problem(&format!("listen = \"127.0.0.1:7803\"\nurl = \"{url}\""), "url");
    assert!(url("https://r7:7803").contains("https needs relay.cert_file"));
    for wrong in ["http://r7", "http://r7:7803/path", "http://name:word@r7:7803"] {
        assert!(url(wrong).contains("scheme, host and port"), "{wrong}");
    }
    let error = with_file(&format!("{FLEET}[relay]\nlisten = \"127.0.0.1:0\"\nurl = \"http://n:hide-this@r7:1\"\n"));
    assert!(!error.unwrap_err().to_string().contains("hide-this"));
}

#[test]
fn a_router_that_is_alone_or_has_its_rooms_to_itself_carries_nobody() {
    let alone = with_file("[relay]\nlisten = \"127.0.0.1:7803\"\n").unwrap_err();
    assert!(mistake(&alone, "relay.listen").problem.contains("needs etcd.endpoints"), "{alone}");
    let apart = FLEET.replace("[server]", "rooms = \"apart\"\n[server]");
    let error = with_file(&format!("{apart}[relay]\nlisten = \"127.0.0.1:7803\"\n")).unwrap_err();
    assert!(mistake(&error, "relay.listen").problem.contains("one_router"), "{error}");
}
