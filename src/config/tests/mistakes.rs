//! What is wrong is named, all of it, with key, value, source and what is allowed.

use super::{super::*, SECRET, file, mistake, sources, with_file};

fn of_env(name: &str, value: &str) -> Mistake {
    let error = load(&sources(&[(name, value)])).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    error.mistakes[0].clone()
}

fn of_file(text: &str) -> Mistake {
    let error = with_file(text).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    error.mistakes[0].clone()
}

#[test]
fn several_mistakes_of_several_layers_are_reported_together() {
    let (_dir, path) = file("[client]\nping_seconds = 0\norigin = \"*\"\n[limits]\nrooms = \"many\"\n");
    let mut layers = sources(&[("SIGNALBOX_SIGNAL__TIMEOUT_MS", "5"), ("SIGNALBOX_DRAIN__SECOND", "3")]);
    layers.file = Some(path);
    layers.flags.push(("ops.listen".to_owned(), "nowhere".to_owned(), "--ops-listen".to_owned()));
    let error = load(&layers).unwrap_err();
    let keys: Vec<_> = error.mistakes.iter().map(|m| m.key.as_str()).collect();
    let expected =
        ["client.origin", "client.ping_seconds", "drain.second", "limits.rooms", "ops.listen", "signal.timeout_ms"];
    assert_eq!(keys, expected);
    let timeout = mistake(&error, "signal.timeout_ms");
    assert_eq!(timeout.value, "\"5\"");
    assert_eq!(timeout.source.to_string(), "env:SIGNALBOX_SIGNAL__TIMEOUT_MS");
    assert_eq!(timeout.problem, "allowed: 10 to 10000 milliseconds");
    assert_eq!(mistake(&error, "ops.listen").source.to_string(), "flag:--ops-listen");
    assert!(mistake(&error, "client.ping_seconds").source.to_string().starts_with("file:"));
    let shown = error.to_string();
    assert!(shown.starts_with("6 mistakes in the configuration\n"), "{shown}");
    for mistake in &error.mistakes {
        let line = shown.lines().find(|line| line.contains(&mistake.key)).unwrap();
        assert!(line.contains(&mistake.value) && line.contains(&mistake.problem), "{line}");
        assert!(line.contains(&mistake.source.to_string()), "{line}");
    }
}

#[test]
fn a_slip_in_a_key_is_answered_with_the_key_that_was_meant() {
    let meant = |m: Mistake| m.problem;
    assert_eq!(meant(of_file("[clinet]\nlisten = \"x\"\n")), "unknown key; did you mean client.listen?");
    assert_eq!(meant(of_file("[rooms]\nframe_bytes = 1\n")), "unknown key; did you mean limits.frame_bytes?");
    assert_eq!(meant(of_file("[zzz]\nqqqqqqqqqqqqqqqqqq = 1\n")), "unknown key");
    assert_eq!(meant(of_file("[client]\nidle = 1\n")), "unknown key; did you mean client.idle_timeout_seconds?");
    let variable = of_env("SIGNALBOX_LIMITS_FRAME_BYTES", "1");
    assert_eq!(variable.problem, "unknown key; did you mean SIGNALBOX_LIMITS__FRAME_BYTES?");
    assert_eq!(variable.source.to_string(), "env:SIGNALBOX_LIMITS_FRAME_BYTES");
}

#[test]
fn a_value_in_place_of_a_section_is_named() {
    assert_eq!(of_env("SIGNALBOX_CLIENT", "1").problem, "is a section with keys, not a value");
    assert_eq!(of_file("client = 3\n").key, "client");
    assert_eq!(of_file("[ice]\nservers = [\"stun:a.example\"]\n").key, "ice.servers.0");
}

#[test]
fn numbers_in_quotes_are_wrong_in_a_file_though_right_in_the_environment() {
    assert_eq!(of_file("[drain]\nseconds = \"3\"\n").problem, "allowed: 0 to 3600 seconds");
    assert_eq!(of_file("[drain]\nseconds = -1\n").value, "-1");
    assert_eq!(of_file("[drain]\nseconds = 1.5\n").value, "1.5");
    assert_eq!(of_env("SIGNALBOX_ROOMS__AUTO_CREATE", "yes").problem, "allowed: true or false");
}

