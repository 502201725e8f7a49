//! What each part of the router is handed of the configuration, where the part is not `config`'s to know.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::workers;
use crate::{
    config::{Config, Edition, Tls},
    io::{
        clock,
        gateway::GatewaySettings,
        listener::{self, LimitSettings, Listener, ListenerSettings, ProxyProtocol, TlsSettings},
        ops::OpsSettings,
    },
    telemetry,
};

/// Links from other routers, those that are being replaced included.
const LINKS_MAX: usize = 4_096;
/// How often certificate files are looked at.
const TLS_POLL: Duration = Duration::from_secs(5);

pub(super) fn limit_settings(config: &Config) -> LimitSettings {
    LimitSettings {
        connections_max: config.limits.connections,
        connections_per_address_max: config.limits.connections_per_address,
        handshakes_max: config.limits.handshakes,
    }
}

pub(super) fn head_rate(config: &Config) -> f64 {
    f64::from(config.telemetry.otlp.head_per_million) / 1e6
}

pub(super) fn telemetry_settings(edition: &Edition) -> telemetry::Settings {
    let config = &edition.loaded.config;
    let otlp = &config.telemetry.otlp;
    telemetry::Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: config
            .server
            .id
            .clone()
            .unwrap_or_else(|| format!("{:032x}", u128::from(random_seed()) << 64 | u128::from(random_seed()))),
        shards: workers(config),
        inbox_bound: config.limits.shard_inbox,
        region: config.server.region.clone(),
        regions: config.server.regions.clone(),
        measures: config.telemetry.measure,
        traces_waiting_max: if otlp.endpoint.is_some() { otlp.traces_waiting } else { 0 },
        head_rate: head_rate(config),
        config_hash: edition.hash,
        started: Instant::now(),
        started_unix: clock::since_epoch(),
    }
}

pub(super) fn tls_settings(tls: &Tls) -> Option<TlsSettings> {
    let settings = |(certificates, key): (&PathBuf, &PathBuf)| TlsSettings {
        certificates: certificates.clone(),
        key: key.clone(),
        client_ca: None,
    };
    tls.files().map(settings)
}

pub(super) fn listener_settings(
    config: &Config,
    limits: Arc<listener::Limits>,
    observe: listener::Observe,
) -> ListenerSettings {
    let client = &config.client;
    ListenerSettings {
        name: "client",
        addresses: client.listen.clone(),
        tls: tls_settings(&client.tls),
        tls_poll: TLS_POLL,
        proxy_protocol: if client.proxy_protocol { ProxyProtocol::V2 } else { ProxyProtocol::Off },
        trusted_proxies: client.trusted_proxies.clone(),
        handshake_timeout: client.tls_handshake_timeout_ms.duration(),
        limits,
        observe,
    }
}

/// Where other routers' links come in, and the URL that they are told; absent: nowhere.
pub(super) fn relay_listener(config: &Config, observe: &listener::Observe) -> Result<Option<(Listener, String)>> {
    let relay = &config.relay;
    let Some(listen) = relay.listen else { return Ok(None) };
    let tls = tls_of(&relay.cert_file, &relay.key_file, &relay.ca_file);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listener = Listener::bind(inside(config, observe, ("relay", listen), (tls, LINKS_MAX)))?;
    let at = listener.local_addrs().first().copied().unwrap_or(listen);
    let url = relay.url.as_ref().map_or_else(|| format!("{scheme}://{at}"), |url| url.as_str().to_owned());
    Ok(Some((listener, url)))
}

/// Of a port whose callers show a certificate of that authority, where there is one.
fn tls_of(cert: &Option<PathBuf>, key: &Option<PathBuf>, client_ca: &Option<PathBuf>) -> Option<TlsSettings> {
    let files = cert.clone().zip(key.clone());
    files.map(|(certificates, key)| TlsSettings { certificates, key, client_ca: client_ca.clone() })
}

/// A port for other machines of ours.
fn inside(
    config: &Config,
    observe: &listener::Observe,
    (name, listen): (&'static str, SocketAddr),
    (tls, connections_max): (Option<TlsSettings>, usize),
) -> ListenerSettings {
    let limits = LimitSettings { connections_max, connections_per_address_max: connections_max, handshakes_max: 256 };
    ListenerSettings {
        name,
        addresses: vec![listen],
        tls,
        tls_poll: TLS_POLL,
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        handshake_timeout: config.client.tls_handshake_timeout_ms.duration(),
        limits: listener::Limits::new(limits),
        observe: observe.clone(),
    }
}

/// Where media nodes register, and its address; absent: nowhere.
pub(super) fn media_listener(
    config: &Config,
    observe: &listener::Observe,
) -> Result<(Option<Listener>, Option<SocketAddr>)> {
    let media = &config.media;
    let Some(listen) = media.listen else { return Ok((None, None)) };
    // a node registers over one connection, and over another one after a restart
    let connections_max = 2 * media.nodes_max + 64;
    let tls = tls_of(&media.tls.cert_file, &media.tls.key_file, &media.tls.client_ca_file);
    let listener = Listener::bind(inside(config, observe, ("media", listen), (tls, connections_max)))?;
    let address = listener.local_addrs().first().copied();
    Ok((Some(listener), address))
}

pub(super) fn ops_settings(config: &Config, observe: listener::Observe) -> OpsSettings {
    let limits = LimitSettings { connections_max: 256, connections_per_address_max: 256, handshakes_max: 64 };
    let listener = ListenerSettings {
        name: "ops",
        addresses: vec![config.ops.listen],
        tls: tls_settings(&config.ops.tls),
        tls_poll: TLS_POLL,
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        handshake_timeout: config.client.tls_handshake_timeout_ms.duration(),
        limits: listener::Limits::new(limits),
        observe,
    };
    let header_timeout = config.client.header_timeout_ms.duration();
    OpsSettings { listener, token_file: config.ops.token_file.clone(), header_timeout }
}

/// Configured, or made for this process: resume tokens then do not survive a restart.
pub(super) fn resume_secret(config: &Config) -> Vec<u8> {
    match &config.resume.secret {
        Some(secret) => secret.expose().as_bytes().to_vec(),
        None => random_bytes(32),
    }
}

/// From the system's own source.
pub(super) fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let filled = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    assert!(filled.is_ok(), "the system gives no randomness; nothing here could be kept secret");
    bytes
}

pub(super) fn random_seed() -> u64 {
    random_bytes(8).iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

pub(super) fn gateway_settings(config: &Config) -> GatewaySettings {
    let client = &config.client;
    GatewaySettings {
        limits: config.protocol_limits(),
        outbound_bytes: config.limits.outbound_bytes,
        auto_create: config.rooms.auto_create,
        connections_per_key: config.limits.sessions_per_key,
        admin_page_max: config.limits.admin_page_max,
        origins: client.origins.clone(),
        trusted_proxies: client.trusted_proxies.clone(),
        header_timeout: client.header_timeout_ms.duration(),
        first_frame_timeout: client.first_frame_timeout_ms.duration(),
        ping: client.ping_seconds.duration(),
        idle_timeout: client.idle_timeout_seconds.duration(),
        close_timeout: client.close_timeout_ms.duration(),
        variants: config.variant_rules(),
    }
}
