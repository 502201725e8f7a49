//! What one key alone cannot tell: pairs, needs, and files that hold secrets.

mod etcd;
mod media;
mod otlp;
mod redis;
mod relay;
mod variants;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    layers::{Files, read_bounded},
    mistake::{Mistake, Source},
    read::Read,
    schema::join,
    tree::{ApiKey, Config, SECRET_BYTES, Tls},
    values::HIDDEN,
};
use crate::auth::{self, KeySet, settings::Secret};

/// Longest file with a secret or a public key.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
/// The watchdog looks every 50 ms: what is shorter than two looks it cannot tell from being looked at twice.
const STALL_MS_MIN: u64 = 100;
/// What to do when nobody's token could be accepted.
const NO_KEY: &str = "no token could be accepted: set [auth.keys.NAME] secret_file (or secret, or public_key_file), \
    auth.jwks.url, auth.oidc.issuer or auth.introspection.url; to try things out, `serve --dev`";

/// Checks a tree and reads the files it names; adds to the mistakes.
pub(super) fn check(read: &mut Read, dev: bool, files: Files) {
    let Read { config, provenance, mistakes } = read;
    let mut check = Check { provenance, mistakes, files };
    check.secret_files(config);
    check.ports(config, dev);
    check.auth(config);
    check.ice(config);
    check.client(config);
    check.variants(config);
    check.otlp(config);
    check.telemetry(config);
    check.media(config, dev);
    check.etcd(config);
    check.redis(config);
    check.relay(config, dev);
    check.guard(config);
}

struct Check<'a> {
    provenance: &'a mut BTreeMap<String, Source>,
    mistakes: &'a mut Vec<Mistake>,
    files: Files,
}

