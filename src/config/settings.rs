//! What the parts of the router are told, each in its own words.

use super::{
    check::settings_of,
    tree::{Auth, Config, Expiry, Ice, Role},
};
use crate::{
    auth::{
        self,
        settings::{IntrospectionSettings, JwksSettings, OidcSettings, RoleSettings, Secret},
    },
    io::otlp,
    protocol::{self, v1},
    router,
};

/// One router of several in a process.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// How many share the limits of the process.
    pub count: usize,
    /// Seeds this one's ids, epochs and jitter.
    pub seed: u64,
}

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

    /// The settings of one of several routers. Limits of the process are divided, rounded up.
    ///
    /// `resume_secret` is what all of them sign with: `resume.secret`, or what was drawn in its place.
    pub fn router_settings(&self, slice: Slice, resume_secret: &[u8]) -> router::Settings {
        let rooms = &self.rooms;
        let share = |limit: usize| limit.div_ceil(slice.count.max(1));
        router::Settings {
            limits: self.protocol_limits(),
            auto_create: rooms.auto_create,
            empty_timeout: rooms.empty_timeout_seconds.duration(),
            participants_max: rooms.participants_max,
            rooms_max: share(self.limits.rooms),
            sessions_max: share(self.limits.sessions),
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
            ice: ice_settings(&self.ice),
            resume_secret: resume_secret.to_vec(),
            seed: slice.seed,
            reconnect_url: self.drain.reconnect_url.clone(),
        }
    }

    /// Where traces and logs go; absent: nowhere. The process is named as in metrics.
    pub fn otlp_settings(&self, instance_id: &str) -> Option<otlp::Settings> {
        let otlp = &self.telemetry.otlp;
        let split = |pair: &String| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        otlp.endpoint.as_ref().map(|endpoint| otlp::Settings {
            endpoint: endpoint.as_str().to_owned(),
            ca_pem: otlp.ca.clone(),
            authorization: otlp.authorization.clone(),
            timeout: otlp.timeout_ms.duration(),
            shutdown_timeout: otlp.shutdown_timeout_ms.duration(),
            resource: otlp::ResourceSettings {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                instance_id: instance_id.to_owned(),
                attributes: otlp.resource_attributes.iter().filter_map(split).collect(),
            },
        })
    }

    /// Whose tokens are accepted.
    pub fn auth_settings(&self) -> auth::Settings {
        let auth = &self.auth;
        auth::Settings {
            keys: auth.keys.iter().flat_map(|(name, keys)| settings_of(name, keys)).collect(),
            leeway: auth.leeway_seconds.duration(),
            limits: self.protocol_limits(),
            jwks: jwks_settings(auth),
            oidc: oidc_settings(auth),
            introspection: introspection_settings(auth),
            roles: auth.roles.iter().map(|(name, role)| (name.clone(), role_settings(role))).collect(),
            roles_claim: auth.roles_claim.clone(),
        }
    }
}

fn ice_settings(ice: &Ice) -> router::IceSettings {
    let exposed = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_owned()).unwrap_or_default();
    let fixed = ice.servers.iter().map(|server| v1::IceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: exposed(&server.credential),
    });
    router::IceSettings {
        fixed: fixed.collect(),
        turn_urls: ice.turn_urls.clone(),
        turn_secret: exposed(&ice.turn_secret).into_bytes(),
        turn_ttl: ice.turn_ttl_seconds.duration(),
    }
}

fn jwks_settings(auth: &Auth) -> Option<JwksSettings> {
    let jwks = &auth.jwks;
    jwks.url.as_ref().map(|url| JwksSettings {
        url: url.as_str().to_owned(),
        refresh: jwks.refresh_seconds.duration(),
        issuer: jwks.issuer.clone(),
        audience: jwks.audience.clone(),
        algorithms: jwks.algorithms.iter().copied().collect(),
    })
}

fn oidc_settings(auth: &Auth) -> Option<OidcSettings> {
    let oidc = &auth.oidc;
    oidc.issuer.as_ref().map(|issuer| OidcSettings {
        issuer: issuer.as_str().to_owned(),
        audience: oidc.audience.clone(),
        refresh: oidc.refresh_seconds.duration(),
        algorithms: oidc.algorithms.iter().copied().collect(),
    })
}

fn introspection_settings(auth: &Auth) -> Option<IntrospectionSettings> {
    let asked = &auth.introspection;
    asked.url.as_ref().map(|url| IntrospectionSettings {
        url: url.as_str().to_owned(),
        client_id: asked.client_id.clone().unwrap_or_default(),
        client_secret: asked.client_secret.clone().unwrap_or_else(|| Secret::from("")),
        cache: asked.cache_seconds.duration(),
        cache_entries: asked.cache_entries,
        timeout: asked.timeout_ms.duration(),
    })
}

fn role_settings(role: &Role) -> RoleSettings {
    RoleSettings {
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
