//! Which address a request comes from, when proxies stand between.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// Whether an address is in one of the networks. An IPv4 address inside IPv6 counts as IPv4.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The client's address: the right-most one of `X-Forwarded-For` that is not a trusted proxy's, and only when the
/// connection itself comes from one. What a client writes there itself stands further left and is never reached.
/// An entry that is no address ends the search at the proxy that vouched for it.
pub fn client_ip(peer: SocketAddr, forwarded: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut nearest = peer.ip().to_canonical();
    if !is_trusted(nearest, trusted) {
        return nearest;
    }
    let lines = forwarded.get_all("x-forwarded-for").into_iter().collect::<Vec<_>>();
    for line in lines.into_iter().rev() {
        let Ok(line) = line.to_str() else { return nearest };
        for entry in line.rsplit(',') {
            let Some(address) = parse(entry.trim()) else { return nearest };
            nearest = address;
            if !is_trusted(address, trusted) {
                return address;
            }
        }
    }
    nearest
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1:4000";

    fn seen(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        client_ip(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_writes() {
        assert_eq!(seen("203.0.113.9:1", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9:1", &[]), "203.0.113.9");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_its_own_kind_is_skipped() {
        assert_eq!(seen(PROXY, &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen(PROXY, &["198.51.100.1, 10.2.0.1 ,10.3.0.1"]), "198.51.100.1");
        assert_eq!(seen(PROXY, &["198.51.100.1", "10.2.0.1"]), "198.51.100.1");
        assert_eq!(seen(PROXY, &[]), "10.0.0.1");
        assert_eq!(seen(PROXY, &["10.9.0.1, 10.2.0.1"]), "10.9.0.1");
    }

    #[test]
    fn what_the_client_wrote_itself_is_never_reached() {
        assert_eq!(seen(PROXY, &["127.0.0.1, 10.0.0.7, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen(PROXY, &["127.0.0.1", "198.51.100.1, 10.2.0.1"]), "198.51.100.1");
    }

    #[test]
    fn an_entry_that_is_no_address_ends_the_search() {
        assert_eq!(seen(PROXY, &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(seen(PROXY, &["198.51.100.1, unknown, 10.2.0.1"]), "10.2.0.1");
        assert_eq!(seen(PROXY, &[""]), "10.0.0.1");
        assert_eq!(seen(PROXY, &["198.51.100.1,"]), "10.0.0.1");
        assert_eq!(seen(PROXY, &["[1.2.3.4.5]:x"]), "10.0.0.1");
        assert_eq!(seen(PROXY, &["198.51.100.1, \u{e9}"]), "10.0.0.1");
    }

    #[test]
    fn six_brackets_ports_and_mapped_addresses_are_read() {
        assert_eq!(seen("[fd00::1]:9", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(seen(PROXY, &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(seen(PROXY, &["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(seen(PROXY, &["198.51.100.1:5555"]), "198.51.100.1");
        assert_eq!(seen("[::ffff:10.0.0.1]:9", &["::ffff:198.51.100.1, ::ffff:10.4.0.1"]), "198.51.100.1");
    }
}
