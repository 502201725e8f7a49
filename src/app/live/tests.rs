//! Live is what is really read from then on: every key that says so changes what some part is handed.

use super::*;
use crate::config::Loaded;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// With an entry in each map and list, so that every key exists, and one flag more.
fn with(flag: Option<(&str, &str)>) -> Loaded {
    let env = [
        ("SIGNALBOX_AUTH__KEYS__APP__SECRET", SECRET),
        ("SIGNALBOX_AUTH__KEYS__APP__KID", "k"),
        ("SIGNALBOX_AUTH__ROLES__HOST__HIDDEN", "true"),
        ("SIGNALBOX_ICE__TURN_URLS", "turn:t.example"),
        ("SIGNALBOX_ICE__TURN_SECRET", SECRET),
        ("SIGNALBOX_ICE__SERVERS", "stun:s.example"),
        ("SIGNALBOX_VARIANTS__NAMES", "canary"),
        ("SIGNALBOX_VARIANTS__RULES__NAME", "canary-share"),
        ("SIGNALBOX_VARIANTS__RULES__VARIANT", "canary"),
        ("SIGNALBOX_VARIANTS__RULES__PERCENT", "5"),
        ("SIGNALBOX_VARIANTS__RULES__PREVIOUS_PERCENT", "1"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
    let flags = flag.map(|(key, value)| (key.to_owned(), value.to_owned(), "test".to_owned()));
    let sources = Sources { env: env.collect(), flags: flags.into_iter().collect(), ..Sources::default() };
    config::load(&sources).unwrap_or_else(|error| panic!("{flag:?}: {error}"))
}

/// All that [`Live::take_up`] and the drain hand on.
fn handed(config: &Config) -> Vec<String> {
    let own = config.router_settings(Slice { seed: 0, count: 1 }, &[]);
    let router = format!(
        "{:?}",
        (
            (own.limits, own.auto_create, own.empty_timeout, own.participants_max, own.rooms_max, own.sessions_max),
            (own.history_events, own.history_age, own.history_bytes, own.linger, own.held_pushes, own.held_bytes),
            (own.replies, own.snapshot_part, own.ping, own.enforce_expiry, own.expiry_notice, own.reconnect_url),
            (own.placement, own.signal_timeout),
            (own.ice.fixed, own.ice.turn_urls, own.ice.turn_secret, own.ice.turn_ttl),
        )
    );
    let auth = config.auth_settings();
    let secrets = config.auth.keys.values().flatten().map(|key| key.secret.as_ref().map(|s| s.expose().to_owned()));
    vec![
        router,
        format!("{:?} {:?}", gateway_settings(config), limit_settings(config)),
        format!("{:?} {:?} {:?}", auth.keys, secrets.collect::<Vec<_>>(), (auth.leeway, auth.roles, auth.roles_claim)),
        format!("{} {} {}", head_rate(config), config.profiler.enabled, config.log.level),
        format!("{:?} {:?}", config.signal.timeout_ms, config.drain.seconds),
        format!("{:?}", config.media_settings("r1")),
        format!("{:?} {:?}", config.guard_settings(), config.queue_settings()),
    ]
}

/// Another value for a key, as text.
fn other(key: &str, value: &serde_json::Value) -> Option<String> {
    let named = match key {
        "auth.expiry" => "connect",
        "auth.roles_claim" | "auth.keys.app.kid" => "another",
        "auth.keys.app.secret" | "ice.turn_secret" => "another-secret-another-secret-another",
        "auth.keys.app.algorithms" => "HS512",
        "auth.roles.host.can_publish_sources" => "camera",
        "client.origins" => "https://a.example",
        "drain.reconnect_url" => "wss://a.example",
        "ice.turn_urls" => "turn:u.example",
        "log.level" => "warn",
        "variants.names" => "canary,beta",
        "variants.rules.name" => "another",
        "variants.rules.variant" => "default",
        "guard.of_the_fleet" => "key,user",
        "placement.policy" => "two_choices",
        "placement.region_weights" => "sh=0.5",
        key if key.starts_with("guard.ops.") => "rate=7/m burst=9 at_once=3",
        _ => match value {
            serde_json::Value::Bool(on) => return Some((!on).to_string()),
            // all defaults have something above and below them
            serde_json::Value::Number(_) if key.starts_with("limits.") => {
                return value.as_u64().map(|number| (number - 1).to_string());
            }
            serde_json::Value::Number(_) => return value.as_u64().map(|number| (number + 1).to_string()),
            _ => return None,
        },
    };
    Some(named.to_owned())
}

#[test]
fn every_live_key_changes_what_some_part_is_handed() {
    let base = with(None);
    let before = handed(&base.config);
    let mut untried = Vec::new();
    for row in base.rows().into_iter().filter(|row| row.live) {
        match other(&row.key, &row.value) {
            Some(value) => {
                let after = handed(&with(Some((&row.key, &value))).config);
                assert_ne!(after, before, "{} is live in name only", row.key);
            }
            None => untried.push(row.key),
        }
    }
    // what is in a file becomes the secret or the key beside it; servers have no keys in the environment
    let apart = [
        "auth.keys.app.secret_file",
        "auth.keys.app.public_key_file",
        "ice.turn_secret_file",
        "ice.servers.0.urls",
        "ice.servers.0.username",
        "ice.servers.0.credential",
        // a rule asks one thing; see below
        "variants.rules.ab_tag",
        "variants.rules.users",
        "variants.rules.device_type",
    ];
    untried.sort();
    let mut apart = apart.to_vec();
    apart.sort_unstable();
    assert_eq!(untried, apart);
}

/// Nodes have no keys in the environment.
#[test]
fn every_key_of_a_media_node_changes_what_is_handed_on() {
    let with = |key: &str, value: &str| {
        let mut node = std::collections::BTreeMap::from([("id", "\"n1\""), ("control_url", "\"http://n1:1\"")]);
        node.insert(key, value);
        let node: String = node.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let text =
            format!("[auth.keys.app]\nsecret = \"{SECRET}\"\n[server]\nregions = [\"sz\"]\n[[media.nodes]]\n{node}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
        handed(&config::load(&sources).unwrap_or_else(|error| panic!("{error}")).config)
    };
    let before = with("base_weight", "10");
    for (key, value) in [
        ("id", "\"n2\""),
        ("control_url", "\"http://n1:2\""),
        ("region", "\"sz\""),
        ("variant", "\"v2\""),
        ("public_url", "\"wss://n1.example\""),
        ("base_weight", "11"),
    ] {
        assert_ne!(with(key, value), before, "{key}");
    }
}

#[test]
fn whatever_a_rule_asks_and_in_whichever_order_the_gateway_is_handed_it() {
    let handed = |rules: &[&str]| {
        let rule = |(i, asks): (usize, &&str)| {
            format!("[[variants.rules]]\nname = \"rule-{i}\"\nvariant = \"canary\"\n{asks}\n")
        };
        let rules: String = rules.iter().enumerate().map(rule).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signalbox.toml");
        std::fs::write(&file, format!("[variants]\nnames = [\"canary\"]\n{rules}")).unwrap();
        let loaded = config::load(&Sources { file: Some(file), dev: true, ..Sources::default() });
        format!("{:?}", gateway_settings(&loaded.unwrap_or_else(|error| panic!("{rules}: {error}")).config))
    };
    let asks = [
        "ab_tag = \"a\"",
        "ab_tag = \"b\"",
        "users = [\"a\"]",
        "users = [\"a\", \"b\"]",
        "device_type = \"a\"",
        "device_type = \"b\"",
        "percent = 1",
        "percent = 1.01",
    ];
    let each: std::collections::BTreeSet<_> = asks.iter().map(|asks| handed(&[*asks])).collect();
    assert_eq!(each.len(), asks.len());
    assert_ne!(handed(&asks[..2]), handed(&[asks[1], asks[0]]));
}

#[test]
fn a_refusal_names_the_key_with_both_values_and_skips_what_is_live() {
    let changed = |live| Changed { key: "server.workers".to_owned(), from: "1".to_owned(), to: "2".to_owned(), live };
    assert_eq!(refusal(&changed(false)).as_deref(), Some("server.workers: 1 -> 2 needs a restart"));
    assert_eq!(refusal(&changed(true)), None);
}
