//! What a node may call itself and where it may be: for registrations and for the configuration alike.

use http::Uri;

/// Longest address of a node, a control or a public one.
const URL_BYTES_MAX: usize = 512;

/// A node's id, a region or a variant: what can be a metric's label.
pub fn is_node_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// An address that clients may be told.
pub fn is_public_url(text: &str) -> bool {
    let known = |uri: Uri| {
        let scheme = matches!(uri.scheme_str(), Some("ws" | "wss" | "http" | "https"));
        scheme && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    text.len() <= URL_BYTES_MAX && text.parse().is_ok_and(known)
}

/// Whether a node can be called there; `tls` says whether `media.node_tls.ca_file` is set. Registrations are held to it too.
///
/// # Errors
/// What is wrong, and what is allowed.
pub fn control_url(url: &str, tls: bool) -> Result<(), &'static str> {
    const ALLOWED: &str = "allowed: http://host:port or https://host:port, of at most 512 bytes";
    if url.len() > URL_BYTES_MAX {
        return Err(ALLOWED);
    }
    let uri: Uri = url.parse().map_err(|_| ALLOWED)?;
    let authority = uri.authority().ok_or(ALLOWED)?;
    let bare = authority.port_u16().is_some_and(|port| port > 0) && !authority.as_str().contains('@');
    let no_path = uri.path_and_query().is_none_or(|path| path == "/");
    if authority.host().is_empty() || !bare || !no_path {
        return Err(ALLOWED);
    }
    match (uri.scheme_str(), tls) {
        (Some("https"), true) | (Some("http"), false) => Ok(()),
        (Some("https"), false) => Err("https needs media.node_tls.ca_file: who signs the certificates that nodes show"),
        (Some("http"), true) => Err("must be https, because media.node_tls.ca_file is set"),
        _ => Err(ALLOWED),
    }
}
