//! What the keys of `media` need of each other, and of the files they name.

use std::{collections::BTreeSet, path::PathBuf};

use super::{Check, is_loopback, otlp::holds_certificates};
use crate::{
    config::{
        layers::read_bounded,
        schema::join,
        tree::{Config, MediaNode},
        values::redacted,
    },
    io::media::control_url,
};

/// The certificates of a whole system are about 220 KiB.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Check<'_> {
    pub(super) fn media(&mut self, config: &Config, dev: bool) {
        self.registry(config, dev);
        let node_tls = &config.media.node_tls;
        self.pair("media.node_tls", &node_tls.cert_file, &node_tls.key_file);
        self.ca("media.node_tls.ca_file", node_tls.ca_file.as_ref());
        if node_tls.cert_file.is_some() && node_tls.ca_file.is_none() {
            self.mistake(
                "media.node_tls.ca_file",
                "",
                "needed beside media.node_tls.cert_file: nodes are called over https then",
            );
        }
        let media = &config.media;
        if media.nodes.len() > media.nodes_max {
            let problem = format!("allowed: at most media.nodes_max = {}", media.nodes_max);
            self.mistake("media.nodes", media.nodes.len().to_string(), problem);
        }
        if media.ttl_ms.0 < media.report_ms.0 {
            let problem = format!("allowed: at least media.report_ms = {}", media.report_ms.0);
            self.mistake("media.ttl_ms", media.ttl_ms.0.to_string(), problem);
        }
        let breaker = &media.breaker;
        if breaker.open_max_ms < breaker.open_ms {
            let problem = format!("allowed: at least media.breaker.open_ms = {}", breaker.open_ms.0);
            self.mistake("media.breaker.open_max_ms", breaker.open_max_ms.0.to_string(), problem);
        }
        let mut ids = BTreeSet::new();
        for (i, node) in media.nodes.iter().enumerate() {
            let listed = self.provenance.contains_key(&format!("media.nodes.{i}.id"));
            let at = if listed { format!("media.nodes.{i}") } else { "media.nodes".to_owned() };
            // what could not be read stands at its default, and was told
            if !self.mistakes.iter().any(|m| m.key.starts_with(&format!("{at}."))) {
                self.node(&at, node, config);
            }
            if !node.id.is_empty() && !ids.insert(&node.id) {
                self.mistake(
                    &join(&at, "id"),
                    format!("{:?}", node.id),
                    "another entry of media.nodes has the same id",
                );
            }
        }
    }

    /// The port that nodes register at: open to other machines only for those who show a certificate.
    fn registry(&mut self, config: &Config, dev: bool) {
        let media = &config.media;
        let tls = &media.tls;
        self.pair("media.tls", &tls.cert_file, &tls.key_file);
        self.ca("media.tls.client_ca_file", tls.client_ca_file.as_ref());
        if tls.client_ca_file.is_some() && tls.cert_file.is_none() {
            let problem = "needed beside media.tls.client_ca_file: certificates are shown over TLS";
            self.mistake("media.tls.cert_file", "", problem);
        }
        let Some(listen) = media.listen.filter(|listen| !is_loopback(listen)) else { return };
        if dev {
            self.mistake("media.listen", listen.to_string(), "--dev listens on loopback only");
        } else if tls.client_ca_file.is_none() && !media.plain {
            let problem = format!(
                "needed, because media.listen = {listen} is not loopback: whoever registers there is given rooms \
                 (or media.plain = true, where the network itself keeps others out)"
            );
            self.mistake("media.tls.client_ca_file", "", problem);
        }
    }

    pub(super) fn pair(&mut self, at: &str, cert_file: &Option<PathBuf>, key_file: &Option<PathBuf>) {
        for (name, file) in [("cert_file", cert_file), ("key_file", key_file)] {
            let key = join(at, name);
            match file {
                None if cert_file != key_file => {
                    self.mistake(&key, "", format!("set both {at}.cert_file and {at}.key_file, or none"));
                }
                Some(path) => drop(self.file(&key, path)),
                None => {}
            }
        }
    }

    pub(super) fn ca(&mut self, key: &str, path: Option<&PathBuf>) {
        let Some(path) = path else { return };
        let shown = path.display().to_string();
        match read_bounded(path, CA_FILE_BYTES_MAX, self.files) {
            Ok(pem) if holds_certificates(&pem) => {}
            Ok(_) => self.mistake(key, shown, "holds no certificate in PEM that can be read"),
            Err(cause) => self.mistake(key, shown, format!("cannot read it: {cause}")),
        }
    }

    fn node(&mut self, at: &str, node: &MediaNode, config: &Config) {
        if node.id.is_empty() {
            self.mistake(&join(at, "id"), "\"\"", "a node needs an id: 1 to 64 of a-z A-Z 0-9 . _ -");
        }
        let server = &config.server;
        if !node.region.is_empty() && node.region != server.region && !server.regions.contains(&node.region) {
            let known: Vec<&str> = std::iter::once(&server.region).chain(&server.regions).map(String::as_str).collect();
            let problem = format!("allowed: server.region or one of server.regions ({})", known.join(", "));
            self.mistake(&join(at, "region"), format!("{:?}", node.region), problem);
        }
        let key = join(at, "control_url");
        let Some(url) = &node.control_url else {
            return self.mistake(&key, "\"\"", "a node needs an address: http://host:port or https://host:port");
        };
        if let Err(problem) = control_url(url.as_str(), config.media.node_tls.ca_file.is_some()) {
            self.mistake(&key, format!("{:?}", redacted(url.as_str())), problem);
        }
    }
}