impl Check<'_> {
    fn mistake(&mut self, key: &str, value: impl Into<String>, problem: impl Into<String>) {
        let source = self.provenance.get(key).cloned().unwrap_or_default();
        self.mistakes.push(Mistake { key: key.to_owned(), value: value.into(), source, problem: problem.into() });
    }

    fn secret_files(&mut self, config: &mut Config) {
        let resume = &mut config.resume;
        self.secret_file("resume.secret", &mut resume.secret, resume.secret_file.as_ref());
        if let Some(short) = resume.secret.as_ref().filter(|s| !SECRET_BYTES.contains(&s.expose().len())) {
            let (bytes, least, most) = (short.expose().len(), SECRET_BYTES.start(), SECRET_BYTES.end());
            self.mistake(
                "resume.secret_file",
                HIDDEN,
                format!("the secret in it has {bytes} bytes; allowed: {least} to {most}"),
            );
        }
        let ice = &mut config.ice;
        self.secret_file("ice.turn_secret", &mut ice.turn_secret, ice.turn_secret_file.as_ref());
        let asked = &mut config.auth.introspection;
        let file = asked.client_secret_file.as_ref();
        self.secret_file("auth.introspection.client_secret", &mut asked.client_secret, file);
        config.ops.token =
            config.ops.token_file.as_ref().and_then(|file| self.file("ops.token_file", file)).map(Secret::from);
    }

    /// Fills in a secret from its file. Both at once would leave open which one counts.
    fn secret_file(&mut self, key: &str, secret: &mut Option<Secret>, file: Option<&PathBuf>) {
        let Some(file) = file else { return };
        let file_key = format!("{key}_file");
        if secret.is_some() {
            self.mistake(&file_key, file.display().to_string(), format!("{key} is set as well; set one of them"));
        } else if let Some(text) = self.file(&file_key, file) {
            let source = self.provenance.get(&file_key).cloned().unwrap_or_default();
            self.provenance.insert(key.to_owned(), source);
            *secret = Some(text.into());
        }
    }

    /// What is in a file, without its last line break.
    fn file(&mut self, key: &str, path: &Path) -> Option<String> {
        match read_bounded(path, SECRET_FILE_BYTES_MAX, self.files) {
            Ok(text) => {
                let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
                if text.is_empty() {
                    self.mistake(key, path.display().to_string(), "the file is empty");
                }
                (!text.is_empty()).then(|| text.to_owned())
            }
            Err(cause) => {
                self.mistake(key, path.display().to_string(), format!("cannot read it: {cause}"));
                None
            }
        }
    }

    fn ports(&mut self, config: &Config, dev: bool) {
        if dev {
            for address in config.client.listen.iter().filter(|a| !is_loopback(a)) {
                self.mistake(
                    "client.listen",
                    address.to_string(),
                    "--dev listens on loopback only: its key is known to everybody",
                );
            }
            if !is_loopback(&config.ops.listen) {
                self.mistake("ops.listen", config.ops.listen.to_string(), "--dev listens on loopback only");
            }
        }
        if !is_loopback(&config.ops.listen) && config.ops.token_file.is_none() {
            let problem = format!("needed, because ops.listen = {} is not loopback", config.ops.listen);
            self.mistake("ops.token_file", "", problem);
        }
        self.tls("client.tls", &config.client.tls);
        self.tls("ops.tls", &config.ops.tls);
    }

    fn tls(&mut self, at: &str, tls: &Tls) {
        let files = [("cert_file", &tls.cert_file), ("key_file", &tls.key_file)];
        for (name, file) in files {
            let key = join(at, name);
            match file {
                None if tls.cert_file != tls.key_file => {
                    self.mistake(&key, "", format!("set both {at}.cert_file and {at}.key_file, or none"));
                }
                Some(path) => drop(self.file(&key, path)),
                None => {}
            }
        }
    }

    fn auth(&mut self, config: &mut Config) {
        for (name, keys) in &mut config.auth.keys {
            let at = join("auth.keys", name);
            let listed = self.provenance.contains_key(&format!("{at}.0.secret"));
            let before = self.mistakes.len();
            for (i, key) in keys.iter_mut().enumerate() {
                let at = if listed { format!("{at}.{i}") } else { at.clone() };
                self.api_key(&at, key);
            }
            // the key set names each fault of material, algorithms and kids, one a name
            if self.mistakes.len() == before
                && let Err(fault) = KeySet::new(&auth::Settings { keys: settings_of(name, keys), ..Default::default() })
            {
                let source = self.source_under(&at);
                self.mistakes.push(Mistake { key: at, value: HIDDEN.to_owned(), source, problem: fault.to_string() });
            }
        }
        let auth = &config.auth;
        let providers = [auth.jwks.url.is_some(), auth.oidc.issuer.is_some(), auth.introspection.url.is_some()];
        if auth.keys.is_empty() && !providers.contains(&true) {
            self.mistake("auth.keys", "", NO_KEY);
        }
        let asked = &auth.introspection;
        if asked.client_secret.is_some() && asked.client_id.is_none() {
            self.mistake("auth.introspection.client_id", "", "needed beside auth.introspection.client_secret");
        }
    }

    fn api_key(&mut self, at: &str, key: &mut ApiKey) {
        let wrong = self.mistakes.iter().any(|m| m.key.strip_prefix(at).is_some_and(|rest| rest.starts_with('.')));
        let given = [key.secret.is_some(), key.secret_file.is_some(), key.public_key_file.is_some()];
        if !wrong && given.iter().filter(|given| **given).count() != 1 {
            let source = self.source_under(at);
            let problem = "set exactly one of secret, secret_file, public_key_file".to_owned();
            self.mistakes.push(Mistake { key: at.to_owned(), value: HIDDEN.to_owned(), source, problem });
            return;
        }
        self.secret_file(&join(at, "secret"), &mut key.secret, key.secret_file.as_ref());
        key.public_key = key.public_key_file.as_ref().and_then(|path| self.file(&join(at, "public_key_file"), path));
    }

    /// Who wrote a section: whoever wrote something in it.
    fn source_under(&self, at: &str) -> Source {
        let inside = self.provenance.range(at.to_owned()..).take_while(|(key, _)| key.starts_with(at));
        inside.map(|(_, source)| source).find(|source| **source != Source::Default).cloned().unwrap_or_default()
    }

    fn ice(&mut self, config: &Config) {
        let ice = &config.ice;
        if !ice.turn_urls.is_empty() && ice.turn_secret.is_none() && ice.turn_secret_file.is_none() {
            self.mistake("ice.turn_secret", "", "needed beside ice.turn_urls (or ice.turn_secret_file)");
        }
        if ice.turn_urls.is_empty() && ice.turn_secret.is_some() {
            self.mistake("ice.turn_urls", "[]", "needed beside ice.turn_secret");
        }
        for (i, server) in ice.servers.iter().enumerate() {
            let listed = self.provenance.contains_key(&format!("ice.servers.{i}.urls"));
            let at = if listed { format!("ice.servers.{i}") } else { "ice.servers".to_owned() };
            if server.urls.is_empty() && !self.mistakes.iter().any(|m| m.key.starts_with(&at)) {
                self.mistake(&join(&at, "urls"), "[]", "a server needs at least one URL");
            }
            if server.username.is_empty() != server.credential.is_none() {
                self.mistake(&join(&at, "username"), "", "set both username and credential, or none");
            }
        }
    }

    fn telemetry(&mut self, config: &Config) {
        let stall = config.telemetry.stall_ms;
        if (1..STALL_MS_MIN).contains(&stall.0) {
            let problem = format!("allowed: 0 (nobody looks) or {STALL_MS_MIN} to 60000 milliseconds");
            self.mistake("telemetry.stall_ms", stall.0.to_string(), problem);
        }
    }

    fn guard(&mut self, config: &Config) {
        let (joins, signals) = (config.guard.queue_joins_ms, config.guard.queue_signals_ms);
        if signals.0 != 0 && signals < joins {
            let problem = format!("allowed: 0 (never), or at least guard.queue_joins_ms = {}: joins go first", joins.0);
            self.mistake("guard.queue_signals_ms", signals.0.to_string(), problem);
        }
    }

    fn client(&mut self, config: &Config) {
        let client = &config.client;
        if client.idle_timeout_seconds <= client.ping_seconds {
            let problem = format!("allowed: more than client.ping_seconds = {}", client.ping_seconds.0);
            self.mistake("client.idle_timeout_seconds", client.idle_timeout_seconds.0.to_string(), problem);
        }
        if client.proxy_protocol && client.trusted_proxies.is_empty() {
            self.mistake(
                "client.trusted_proxies",
                "[]",
                "needed beside client.proxy_protocol: nobody else is believed",
            );
        }
    }
}

/// A name's keys as auth wants them; those without material have been reported.
pub(super) fn settings_of(name: &str, keys: &[ApiKey]) -> Vec<auth::settings::KeySettings> {
    use auth::settings::{KeyMaterial, KeySettings};
    let settings = |key: &ApiKey| {
        let public = || key.public_key.clone().map(KeyMaterial::PublicKeyPem);
        let material = key.secret.clone().map(KeyMaterial::Secret).or_else(public)?;
        let algorithms = key.algorithms.iter().copied().collect();
        Some(KeySettings { name: name.to_owned(), kid: key.kid.clone(), material, algorithms })
    };
    keys.iter().filter_map(settings).collect()
}

fn is_loopback(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    }
}
