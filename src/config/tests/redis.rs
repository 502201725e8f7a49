//! `redis`: what its keys need of each other and of their files.

use super::{super::*, file, mistake, sources, with_file};
use crate::io::fabric::{Credentials, FabricMode};

/// What signs resumes, which whoever keeps rooms needs.
const SIGNED: &str = "[resume]\nsecret = \"resume-secret-of-the-fleet-resume-secret\"\n";

fn problem(keys: &str, of: &str) -> String {
    let error = with_file(&format!("{SIGNED}[redis]\n{keys}\n")).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    mistake(&error, &format!("redis.{of}")).problem.clone()
}

fn authority() -> (tempfile::TempDir, std::path::PathBuf) {
    file(&rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem())
}

#[test]
fn without_addresses_rooms_are_kept_nowhere_else() {
    assert!(load(&sources(&[])).unwrap().config.fabric_settings("r-7").is_none());
    assert!(with_file("[redis]\nkeep_seconds = 60\n").unwrap().config.fabric_settings("r-7").is_none());
}

#[test]
fn a_fabric_has_its_servers_who_the_router_is_and_for_how_long() {
    let ((_dir, ca), (_secret, password)) = (authority(), file("hide-this\n"));
    let keys = format!(
        "{SIGNED}[redis]\naddrs = [\"rediss://a:6380\", \"rediss://[::1]/\"]\nusername = \"sb\"\npassword_file = {password:?}\n\
         ca_file = {ca:?}\nprefix = \"sb/eu:\"\nkeep_seconds = 60\nwrite_ms = 7\nhandover_ms = 9\n"
    );
    let loaded = with_file(&keys).unwrap();
    let settings = loaded.config.fabric_settings("r-7").unwrap();
    assert_eq!(settings.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:6380", "[::1]:6379"]);
    let user = Credentials { name: Some("sb".to_owned()), password: Secret::from("hide-this") };
    assert_eq!((settings.mode, settings.user), (FabricMode::Single, Some(user)));
    assert_eq!((settings.router.as_str(), settings.scope.as_str(), settings.prefix.as_str()), ("r-7", "r-7", "sb/eu:"));
    assert_eq!((settings.timeout.as_millis(), settings.calls_max, settings.connections), (300, 1024, 2));
    assert_eq!((settings.keep.as_secs(), settings.tls.unwrap().ca), (60, ca));
    let slice = super::super::Slice { count: 1, seed: 7 };
    let keeping = loaded.config.router_settings(slice, &[]).keeping.unwrap();
    assert_eq!((keeping.gather.as_millis(), keeping.refresh.as_secs()), (7, 20));
    assert_eq!(keeping.acknowledge, crate::router::Acknowledge::Here);
    let remote = with_file(&format!("{keys}ack = \"remote\"\n")).unwrap().config.router_settings(slice, &[]);
    assert_eq!(remote.keeping.unwrap().acknowledge, crate::router::Acknowledge::Kept);
    let fabric = loaded.config.fabric_settings("r-7").unwrap();
    assert!(loaded.config.journal_settings(&fabric).is_none(), "without a folder");
    assert_eq!(loaded.config.handover_wait().as_millis(), 9);
    assert!(!format!("{:?}{:?}", loaded, loaded.rows()).contains("hide-this"));
}

#[test]
fn who_resumes_a_room_that_was_kept_needs_a_signature_that_lasts() {
    let error = with_file("[redis]\naddrs = \"redis://redis\"\n").unwrap_err();
    assert!(mistake(&error, "resume.secret").problem.contains("needed beside redis.addrs"), "{error}");
}

#[test]
fn rooms_of_a_fleet_where_a_room_is_on_one_router_are_the_fleet_s() {
    let secret = "s".repeat(32);
    let fleet = format!(
        "[redis]\naddrs = \"redis://redis\"\n[etcd]\nendpoints = \"http://etcd:2379\"\nrooms = \"WAY\"\n\
         [server]\nurl = \"wss://r7.example.com\"\n[resume]\nsecret = {secret:?}\n"
    );
    let scope = |rooms| with_file(&fleet.replace("WAY", rooms)).unwrap().config.fabric_settings("r-7").unwrap().scope;
    assert_eq!((scope("one_router"), scope("apart")), ("fleet".to_owned(), "r-7".to_owned()));
}

#[test]
fn sentinels_have_a_master_and_may_ask_who_comes() {
    let mode = "addrs = \"redis://s1:26379\"\nmode = \"sentinel\"";
    let keys = format!("{SIGNED}[redis]\n{mode}\nsentinel_master = \"rooms\"\nsentinel_password = \"x\"\n");
    let settings = with_file(&keys).unwrap().config.fabric_settings("r-7").unwrap();
    let user = Some(Credentials { name: None, password: Secret::from("x") });
    assert_eq!(settings.mode, FabricMode::Sentinel { master: "rooms".to_owned(), user });
    assert!(problem(mode, "sentinel_master").contains("needed beside redis.mode"));
    assert!(problem("sentinel_master = \"rooms\"", "sentinel_master").contains("only"));
    assert!(problem("sentinel_password = \"x\"", "sentinel_password").contains("only"));
    let cluster = with_file(&format!("{SIGNED}[redis]\naddrs = \"redis://c1\"\nmode = \"cluster\"\n")).unwrap();
    assert_eq!(cluster.config.fabric_settings("r-7").unwrap().mode, FabricMode::Cluster);
}

#[test]
fn what_does_not_go_together_is_named() {
    let plain = "addrs = \"redis://redis:6379\"";
    assert!(problem("addrs = \"rediss://redis:6379\"", "addrs").contains("rediss needs redis.ca_file"));
    let (_dir, ca) = authority();
    assert!(problem(&format!("{plain}\nca_file = {ca:?}"), "addrs").contains("all servers, or none"));
    assert!(problem(&format!("{plain}\nusername = \"sb\""), "password").contains("needed beside redis.username"));
    for (url, told) in [
        ("redis://:hide@redis:6379", "redis.username"),
        ("redis://redis:6379/3", "host and port only"),
        ("http://redis:6379", "redis:// or rediss://"),
        ("redis", "redis:// or rediss://"),
    ] {
        let error = with_file(&format!("[redis]\naddrs = \"{url}\"\n")).unwrap_err();
        assert!(error.to_string().contains(told) && !error.to_string().contains("hide"), "{error}");
    }
    assert!(problem("addrs = [\"redis://a\", \"redis://a:6379\"]", "addrs").contains("named twice"));
    let pair = format!("ca_file = {ca:?}\ncert_file = {ca:?}");
    assert!(problem(&pair, "key_file").contains("set both redis.cert_file and redis.key_file"));
    assert!(problem("prefix = \"a{b\"", "prefix").contains("1 to 128"));
    assert!(problem("mode = \"shards\"", "mode").contains("single, sentinel, cluster"));
}

#[test]
fn a_journal_is_in_the_folder_of_the_data_and_takes_nothing_where_redis_alone_counts() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |ack: &str| {
        let file = format!(
            "{SIGNED}[server]\ndata_dir = {:?}\n[redis]\naddrs = \"redis://redis\"\nack = \"{ack}\"\njournal_bytes = 2097152\n",
            folder.path()
        );
        let config = with_file(&file).unwrap().config;
        config.journal_settings(&config.fabric_settings("r-7").unwrap()).unwrap()
    };
    let local = settings("local");
    assert_eq!(
        (local.folder.as_path(), local.of.as_str(), local.router.as_str()),
        (folder.path(), "signalbox:r-7", "r-7")
    );
    assert_eq!((local.bytes_max, local.takes), (2 << 20, true));
    assert!(settings("disk").takes && !settings("remote").takes);
}

#[test]
fn what_waits_for_the_disk_needs_one() {
    let error = with_file(&format!("{SIGNED}[redis]\naddrs = \"redis://redis\"\nack = \"disk\"\n")).unwrap_err();
    assert!(mistake(&error, "server.data_dir").problem.contains("needed beside redis.ack"), "{error}");
}
