//! Who wins.

use super::{super::*, SECRET, file, sources, with_file};

fn flag(key: &str, value: &str, flag: &str) -> (String, String, String) {
    (key.to_owned(), value.to_owned(), flag.to_owned())
}

#[test]
fn without_layers_every_key_has_its_default() {
    let loaded = load(&sources(&[])).unwrap();
    let mut expected = Config::default();
    expected.auth.keys = loaded.config.auth.keys.clone();
    assert_eq!(loaded.config, expected);
    assert_eq!(loaded.provenance["client.listen"], Source::Default);
}

#[test]
fn the_file_wins_over_the_default_the_environment_over_the_file_and_a_flag_over_all() {
    let (_dir, path) = file("[drain]\nseconds = 31\n");
    let seconds = |sources: &Sources| {
        let loaded = load(sources).unwrap();
        (loaded.config.drain.seconds.0, loaded.provenance["drain.seconds"].clone())
    };
    let mut layers = sources(&[]);
    assert_eq!(seconds(&layers), (30, Source::Default));
    layers.file = Some(path.clone());
    assert_eq!(seconds(&layers), (31, Source::File(path)));
    layers.env.push(("SIGNALBOX_DRAIN__SECONDS".to_owned(), "32".to_owned()));
    assert_eq!(seconds(&layers), (32, Source::Env("SIGNALBOX_DRAIN__SECONDS".to_owned())));
    layers.flags.push(flag("drain.seconds", "33", "--drain-seconds"));
    assert_eq!(seconds(&layers), (33, Source::Flag("--drain-seconds".to_owned())));
}

#[test]
fn dev_sets_a_key_any_origin_and_high_limits_below_every_other_layer() {
    let dev = Sources { dev: true, ..Sources::default() };
    let config = load(&dev).unwrap().config;
    assert_eq!(config.auth.keys["devkey"][0].secret, Some(Secret::from(crate::auth::DEV_SECRET)));
    assert_eq!(config.client.origins, ["*"]);
    let limits = &config.limits;
    let high = [limits.connections, limits.connections_per_address, limits.sessions, limits.sessions_per_key];
    assert!(high.iter().all(|limit| *limit >= 1_000_000), "{high:?}");
    let (_dir, path) = file("[limits]\nsessions = 5\n");
    let loaded = load(&Sources { file: Some(path), ..dev }).unwrap();
    assert_eq!(loaded.config.limits.sessions, 5);
    assert_eq!(loaded.provenance["limits.rooms"].to_string(), "flag:--dev");
}

#[test]
fn text_becomes_numbers_switches_and_lists() {
    let env = [
        ("SIGNALBOX_LIMITS__FRAME_BYTES", "128_000"),
        ("SIGNALBOX_ROOMS__AUTO_CREATE", "false"),
        ("SIGNALBOX_CLIENT__LISTEN", "127.0.0.1:0, [::1]:7800"),
        ("SIGNALBOX_CLIENT__TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.7"),
        ("SIGNALBOX_CLIENT__ORIGINS", ""),
        ("SIGNALBOX_ICE__SERVERS", "stun:a.example:3478,stun:b.example"),
        ("SIGNALBOX_CLIENT__TLS__CERT_FILE", ""),
    ];
    let config = load(&sources(&env)).unwrap().config;
    assert_eq!(config.limits.frame_bytes, 128_000);
    assert!(!config.rooms.auto_create);
    assert_eq!(config.client.listen.len(), 2);
    assert_eq!(config.client.trusted_proxies[1].to_string(), "192.0.2.7/32");
    assert_eq!(config.client.origins, [""; 0]);
    assert_eq!(config.ice.servers[1].urls, ["stun:b.example"]);
    assert_eq!(config.client.tls.files(), None);
}

#[test]
fn a_file_may_name_one_item_or_a_list() {
    let config = with_file("[client]\nlisten = \"127.0.0.1:1\"\norigins = [\"https://a.example\"]\n").unwrap().config;
    assert_eq!(config.client.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.client.origins, ["https://a.example"]);
}

#[test]
fn layers_add_names_to_a_map_and_keys_to_a_name() {
    let text =
        format!("[auth.keys.\"https://issuer.example\"]\nsecret = \"{SECRET}\"\n[auth.keys.app]\nkid = \"k1\"\n");
    let loaded = with_file(&text).unwrap();
    let keys = &loaded.config.auth.keys;
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["app", "https://issuer.example"]);
    assert_eq!(keys["app"][0].kid.as_deref(), Some("k1"));
    assert!(loaded.provenance["auth.keys.app.secret"].to_string().starts_with("env:"));
    assert!(loaded.provenance["auth.keys.app.kid"].to_string().starts_with("file:"));
}

#[test]
fn several_keys_share_a_name_for_rotation() {
    let text = format!(
        "[[auth.keys.web]]\nsecret = \"{SECRET}\"\nkid = \"old\"\n[[auth.keys.web]]\nsecret = \"{SECRET}\"\nkid = \"new\"\nalgorithms = [\"HS512\"]\n"
    );
    let config = with_file(&text).unwrap().config;
    let keys = config.auth_settings().keys;
    let kids: Vec<_> = keys.iter().filter(|k| k.name == "web").map(|k| k.kid.as_deref()).collect();
    assert_eq!(kids, [Some("old"), Some("new")]);
    assert_eq!(config.auth.keys["web"][1].algorithms, [crate::auth::Algorithm::Hs512]);
}

#[test]
fn names_of_keys_keep_their_letters_unless_all_are_capitals() {
    let config = load(&sources(&[("SIGNALBOX_AUTH__KEYS__APIx9__SECRET", SECRET)])).unwrap().config;
    assert_eq!(config.auth.keys.keys().collect::<Vec<_>>(), ["APIx9", "app"]);
}

#[test]
fn what_is_not_ours_in_the_environment_is_left_alone() {
    let env = [
        ("PATH", "/bin"),
        ("SIGNALBOX_KEY", "for the command line"),
        ("SIGNALBOX_SERVICE_HOST", "10.0.0.1"),
        ("SIGNALBOX_SERVICE_PORT_HTTP", "7800"),
        ("SIGNALBOX_PORT", "tcp://10.0.0.1:7800"),
        ("SIGNALBOX_PORT_7800_TCP_ADDR", "10.0.0.1"),
        ("SIGNALBOX_REDIS_PORT_6379_TCP", "tcp://10.0.0.2:6379"),
    ];
    load(&sources(&env)).unwrap();
}
