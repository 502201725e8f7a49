//! What the keys of `relay` need of each other, and of the files they name.

use super::{Check, is_loopback};
use crate::config::tree::{Config, RoomsChoice};

impl Check<'_> {
    pub(super) fn relay(&mut self, config: &Config, dev: bool) {
        let relay = &config.relay;
        self.pair("relay", &relay.cert_file, &relay.key_file);
        self.ca("relay.ca_file", relay.ca_file.as_ref());
        if relay.cert_file.is_some() != relay.ca_file.is_some() {
            let (key, beside) = match relay.ca_file {
                None => ("relay.ca_file", "relay.cert_file"),
                Some(_) => ("relay.cert_file", "relay.ca_file"),
            };
            self.mistake(key, "", format!("needed beside {beside}: both sides of a link show a certificate"));
        }
        let Some(listen) = relay.listen else { return };
        if config.etcd.endpoints.is_empty() || config.etcd.rooms != RoomsChoice::OneRouter {
            let problem =
                "needs etcd.endpoints, and etcd.rooms = \"one_router\": else no other router has rooms of this fleet";
            self.mistake("relay.listen", listen.to_string(), problem);
        }
        if listen.ip().is_unspecified() && relay.url.is_none() {
            let problem =
                format!("needed beside relay.listen = {listen}: other routers are told where to reach this one");
            self.mistake("relay.url", "", problem);
        }
        if !is_loopback(&listen) {
            if dev {
                self.mistake("relay.listen", listen.to_string(), "--dev listens on loopback only");
            } else if relay.cert_file.is_none() && !relay.plain {
                let problem = format!(
                    "needed, because relay.listen = {listen} is not loopback: what clients say would be readable on the way \
                     (or relay.plain = true, where the network itself keeps others out)"
                );
                self.mistake("relay.cert_file", "", problem);
            }
        }
        let Some(url) = &relay.url else { return };
        let parsed = url.as_str().parse::<http::Uri>().ok();
        let whole = parsed.as_ref().is_some_and(|uri| {
            let bare = uri.path() == "/" && uri.query().is_none();
            bare && uri
                .authority()
                .is_some_and(|authority| authority.port().is_some() && !authority.as_str().contains('@'))
        });
        let tls = relay.cert_file.is_some();
        let problem = match parsed.as_ref().and_then(http::Uri::scheme_str) {
            _ if !whole => "give scheme, host and port only",
            Some("http") if tls => "must be https, because relay.cert_file is set",
            Some("https") if !tls => "https needs relay.cert_file",
            _ => return,
        };
        self.mistake("relay.url", format!("{:?}", crate::config::values::redacted(url.as_str())), problem);
    }
}
