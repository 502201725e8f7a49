//! Which web pages may speak to the router: the origin allow-list.

/// Whether a request with this `Origin` is let in.
///
/// No `Origin`: not a browser's, allowed. `list` holds `*` (any), `scheme://host[:port]` (exactly that one), or
/// `scheme://*.domain[:port]` (the hosts below the domain at any depth, not the domain itself). An empty list allows
/// the page's own host only, as the `Host` header names it.
pub fn origin_allowed(origin: Option<&str>, host: Option<&str>, list: &[String]) -> bool {
    let Some(origin) = origin else { return true };
    if list.iter().any(|entry| entry == "*") {
        return true;
    }
    let Some(origin) = Origin::parse(origin) else { return false };
    if list.is_empty() {
        return host.is_some_and(|host| origin.is_host(host));
    }
    list.iter().filter_map(|entry| Origin::parse(entry)).any(|entry| entry.covers(&origin))
}

/// Whether an entry of the allow-list has one of the shapes that [`origin_allowed`] reads.
pub fn is_origin_entry(entry: &str) -> bool {
    entry == "*"
        || Origin::parse(entry).is_some_and(|origin| {
            let host = origin.host.strip_prefix("*.").unwrap_or(origin.host);
            !host.contains('*') && !host.is_empty()
        })
}

struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:*[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(valid) {
            return None;
        }
        let (host, port) = split_port(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or_else(|| default_port(scheme)) })
    }

    fn is_host(&self, host: &str) -> bool {
        split_port(host).is_some_and(|(host, port)| {
            host.eq_ignore_ascii_case(self.host) && port.unwrap_or_else(|| default_port(self.scheme)) == self.port
        })
    }

    fn covers(&self, other: &Origin<'_>) -> bool {
        let host = match self.host.strip_prefix('*') {
            // `*.example.com`: what stands before `.example.com` must be something.
            Some(suffix) if suffix.starts_with('.') => {
                let (host, suffix) = (other.host.as_bytes(), suffix.as_bytes());
                host.len() > suffix.len() && host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
            }
            Some(_) => false,
            None => self.host.eq_ignore_ascii_case(other.host),
        };
        host && self.port == other.port && self.scheme.eq_ignore_ascii_case(other.scheme)
    }
}

/// Host and port of an authority. `None`: not one.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let at = match authority.rfind(']') {
        Some(end) => authority[end..].find(':').map(|colon| end + colon),
        None => authority.find(':'),
    };
    let Some(at) = at else { return Some((authority, None)) };
    let (host, port) = (&authority[..at], authority[at + 1..].parse().ok()?);
    (!host.is_empty()).then_some((host, Some(port)))
}

fn default_port(scheme: &str) -> u16 {
    if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: &str, host: &str, list: &[&str]) -> bool {
        let list: Vec<String> = list.iter().map(|&entry| entry.to_owned()).collect();
        origin_allowed(Some(origin), Some(host), &list)
    }

    #[test]
    fn what_is_not_a_browser_is_let_in() {
        assert!(origin_allowed(None, None, &[]));
        assert!(origin_allowed(None, Some("a"), &["https://example.com".to_owned()]));
    }

    #[test]
    fn a_star_lets_in_every_page() {
        assert!(allowed("https://anything.test", "a", &["*"]));
        assert!(allowed("null", "a", &["*"]));
    }

    #[test]
    fn an_exact_entry_lets_in_that_origin_and_no_other() {
        let list = ["https://example.com", "http://localhost:3000"];
        for origin in ["https://example.com", "https://EXAMPLE.com:443", "http://localhost:3000"] {
            assert!(allowed(origin, "a", &list), "{origin}");
        }
        for origin in [
            "http://example.com",
            "https://example.com:8443",
            "https://example.com.evil.test",
            "https://evil.test/https://example.com",
            "https://sub.example.com",
            "http://localhost",
            "null",
            "",
            "https://",
        ] {
            assert!(!allowed(origin, "a", &list), "{origin}");
        }
    }

    #[test]
    fn a_wildcard_lets_in_what_is_below_the_domain_only() {
        let list = ["https://*.example.com"];
        assert!(allowed("https://app.example.com", "a", &list));
        assert!(allowed("https://a.b.example.com", "a", &list));
        for origin in [
            "https://example.com",
            "https://.example.com.evil.test",
            "https://notexample.com",
            "http://app.example.com",
            "https://app.example.com:8443",
        ] {
            assert!(!allowed(origin, "a", &list), "{origin}");
        }
        assert!(!allowed("https://anything.test", "a", &["https://*"]));
    }

    #[test]
    fn without_a_list_only_the_own_host_is_let_in() {
        assert!(allowed("http://localhost:7800", "localhost:7800", &[]));
        assert!(allowed("https://example.com", "example.com", &[]));
        assert!(allowed("https://example.com", "Example.com:443", &[]));
        assert!(allowed("http://[::1]:7800", "[::1]:7800", &[]));
        for (origin, host) in [
            ("http://localhost:7801", "localhost:7800"),
            ("http://localhost", "localhost:7800"),
            ("https://evil.test", "example.com"),
            ("null", "example.com"),
        ] {
            assert!(!allowed(origin, host, &[]), "{origin} on {host}");
        }
        assert!(!origin_allowed(Some("https://example.com"), None, &[]));
    }

    #[test]
    fn entries_of_the_list_are_told_from_mistakes() {
        for entry in ["*", "https://example.com", "https://*.example.com:8443", "http://[::1]:3000"] {
            assert!(is_origin_entry(entry), "{entry}");
        }
        for entry in ["example.com", "https://", "https://*", "https://a.*.com", "https://example.com/path", ""] {
            assert!(!is_origin_entry(entry), "{entry}");
        }
    }
}
