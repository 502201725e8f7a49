//! From the tree to what each part asks for.

use super::tree::{ApiKey, Config, Expiry, Role};
use crate::{
    auth::{self, AlgorithmSet, settings as wanted},
    protocol::{self, v1},
    router,
};

impl Config {
    /// The limits of the protocol.
    pub fn protocol_limits(&self) -> protocol::Limits {
        let limits = &self.limits;
        protocol::Limits {
            frame_bytes: limits.frame_bytes,
            room_name_bytes: limits.room_name_bytes,
            name_bytes: limits.name_bytes,
            metadata_bytes: limits.metadata_bytes,
            attributes: limits.attributes,
            attributes_bytes: limits.attributes_bytes,
            tracks: limits.tracks,
            layers: limits.layers,
            recipients: limits.recipients,
            topic_bytes: limits.topic_bytes,
            json_depth: limits.json_depth,
        }
    }

    /// Whose tokens are accepted.
    pub fn auth_settings(&self) -> auth::Settings {
        let auth = &self.auth;
        let named = auth.keys.iter().flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)));
        let introspection = &auth.introspection;
        auth::Settings {
            keys: named.filter_map(|(name, key)| static_key(name, key)).collect(),
            leeway: auth.leeway_seconds.duration(),
            limits: self.protocol_limits(),
            jwks: auth.jwks.url.as_ref().map(|url| wanted::JwksSettings {
                url: url.as_str().to_owned(),
                refresh: auth.jwks.refresh_seconds.duration(),
                issuer: auth.jwks.issuer.clone(),
                audience: auth.jwks.audience.clone(),
                algorithms: set_of(&auth.jwks.algorithms),
            }),
            oidc: auth.oidc.issuer.as_ref().map(|issuer| wanted::OidcSettings {
                issuer: issuer.as_str().to_owned(),
                audience: auth.oidc.audience.clone(),
                refresh: auth.oidc.refresh_seconds.duration(),
                algorithms: set_of(&auth.oidc.algorithms),
            }),
            introspection: introspection.url.as_ref().map(|url| wanted::IntrospectionSettings {
                url: url.as_str().to_owned(),
                client_id: introspection.client_id.clone().unwrap_or_default(),
                client_secret: introspection.client_secret.clone().unwrap_or_else(|| wanted::Secret::from("")),
                cache: introspection.cache_seconds.duration(),
                cache_entries: introspection.cache_entries,
                timeout: introspection.timeout_ms.duration(),
            }),
            roles: auth.roles.iter().map(|(name, role)| (name.clone(), allowed(role))).collect(),
            roles_claim: auth.roles_claim.clone(),
        }
    }

    /// The settings of one of `slices` routers; limits of the process are divided, rounded up.
    pub fn router_settings(&self, seed: u64, slices: usize, resume_secret: &[u8]) -> router::Settings {
        let rooms = &self.rooms;
        router::Settings {
            limits: self.protocol_limits(),
            auto_create: rooms.auto_create,
            empty_timeout: rooms.empty_timeout_seconds.duration(),
            participants_max: rooms.participants_max,
            rooms_max: self.limits.rooms.div_ceil(slices),
            sessions_max: self.limits.sessions.div_ceil(slices),
            history_events: rooms.history_events,
            history_age: rooms.history_seconds.duration(),
            history_bytes: rooms.history_bytes,
            linger: rooms.linger_seconds.duration(),
            held_pushes: rooms.held_pushes,
            held_bytes: rooms.held_bytes,
            replies: rooms.replies,
            snapshot_part: rooms.snapshot_part,
            ping: self.client.ping_seconds.duration(),
            enforce_expiry: self.auth.expiry == Expiry::Close,
            expiry_notice: self.auth.expiry_notice_seconds.duration(),
            region: self.server.region.clone(),
            ice: self.ice_settings(),
            resume_secret: resume_secret.to_vec(),
            seed,
            reconnect_url: self.drain.reconnect_url.clone(),
        }
    }

    fn ice_settings(&self) -> router::IceSettings {
        let ice = &self.ice;
        let fixed = ice.servers.iter().map(|server| v1::IceServer {
            urls: server.urls.clone(),
            username: server.username.clone(),
            credential: server.credential.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default(),
        });
        router::IceSettings {
            fixed: fixed.collect(),
            turn_urls: ice.turn_urls.clone(),
            turn_secret: ice.turn_secret.as_ref().map(|s| s.expose().as_bytes().to_vec()).unwrap_or_default(),
            turn_ttl: ice.turn_ttl_seconds.duration(),
        }
    }
}

fn static_key(name: &str, key: &ApiKey) -> Option<wanted::KeySettings> {
    let material = match (&key.secret, &key.public_key) {
        (Some(secret), _) => wanted::KeyMaterial::Secret(secret.clone()),
        (None, Some(pem)) => wanted::KeyMaterial::PublicKeyPem(pem.clone()),
        (None, None) => return None,
    };
    Some(wanted::KeySettings {
        name: name.to_owned(),
        kid: key.kid.clone(),
        material,
        algorithms: set_of(&key.algorithms),
    })
}

fn set_of(algorithms: &[auth::Algorithm]) -> AlgorithmSet {
    algorithms.iter().copied().collect()
}

fn allowed(role: &Role) -> wanted::RoleSettings {
    wanted::RoleSettings {
        room_join: role.room_join,
        room_create: role.room_create,
        room_list: role.room_list,
        room_admin: role.room_admin,
        can_publish: role.can_publish,
        can_subscribe: role.can_subscribe,
        can_publish_data: role.can_publish_data,
        can_update_own_metadata: role.can_update_own_metadata,
        hidden: role.hidden,
        can_publish_sources: role.can_publish_sources.clone(),
    }
}