#[test]
fn each_kind_of_value_says_what_is_allowed() {
    let cases = [
        ("SIGNALBOX_SERVER__REGION", "a b", "1 to 64 of a-z"),
        ("SIGNALBOX_SERVER__REGION", "other", "but not `other`"),
        ("SIGNALBOX_SERVER__REGIONS", "sh,other", "but not `other`"),
        ("SIGNALBOX_CLIENT__LISTEN", "localhost", "127.0.0.1:7800"),
        ("SIGNALBOX_CLIENT__LISTEN", "", "1 to 16"),
        ("SIGNALBOX_CLIENT__ORIGINS", "app.example.com", "https://host"),
        ("SIGNALBOX_CLIENT__TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/8"),
        ("SIGNALBOX_AUTH__EXPIRY", "never", "close, connect"),
        ("SIGNALBOX_AUTH__JWKS__URL", "file:///etc", "https://"),
        ("SIGNALBOX_AUTH__JWKS__ALGORITHMS", "HS256", "RS256, RS384"),
        ("SIGNALBOX_AUTH__ROLES__HOST__CAN_PUBLISH_SOURCES", "screen", "screen_share"),
        ("SIGNALBOX_ICE__TURN_URLS", "http://turn.example", "turn:"),
        ("SIGNALBOX_DRAIN__RECONNECT_URL", "elsewhere", "wss://"),
        ("SIGNALBOX_LOG__LEVEL", "loud", "warn,signalbox=debug"),
        ("SIGNALBOX_LOG__FORMAT", "xml", "auto, json, pretty"),
    ];
    for (name, value, allowed) in cases {
        let mistake = of_env(name, value);
        assert!(mistake.problem.contains(allowed), "{name}: {}", mistake.problem);
    }
}

#[test]
fn a_file_that_is_missing_or_is_not_toml_is_named_beside_the_other_mistakes() {
    let mut layers = sources(&[("SIGNALBOX_DRAIN__SECONDS", "x")]);
    layers.file = Some("/nonexistent/signalbox.toml".into());
    let error = load(&layers).unwrap_err();
    assert_eq!(error.mistakes.len(), 2, "{error}");
    let missing = mistake(&error, "(file)");
    assert_eq!(missing.source.to_string(), "file:/nonexistent/signalbox.toml");
    assert!(missing.problem.contains("No such file"), "{}", missing.problem);
    let broken = of_file("[drain]\nseconds = 3\nseconds = = 4\n");
    assert!(broken.problem.starts_with("line 3 is not TOML: "), "{}", broken.problem);
}

#[test]
fn without_a_key_it_says_what_to_set() {
    let error = load(&Sources::default()).unwrap_err();
    let problem = &mistake(&error, "auth.keys").problem;
    assert!(problem.contains("secret_file") && problem.contains("serve --dev"), "{problem}");
    for other in ["AUTH__JWKS__URL", "AUTH__OIDC__ISSUER", "AUTH__INTROSPECTION__URL"] {
        let env = vec![(format!("SIGNALBOX_{other}"), "https://id.example".to_owned())];
        load(&Sources { env, ..Sources::default() }).unwrap();
    }
}

#[test]
fn a_key_has_exactly_one_material_that_suits_its_algorithms() {
    let material = "set exactly one of secret, secret_file, public_key_file";
    assert_eq!(of_file("[auth.keys.web]\nkid = \"a\"\n").problem, material);
    let both = of_file(&format!("[auth.keys.web]\nsecret = \"{SECRET}\"\nsecret_file = \"/x\"\n"));
    assert_eq!((both.problem.as_str(), both.key.as_str()), (material, "auth.keys.web"));
    assert!(both.source.to_string().starts_with("file:"));
    let short = of_env("SIGNALBOX_AUTH__KEYS__WEB__SECRET", "short");
    assert_eq!((short.key.as_str(), short.value.as_str()), ("auth.keys.web.secret", "<hidden>"));
    assert!(short.problem.contains("32 to 4096 bytes"));
    let unsuited = of_file(&format!("[auth.keys.web]\nsecret = \"{SECRET}\"\nalgorithms = [\"RS256\"]\n"));
    assert!(unsuited.problem.contains("RS256 do not suit"), "{}", unsuited.problem);
    let twice = format!("[[auth.keys.web]]\nsecret = \"{SECRET}\"\nkid = \"a\"\n").repeat(2);
    assert!(of_file(&twice).problem.contains("twice"));
}

#[test]
fn pairs_and_needs_are_checked() {
    let cases = [
        ("[client.tls]\ncert_file = \"/dev/null\"\n", "client.tls.key_file", "both"),
        (
            "[client]\nping_seconds = 20\nidle_timeout_seconds = 20\n",
            "client.idle_timeout_seconds",
            "client.ping_seconds",
        ),
        ("[client]\nproxy_protocol = true\n", "client.trusted_proxies", "proxy_protocol"),
        ("[ops]\nlisten = \"0.0.0.0:9600\"\n", "ops.token_file", "0.0.0.0:9600"),
        ("[ice]\nturn_urls = \"turn:t.example\"\n", "ice.turn_secret", "ice.turn_urls"),
        ("[ice]\nturn_secret = \"s\"\n", "ice.turn_urls", "ice.turn_secret"),
        ("[[ice.servers]]\nusername = \"u\"\ncredential = \"c\"\n", "ice.servers.0.urls", "at least one"),
        ("[[ice.servers]]\nurls = \"turn:t.example\"\nusername = \"u\"\n", "ice.servers.0.username", "both"),
        ("[auth.introspection]\nclient_secret = \"s\"\n", "auth.introspection.client_id", "client_secret"),
        ("[telemetry]\nstall_ms = 99\n", "telemetry.stall_ms", "0 (nobody looks) or 100 to 60000"),
    ];
    for (text, key, about) in cases {
        let error = with_file(text).unwrap_err();
        let problem = &mistake(&error, key).problem;
        assert!(problem.contains(about), "{key}: {problem}");
    }
}

