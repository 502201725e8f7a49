//! `etcd`: what its keys need of each other and of their files.

use super::{super::*, file, mistake, sources, with_file};

fn problem(keys: &str, of: &str) -> String {
    let error = with_file(&format!("[etcd]\nrooms = \"apart\"\n{keys}\n")).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    mistake(&error, &format!("etcd.{of}")).problem.clone()
}

fn authority() -> (tempfile::TempDir, std::path::PathBuf) {
    file(&rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem())
}

#[test]
fn without_endpoints_a_router_runs_alone() {
    assert!(load(&sources(&[])).unwrap().config.directory_settings("r-7").is_none());
    let loaded = with_file("[etcd]\nlease_seconds = 9\n").unwrap();
    assert!(loaded.config.directory_settings("r-7").is_none());
}

#[test]
fn a_fleet_has_its_members_who_the_router_is_and_what_it_says_of_itself() {
    let ((_dir, ca), (_secret, password)) = (authority(), file("hide-this\n"));
    let (_resume, shared) = file(&"s".repeat(32));
    let keys = format!(
        "[etcd]\nendpoints = [\"https://a:2379\", \"https://b:2379\"]\nusername = \"sb\"\npassword_file = {password:?}\n\
         ca_file = {ca:?}\nprefix = \"/sb/eu\"\n[resume]\nsecret_file = {shared:?}\n[server]\nregion = \"sh\"\nurl = \"wss://r7.example.com\"\n\
         ops_url = \"http://10.0.0.7:9600\"\n"
    );
    let loaded = with_file(&keys).unwrap();
    let settings = loaded.config.directory_settings("r-7").unwrap();
    assert_eq!(settings.endpoints, ["https://a:2379", "https://b:2379"]);
    assert_eq!(settings.user, Some(("sb".to_owned(), Secret::from("hide-this"))));
    assert_eq!((settings.router.as_str(), settings.region.as_str(), settings.prefix.as_str()), ("r-7", "sh", "/sb/eu"));
    assert_eq!((settings.url.as_str(), settings.ops_url.as_str()), ("wss://r7.example.com", "http://10.0.0.7:9600"));
    assert_eq!((settings.lease.as_secs(), settings.tls.unwrap().ca), (30, ca));
    assert!(!format!("{:?}{:?}", loaded, loaded.rows()).contains("hide-this"));
}

#[test]
fn a_fleet_where_a_room_is_on_one_router_needs_to_know_where_clients_are_sent() {
    let endpoints = "endpoints = [\"http://etcd:2379\"]";
    let error = with_file(&format!("[etcd]\n{endpoints}\n")).unwrap_err();
    assert!(mistake(&error, "server.url").problem.contains("etcd.rooms = \"apart\""), "{error}");
    assert!(mistake(&error, "resume.secret").problem.contains("the same on all routers"), "{error}");
    let apart = with_file(&format!("[etcd]\n{endpoints}\nrooms = \"apart\"\n")).unwrap();
    assert_eq!(apart.config.room_wait(), None);
    let url = format!("[server]\nurl = \"wss://r7.example.com\"\n[resume]\nsecret = {:?}\n", "s".repeat(32));
    let one = with_file(&format!("[etcd]\n{endpoints}\nroom_wait_ms = 90\n{url}\n")).unwrap();
    assert_eq!(one.config.room_wait(), Some(std::time::Duration::from_millis(90)));
    assert_eq!(load(&sources(&[])).unwrap().config.room_wait(), None);
}

#[test]
fn what_does_not_go_together_is_named() {
    let http = "endpoints = \"http://etcd:2379\"";
    assert!(problem("endpoints = \"https://etcd:2379\"", "endpoints").contains("https needs etcd.ca_file"));
    let (_dir, ca) = authority();
    assert!(problem(&format!("{http}\nca_file = {ca:?}"), "endpoints").contains("all members, or none"));
    assert!(problem(&format!("{http}\nusername = \"sb\""), "password").contains("needed beside etcd.username"));
    assert!(problem(&format!("{http}\npassword = \"x\""), "username").contains("needed beside etcd.password"));
    for (url, told) in [("http://me:hide@etcd:2379", "etcd.username"), ("http://etcd:2379/v3", "host and port only")] {
        let error = with_file(&format!("[etcd]\nendpoints = \"{url}\"\n")).unwrap_err();
        assert!(error.to_string().contains(told) && !error.to_string().contains("hide"), "{error}");
    }
    assert!(problem("endpoints = \"etcd:2379\"", "endpoints").contains("http:// or https://"));
    let pair = format!("ca_file = {ca:?}\ncert_file = {ca:?}");
    assert!(problem(&pair, "key_file").contains("set both etcd.cert_file and etcd.key_file"));
    let both = format!("cert_file = {ca:?}\nkey_file = {ca:?}");
    assert!(problem(&both, "ca_file").contains("needed beside etcd.cert_file"));
    for prefix in ["", "signalbox", "/", "/a/", "/a b"] {
        assert!(problem(&format!("prefix = {prefix:?}"), "prefix").contains("not ending in /"), "{prefix}");
    }
}
