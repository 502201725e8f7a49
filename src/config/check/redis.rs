//! What the keys of `redis` need of each other, and of the files they name.

use super::Check;
use crate::config::tree::{Config, RedisAck, RedisMode};

impl Check<'_> {
    pub(super) fn redis(&mut self, config: &mut Config) {
        let redis = &mut config.redis;
        self.secret_file("redis.password", &mut redis.password, redis.password_file.as_ref());
        let file = redis.sentinel_password_file.as_ref();
        self.secret_file("redis.sentinel_password", &mut redis.sentinel_password, file);
        if redis.username.is_some() && redis.password.is_none() && redis.password_file.is_none() {
            self.mistake("redis.password", "", "needed beside redis.username (or redis.password_file)");
        }
        let sentinels_ask = redis.sentinel_password.is_some() || redis.sentinel_password_file.is_some();
        if redis.sentinel_username.is_some() && !sentinels_ask {
            let why = "needed beside redis.sentinel_username (or redis.sentinel_password_file)";
            self.mistake("redis.sentinel_password", "", why);
        }
        match (redis.mode, &redis.sentinel_master) {
            (RedisMode::Sentinel, None) => {
                self.mistake("redis.sentinel_master", "", "needed beside redis.mode = \"sentinel\"");
            }
            (RedisMode::Single | RedisMode::Cluster, Some(master)) => {
                let problem = "for redis.mode = \"sentinel\" only";
                self.mistake("redis.sentinel_master", format!("{master:?}"), problem);
            }
            (RedisMode::Sentinel, Some(_)) | (RedisMode::Single | RedisMode::Cluster, None) => {}
        }
        if redis.mode != RedisMode::Sentinel && sentinels_ask {
            self.mistake("redis.sentinel_password", "", "for redis.mode = \"sentinel\" only");
        }
        let signs = config.resume.secret.is_some() || config.resume.secret_file.is_some();
        if !redis.addrs.is_empty() && !signs {
            let why = "needed beside redis.addrs (or resume.secret_file), the same on all routers and after a restart: who resumes a kept room shows what another signed";
            self.mistake("resume.secret", "", why);
        }
        if redis.ack == RedisAck::Disk && config.server.data_dir.is_none() {
            self.mistake("server.data_dir", "", "needed beside redis.ack = \"disk\": the journal is in it");
        }
        self.pair("redis", &redis.cert_file, &redis.key_file);
        self.ca("redis.ca_file", redis.ca_file.as_ref());
        for url in &redis.addrs {
            let problem = if url.names_somebody() {
                "put name and password into redis.username and redis.password_file"
            } else if url.address().is_none() {
                "give scheme, host and port only (usually port 6379, of Sentinels 26379)"
            } else if url.is_tls() && redis.ca_file.is_none() {
                "rediss needs redis.ca_file"
            } else if !url.is_tls() && redis.ca_file.is_some() {
                "redis.ca_file is for rediss: all servers, or none"
            } else {
                continue;
            };
            self.mistake("redis.addrs", format!("{:?}", url.redacted()), problem);
        }
        let addresses: Vec<_> = redis.addrs.iter().filter_map(|url| url.address()).collect();
        if let Some(twice) = (1..addresses.len()).find(|at| addresses[..*at].contains(&addresses[*at])) {
            self.mistake("redis.addrs", format!("\"{}\"", addresses[twice]), "named twice: once is enough");
        }
        if redis.cert_file.is_some() && redis.ca_file.is_none() {
            self.mistake("redis.ca_file", "", "needed beside redis.cert_file: certificates are shown over rediss");
        }
    }
}
