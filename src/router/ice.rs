//! ICE servers for one session: the fixed ones, and TURN with a credential of its own.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::IceSettings;
use crate::protocol::v1::IceServer;

/// What coturn calls `use-auth-secret`: the user name says until when, the password is its HMAC-SHA1 (the TURN
/// REST API draft, draft-uberti-behave-turn-rest-00, section 2.2).
pub(super) fn servers(settings: &IceSettings, identity: &str, unix_ms: u64) -> Vec<IceServer> {
    let mut servers = settings.fixed.clone();
    if settings.turn_urls.is_empty() {
        return servers;
    }
    let expiry = unix_ms / 1000 + settings.turn_ttl.as_secs();
    let username = format!("{expiry}:{identity}");
    let mac = Hmac::<Sha1>::new_from_slice(&settings.turn_secret).expect("HMAC takes keys of every length");
    let credential = STANDARD.encode(mac.chain_update(&username).finalize().into_bytes());
    servers.push(IceServer { urls: settings.turn_urls.clone(), username, credential });
    servers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_turn_credential_is_what_coturn_computes() {
        let settings = IceSettings {
            fixed: vec![IceServer { urls: vec!["stun:s".to_owned()], ..IceServer::default() }],
            turn_urls: vec!["turn:t".to_owned()],
            turn_secret: b"north".to_vec(),
            turn_ttl: Duration::from_secs(600),
        };
        let servers = servers(&settings, "ann", 1_700_000_000_999);
        assert_eq!(servers.len(), 2);
        assert_eq!(servers[1].username, "1700000600:ann");
        // printf %s 1700000600:ann | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(servers[1].credential, "7frJsC9X1ENSUqDpiZimUxlaSY8=");
    }

    #[test]
    fn without_turn_only_the_fixed_ones_are_told() {
        assert!(servers(&IceSettings::default(), "ann", 0).is_empty());
    }
}
