//! What no single key can say: keys that need or exclude each other, and files that keys name.

use std::{collections::BTreeMap, path::Path};

use super::{
    mistake::{Mistake, Source},
    tree::{ApiKey, Config},
};
use crate::auth::settings::Secret;

/// A secret or a certificate is shorter.
const FILE_BYTES_MAX: u64 = 64 * 1024;

struct Check<'a> {
    provenance: &'a BTreeMap<String, Source>,
    mistakes: Vec<Mistake>,
}

/// Looks at the tree as a whole and reads the files that it names into it.
pub(super) fn check(config: &mut Config, provenance: &BTreeMap<String, Source>, dev: bool) -> Vec<Mistake> {
    let mut check = Check { provenance, mistakes: Vec::new() };
    check.keys(config);
    check.secrets(config);
    check.ports(config, dev);
    check.mistakes
}

impl Check<'_> {
    fn mistake(&mut self, key: &str, value: impl Into<String>, problem: impl Into<String>) {
        let source = self.provenance.get(key).cloned().unwrap_or_default();
        self.mistakes.push(Mistake { key: key.to_owned(), value: value.into(), source, problem: problem.into() });
    }

    fn text_of(&mut self, key: &str, file: &Path) -> Option<String> {
        match read_bounded(file) {
            Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(cause) => {
                self.mistake(key, file.display().to_string(), format!("cannot read the file: {cause}"));
                None
            }
        }
    }

    fn keys(&mut self, config: &mut Config) {
        let auth = &mut config.auth;
        let providers = [auth.jwks.url.is_some(), auth.oidc.issuer.is_some(), auth.introspection.url.is_some()];
        if auth.keys.is_empty() && !providers.contains(&true) {
            let problem = "no token could be verified: set auth.keys.NAME.secret_file (or secret, public_key_file), \
                           auth.jwks.url, auth.oidc.issuer or auth.introspection.url; to try it out: serve --dev";
            self.mistake("auth.keys", "", problem);
        }
        for (name, keys) in &mut auth.keys {
            let single = keys.len() == 1;
            for (i, key) in keys.iter_mut().enumerate() {
                let path = format!("auth.keys.{name}");
                let indexed = format!("{path}.{i}");
                let known = self.provenance.keys().any(|key| key.starts_with(&format!("{indexed}.")));
                self.key(if single && !known { &path } else { &indexed }, key);
            }
        }
    }

    fn key(&mut self, path: &str, key: &mut ApiKey) {
        let set = [key.secret.is_some(), key.secret_file.is_some(), key.public_key_file.is_some()];
        if set.into_iter().filter(|set| *set).count() != 1 {
            self.mistake(path, "", "exactly one of secret, secret_file and public_key_file is needed");
            return;
        }
        if let Some(file) = key.secret_file.clone() {
            key.secret = self.secret(&format!("{path}.secret_file"), &file, 32);
        }
        if let Some(file) = key.public_key_file.clone() {
            key.public_key = self.text_of(&format!("{path}.public_key_file"), &file);
        }
    }

    fn secret(&mut self, key: &str, file: &Path, bytes_min: usize) -> Option<Secret> {
        let text = self.text_of(key, file)?;
        if text.len() < bytes_min {
            self.mistake(key, file.display().to_string(), format!("the file holds fewer than {bytes_min} bytes"));
            return None;
        }
        Some(Secret::from(text))
    }

    fn secrets(&mut self, config: &mut Config) {
        let introspection = &mut config.auth.introspection;
        let pairs = [
            ("resume.secret_file", &config.resume.secret_file, &mut config.resume.secret, 32),
            ("ice.turn_secret_file", &config.ice.turn_secret_file, &mut config.ice.turn_secret, 1),
            (
                "auth.introspection.client_secret_file",
                &introspection.client_secret_file,
                &mut introspection.client_secret,
                1,
            ),
        ];
        for (key, file, secret, bytes_min) in pairs {
            match (file, secret.is_some()) {
                (Some(file), false) => *secret = self.secret(key, file, bytes_min),
                (Some(file), true) => {
                    self.mistake(key, file.display().to_string(), "the secret itself is set as well: set one of both");
                }
                (None, _) => {}
            }
        }
        if !config.ice.turn_urls.is_empty() && config.ice.turn_secret.is_none() {
            self.mistake("ice.turn_secret", "", "needed when ice.turn_urls is set (or ice.turn_secret_file)");
        }
    }

    fn ports(&mut self, config: &mut Config, dev: bool) {
        for address in config.client.listen.iter().filter(|address| dev && !address.ip().is_loopback()) {
            self.mistake(
                "client.listen",
                address.to_string(),
                "--dev takes loopback addresses only: its key is known to everybody",
            );
        }
        let ops = config.ops.listen;
        if dev && !ops.ip().is_loopback() {
            self.mistake("ops.listen", ops.to_string(), "--dev takes loopback addresses only");
        }
        if !ops.ip().is_loopback() && config.ops.token_file.is_none() {
            self.mistake("ops.token_file", "", format!("needed because ops.listen ({ops}) is not loopback"));
        }
        for (key, tls) in [("client.tls", &config.client.tls), ("ops.tls", &config.ops.tls)] {
            if tls.cert_file.is_some() != tls.key_file.is_some() {
                self.mistake(key, "", "cert_file and key_file go together: set both or none");
            }
        }
        if config.client.proxy_protocol && config.client.trusted_proxies.is_empty() {
            self.mistake("client.trusted_proxies", "", "needed when client.proxy_protocol is on");
        }
        if config.client.idle_timeout_seconds <= config.client.ping_seconds {
            let (idle, ping) = (config.client.idle_timeout_seconds.0, config.client.ping_seconds.0);
            self.mistake(
                "client.idle_timeout_seconds",
                idle.to_string(),
                format!("must be more than client.ping_seconds ({ping})"),
            );
        }
    }
}

fn read_bounded(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