#[test]
fn dev_refuses_to_be_seen_beyond_loopback() {
    let env = ["CLIENT__LISTEN", "OPS__LISTEN"].map(|key| (format!("SIGNALBOX_{key}"), "0.0.0.0:1".to_owned()));
    let error = load(&Sources { dev: true, env: env.to_vec(), ..Sources::default() }).unwrap_err();
    assert!(mistake(&error, "client.listen").problem.contains("loopback only"));
    assert!(mistake(&error, "ops.listen").problem.contains("loopback only"));
}

#[test]
fn what_is_wrong_about_a_media_node_is_named() {
    let node = |change: &str| {
        let base = "[server]\nregion = \"sh\"\nregions = [\"sz\"]\n";
        of_file(&format!("{base}[[media.nodes]]\nid = \"n1\"\ncontrol_url = \"http://n1:1\"\n{change}"))
    };
    let cases = [
        ("base_weight = 0", "media.nodes.0.base_weight", "allowed: 1 to 1000"),
        ("base_weight = 1001", "media.nodes.0.base_weight", "allowed: 1 to 1000"),
        ("region = \"mars\"", "media.nodes.0.region", "allowed: server.region or one of server.regions (sh, sz)"),
        ("variant = \"a b\"", "media.nodes.0.variant", "1 to 64"),
        ("public_url = \"ftp://n1\"", "media.nodes.0.public_url", "a URL, http://"),
        ("[[media.nodes]]\ncontrol_url = \"http://n2:1\"", "media.nodes.1.id", "a node needs an id"),
        ("[[media.nodes]]\nid = \"n2\"", "media.nodes.1.control_url", "a node needs an address"),
        ("[[media.nodes]]\nid = \"n1\"\ncontrol_url = \"http://n2:1\"", "media.nodes.1.id", "the same id"),
        ("[[media.nodes]]\nid = \"n2\"\ncontrol_url = \"http://n2\"", "media.nodes.1.control_url", "http://host:port"),
        (
            "[[media.nodes]]\nid = \"n2\"\ncontrol_url = \"https://n2:1\"",
            "media.nodes.1.control_url",
            "media.node_tls.ca_file",
        ),
        (
            "[[media.nodes]]\nid = \"n2\"\ncontrol_url = \"http://me:pw@n2:1\"",
            "media.nodes.1.control_url",
            "http://host:port",
        ),
    ];
    for (change, key, problem) in cases {
        let mistake = node(change);
        assert_eq!(mistake.key, key, "{change}");
        assert!(mistake.problem.contains(problem), "{}", mistake.problem);
        assert!(!mistake.value.contains("pw"), "{}", mistake.value);
    }
    let one_too_many = node("[[media.nodes]]\nid = \"n2\"\ncontrol_url = \"http://n2:1\"\n[media]\nnodes_max = 1\n");
    assert_eq!((one_too_many.key.as_str(), one_too_many.value.as_str()), ("media.nodes", "2"));
}

#[test]
fn a_port_for_media_nodes_is_open_to_others_only_with_certificates_or_on_purpose() {
    let open = "[media]\nlisten = \"0.0.0.0:7802\"\n";
    let mistake = of_file(open);
    assert_eq!(mistake.key, "media.tls.client_ca_file");
    assert!(mistake.problem.contains("not loopback") && mistake.problem.contains("media.plain"), "{}", mistake.problem);
    assert!(with_file(&format!("{open}plain = true\n")).is_ok());
    assert!(with_file("[media]\nlisten = \"127.0.0.1:7802\"\n").is_ok());
    let readable = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let half = of_file(&format!("[media.tls]\ncert_file = {readable:?}\n"));
    assert_eq!(half.key, "media.tls.key_file");
    assert_eq!(of_file("[media]\nttl_ms = 1000\nreport_ms = 2000\n").key, "media.ttl_ms");
    assert_eq!(of_file("[media.breaker]\nopen_ms = 5000\nopen_max_ms = 1000\n").key, "media.breaker.open_max_ms");
}
