//! What the parts of the router are told, each in its own words.

use std::{path::PathBuf, time::Duration};

use super::{
    check::settings_of,
    tree::{
        Auth, Config, Expiry, Ice, MediaBreaker, MediaNode, RedisAck, RedisMode, RegionWeight, Role, RoomsChoice,
        VariantRule,
    },
};
use crate::{
    auth::{
        self,
        settings::{IntrospectionSettings, JwksSettings, OidcSettings, RoleSettings, Secret},
    },
    gray,
    guard::{
        breaker::BreakerSettings,
        limits::{Bound, Rules},
        overload::OverloadSettings,
    },
    ids::{Region, Variant},
    io::{
        dialing::TlsFiles,
        directory,
        fabric::{Credentials, FabricMode, FabricSettings},
        guard::{GuardSettings, QueueSettings},
        journal::JournalSettings,
        media, otlp,
        relay::RelaySettings,
    },
    placement::{self, NodeInfo},
    profiler::{self, captures},
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
            keeping: self.keeping_settings(),
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
            placement: self.placement_settings(),
            tells_of_nodes: false,
            signal_timeout: self.signal.timeout_ms.duration(),
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

    /// How a room's media node is chosen.
    fn placement_settings(&self) -> placement::Settings {
        let own = &self.placement;
        let weight = |share: &RegionWeight| (Region::from(share.region.as_str()), share.weight);
        placement::Settings {
            policy: own.policy.policy(),
            region_weights: own.region_weights.iter().map(weight).collect(),
            missed_reports: own.missed_reports,
            failed_calls: own.failed_calls,
            ramp_up: own.ramp_up_seconds.duration(),
            base_weight: own.base_weight,
            report_every: self.media.report_ms.duration(),
        }
    }

    /// Who may do how much.
    pub fn guard_settings(&self) -> GuardSettings {
        let guard = &self.guard;
        let bound = |slot, scope| if guard.enabled { guard.ops.of(slot, scope).bound() } else { Bound::default() };
        let of_the_fleet = guard.of_the_fleet.iter().map(|shared| shared.scope()).collect();
        GuardSettings { rules: Rules::new(bound), cells: guard.cells, of_the_fleet }
    }

    /// When queues are too long, and whether deadlines hold.
    pub fn queue_settings(&self) -> QueueSettings {
        let guard = &self.guard;
        if !guard.enabled {
            return QueueSettings::default();
        }
        let (joins, signals) = (guard.queue_joins_ms.duration(), guard.queue_signals_ms.duration());
        QueueSettings { overload: OverloadSettings { joins, signals }, deadlines: true }
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

    /// Where the fleet agrees; absent: this router runs alone. The process is named as in metrics.
    pub fn directory_settings(&self, instance_id: &str) -> Option<directory::DirectorySettings> {
        let (own, server) = (&self.etcd, &self.server);
        (!own.endpoints.is_empty()).then(|| directory::DirectorySettings {
            endpoints: own.endpoints.iter().map(|url| url.as_str().to_owned()).collect(),
            user: own.username.clone().zip(own.password.clone()),
            tls: tls_files(&own.ca_file, &own.cert_file, &own.key_file),
            prefix: own.prefix.clone(),
            timeout: own.timeout_ms.duration(),
            lease: own.lease_seconds.duration(),
            router: instance_id.to_owned(),
            region: server.region.clone(),
            url: server.url.clone(),
            ops_url: server.ops_url.clone(),
            // known once its port is taken
            relay_url: String::new(),
            data_dir: server.data_dir.clone(),
        })
    }

    /// How long who wants into a room of the fleet waits to hear where it is; absent: rooms are this router's own business.
    pub fn room_wait(&self) -> Option<Duration> {
        let asks = !self.etcd.endpoints.is_empty() && self.etcd.rooms == RoomsChoice::OneRouter;
        asks.then(|| self.etcd.room_wait_ms.duration())
    }

    /// How other routers' rooms are reached for clients of this one; absent: clients are sent there. The process is named as in
    /// metrics.
    pub fn relay_settings(&self, instance_id: &str, secret: &[u8]) -> Option<RelaySettings> {
        let own = &self.relay;
        own.listen.map(|_| RelaySettings {
            router: instance_id.to_owned(),
            secret: secret.to_owned(),
            tls: tls_files(&own.ca_file, &own.cert_file, &own.key_file),
            connect_timeout: own.connect_timeout_ms.duration(),
            link_bytes: own.link_bytes,
            connections_max: own.connections_max,
        })
    }

    /// Where rooms are kept outside of this router; absent: nowhere. The process is named as in metrics.
    pub fn fabric_settings(&self, instance_id: &str) -> Option<FabricSettings> {
        let own = &self.redis;
        let who = |name: &Option<String>, password: &Option<Secret>| {
            password.clone().map(|password| Credentials { name: name.clone(), password })
        };
        let mode = match (own.mode, &own.sentinel_master) {
            (RedisMode::Sentinel, master) => FabricMode::Sentinel {
                master: master.clone().unwrap_or_default(),
                user: who(&own.sentinel_username, &own.sentinel_password),
            },
            (RedisMode::Single, _) => FabricMode::Single,
            (RedisMode::Cluster, _) => FabricMode::Cluster,
        };
        // rooms that are this router's own business are nobody else's
        let scope = if self.room_wait().is_some() { "fleet" } else { instance_id };
        (!own.addrs.is_empty()).then(|| FabricSettings {
            addresses: own.addrs.iter().filter_map(|url| url.address()).collect(),
            mode,
            user: who(&own.username, &own.password),
            tls: tls_files(&own.ca_file, &own.cert_file, &own.key_file),
            prefix: own.prefix.clone(),
            scope: scope.to_owned(),
            router: instance_id.to_owned(),
            timeout: own.timeout_ms.duration(),
            calls_max: own.calls_max,
            connections: own.connections,
            keep: own.keep_seconds.duration(),
        })
    }

    /// How rooms are kept outside of this router; absent: they are not.
    fn keeping_settings(&self) -> Option<router::KeepingSettings> {
        let (gather, keep) = (self.redis.write_ms.duration(), self.redis.keep_seconds.duration());
        // two writes may fail before it is forgotten
        let acknowledge = match self.redis.ack {
            RedisAck::Local => router::Acknowledge::Here,
            RedisAck::Disk | RedisAck::Remote => router::Acknowledge::Kept,
        };
        (!self.redis.addrs.is_empty()).then(|| router::KeepingSettings { gather, refresh: keep / 3, acknowledge })
    }

    /// Where writes wait that Redis does not take; absent: nowhere. With `redis.ack = "remote"` nothing is added to it: what is not in
    /// Redis is not acknowledged.
    pub fn journal_settings(&self, fabric: &FabricSettings) -> Option<JournalSettings> {
        Some(JournalSettings {
            folder: self.server.data_dir.clone()?,
            of: format!("{}{}", fabric.prefix, fabric.scope),
            router: fabric.router.clone(),
            bytes_max: self.redis.journal_bytes as u64,
            takes: self.redis.ack != RedisAck::Remote,
        })
    }

    /// How long a router that is sent a room waits for the one before to hand it over.
    pub fn handover_wait(&self) -> Duration {
        self.redis.handover_ms.duration()
    }

    /// How media nodes are known and called. The process is named as in metrics.
    pub fn media_settings(&self, instance_id: &str) -> media::MediaSettings {
        let own = &self.media;
        let server = &self.server;
        let others = server.regions.iter().filter(|region| **region != server.region);
        media::MediaSettings {
            router: instance_id.to_owned(),
            region: server.region.clone(),
            regions: std::iter::once(&server.region).chain(others).cloned().collect(),
            ttl: own.ttl_ms.duration(),
            report: own.report_ms.duration(),
            probe: own.probe_ms.duration(),
            nodes_max: own.nodes_max,
            connect_timeout: own.connect_timeout_ms.duration(),
            calls_in_flight: own.calls_in_flight,
            calls_waiting: own.calls_waiting,
            message_bytes: own.message_bytes,
            limits: self.protocol_limits(),
            tls: tls_files(&own.node_tls.ca_file, &own.node_tls.cert_file, &own.node_tls.key_file),
            breaker: breaker_settings(&own.breaker),
            nodes: own.nodes.iter().filter_map(|node| fixed_node(node, &server.region)).collect(),
        }
    }

    /// What samples, and how much of it is kept.
    pub fn profiler_settings(&self) -> profiler::Settings {
        let own = &self.profiler;
        profiler::Settings {
            enabled: own.enabled,
            heap: own.heap,
            sampler: own.sampler.kind(),
            hz: own.hz,
            fallback_hz: own.fallback_hz,
            bytes: own.ring_bytes,
            names_outside: true,
        }
    }

    /// How captures are made, and where they are kept. The process is named as in metrics.
    pub fn capture_settings(&self, instance_id: &str) -> captures::CaptureSettings {
        let own = &self.profiler.captures;
        let none = own.count == 0;
        let pace = captures::PaceSettings::default();
        captures::CaptureSettings {
            router: captures::Router { id: instance_id.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            folder: self.server.data_dir.as_ref().map(|folder| folder.join("captures")),
            bounds: captures::Bounds { captures: own.count, bytes: own.bytes as u64 },
            pace: captures::PaceSettings {
                per_hour: if none { 0 } else { own.an_hour as usize },
                asked_per_hour: if none { 0 } else { pace.asked_per_hour },
                ..pace
            },
        }
    }

    /// Who gets which variant.
    pub fn variant_rules(&self) -> gray::Rules {
        let names = self.variants.names.iter().map(|name| Variant::from(name.as_str()));
        gray::Rules::new(names, self.variants.rules.iter().filter_map(variant_rule).collect())
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

/// Absent: it lacks something, which has been reported.
fn variant_rule(rule: &VariantRule) -> Option<gray::Rule> {
    let test = if let Some(tag) = &rule.ab_tag {
        gray::Test::Tag(tag.clone())
    } else if let Some(percent) = rule.percent {
        gray::Test::Share { percent, previous: rule.previous_percent }
    } else if let Some(device) = &rule.device_type {
        gray::Test::Device(gray::Device::new(device).ok()?)
    } else {
        gray::Test::Users(rule.users.iter().cloned().collect())
    };
    let (name, variant) = (rule.name.as_deref()?, rule.variant.as_deref()?);
    Some(gray::Rule { name: name.into(), variant: variant.into(), test })
}

fn breaker_settings(breaker: &MediaBreaker) -> BreakerSettings {
    BreakerSettings {
        window: breaker.window_ms.duration(),
        calls_min: breaker.calls_min,
        failure_percent: breaker.failed_percent,
        slow_after: breaker.slow_ms.duration(),
        slow_percent: breaker.slow_percent,
        open_for: breaker.open_ms.duration(),
        open_for_max: breaker.open_max_ms.duration(),
        probes: breaker.probes,
    }
}

/// One without an address was reported.
/// Towards another server; absent: without TLS.
fn tls_files(ca: &Option<PathBuf>, cert: &Option<PathBuf>, key: &Option<PathBuf>) -> Option<TlsFiles> {
    ca.clone().map(|ca| TlsFiles { ca, own: cert.clone().zip(key.clone()) })
}

fn fixed_node(node: &MediaNode, region: &str) -> Option<media::FixedNode> {
    let or = |given: &str, otherwise: &str| if given.is_empty() { otherwise.to_owned() } else { given.to_owned() };
    let control_url = node.control_url.as_ref()?.as_str().to_owned();
    let info = NodeInfo {
        id: node.id.as_str().into(),
        region: or(&node.region, region).into(),
        variant: or(&node.variant, "default").into(),
        public_url: node.public_url.clone(),
        base_weight: node.base_weight,
    };
    Some(media::FixedNode { info, control_url })
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
