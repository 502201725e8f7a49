//! What the keys of `etcd` need of each other, and of the files they name.

use super::Check;
use crate::config::{
    tree::{Config, RoomsChoice},
    values::redacted,
};

impl Check<'_> {
    pub(super) fn etcd(&mut self, config: &mut Config) {
        let etcd = &mut config.etcd;
        self.secret_file("etcd.password", &mut etcd.password, etcd.password_file.as_ref());
        if etcd.username.is_some() && etcd.password.is_none() && etcd.password_file.is_none() {
            self.mistake("etcd.password", "", "needed beside etcd.username (or etcd.password_file)");
        }
        if etcd.username.is_none() && etcd.password.is_some() {
            self.mistake("etcd.username", "", "needed beside etcd.password");
        }
        if !etcd.endpoints.is_empty() && etcd.rooms == RoomsChoice::OneRouter {
            let resume = &config.resume;
            if config.server.url.is_empty() {
                let why =
                    "needed beside etcd.endpoints: other routers send clients there; or set etcd.rooms = \"apart\"";
                self.mistake("server.url", "\"\"", why);
            }
            if resume.secret.is_none() && resume.secret_file.is_none() {
                let why = "needed beside etcd.endpoints (or resume.secret_file), the same on all routers: a client resumes at any of them";
                self.mistake("resume.secret", "", why);
            }
        }
        self.pair("etcd", &etcd.cert_file, &etcd.key_file);
        self.ca("etcd.ca_file", etcd.ca_file.as_ref());
        let https = |url: &str| url.starts_with("https://");
        for endpoint in &etcd.endpoints {
            let url = endpoint.as_str();
            let uri = url.parse::<http::Uri>().ok();
            let authority = uri.as_ref().and_then(|uri| uri.authority());
            let problem = if authority.is_some_and(|authority| authority.as_str().contains('@')) {
                "put name and password into etcd.username and etcd.password_file"
            } else if uri.as_ref().is_some_and(|uri| uri.path() != "/" || uri.query().is_some()) {
                "give scheme, host and port only (usually port 2379)"
            } else if https(url) && etcd.ca_file.is_none() {
                "https needs etcd.ca_file"
            } else if !https(url) && etcd.ca_file.is_some() {
                "etcd.ca_file is for https: all members, or none"
            } else {
                continue;
            };
            self.mistake("etcd.endpoints", format!("{:?}", redacted(url)), problem);
        }
        if etcd.cert_file.is_some() && etcd.ca_file.is_none() {
            self.mistake("etcd.ca_file", "", "needed beside etcd.cert_file: certificates are shown over https");
        }
    }
}
