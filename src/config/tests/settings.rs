//! What the parts are told.

use super::{super::*, sources, with_file};

#[test]
fn limits_of_the_process_are_divided_among_its_routers_and_rounded_up() {
    let config =
        load(&sources(&[("SIGNALBOX_LIMITS__ROOMS", "10"), ("SIGNALBOX_LIMITS__SESSIONS", "9")])).unwrap().config;
    let settings = config.router_settings(Slice { count: 4, seed: 7 }, b"resume");
    assert_eq!((settings.rooms_max, settings.sessions_max), (3, 3));
    assert_eq!((settings.seed, settings.resume_secret.as_slice()), (7, b"resume".as_slice()));
    assert_eq!(settings.limits, crate::protocol::Limits::default());
    assert_eq!(settings.linger.as_secs(), 20);
    assert!(settings.enforce_expiry);
}

#[test]
fn each_limit_of_the_protocol_is_a_key_of_its_name() {
    let limits = format!("{:?}", crate::protocol::Limits::default());
    let inside = limits.split_once('{').unwrap().1.trim_end_matches('}');
    for (i, field) in inside.split(',').enumerate() {
        let name = field.split(':').next().unwrap().trim();
        let value = 65 + i;
        let variable = format!("SIGNALBOX_LIMITS__{}", name.to_uppercase());
        let value = match name {
            "frame_bytes" => 4096,
            "layers" => 9,
            _ => value,
        };
        let config = load(&sources(&[(&variable, &value.to_string())])).unwrap().config;
        assert!(format!("{:?}", config.protocol_limits()).contains(&format!(" {name}: {value}")), "{name}");
    }
}

#[test]
fn roles_and_providers_reach_auth() {
    let text = "[auth]\nroles_claim = \"realm_access.roles\"\n[auth.roles.host]\nroom_join = true\ncan_publish = true\n\
        can_publish_sources = [\"camera\", \"screen_share\"]\n[auth.jwks]\nurl = \"https://id.example/keys\"\nalgorithms = \"ES256\"\n\
        [auth.oidc]\nissuer = \"https://id.example\"\naudience = \"calls\"\n";
    let auth = with_file(text).unwrap().config.auth_settings();
    assert!(auth.roles["host"].room_join && !auth.roles["host"].room_admin);
    assert_eq!(auth.roles["host"].can_publish_sources.len(), 2);
    assert_eq!(auth.roles_claim, "realm_access.roles");
    assert_eq!(auth.jwks.unwrap().algorithms.to_string(), "ES256");
    assert_eq!(auth.oidc.unwrap().audience.as_deref(), Some("calls"));
    assert!(auth.introspection.is_none());
}

#[test]
fn ice_servers_are_told_as_they_are_and_turn_shares_its_secret() {
    let text = "[ice]\nturn_urls = [\"turn:t.example:3478?transport=udp\"]\nturn_secret = \"s\"\nturn_ttl_seconds = 60\n\
        [[ice.servers]]\nurls = [\"stun:s.example\"]\n";
    let config = with_file(text).unwrap().config;
    let ice = config.router_settings(Slice { count: 1, seed: 0 }, b"").ice;
    assert_eq!(ice.fixed[0].urls, ["stun:s.example"]);
    assert_eq!((ice.turn_secret.as_slice(), ice.turn_ttl.as_secs()), (b"s".as_slice(), 60));
}
