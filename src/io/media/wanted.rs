//! What a registration must say: each field, and what it may hold.
//!
//! Pure. A refusal names the field and what is allowed, and quotes nothing.

use super::{
    known::Told,
    words::{control_url, is_node_word, is_public_url},
};
use crate::{ids::NodeId, placement::NodeInfo, protocol::v1};

/// What a weight is that is not told.
const WEIGHT_OTHERWISE: u32 = 10;
/// The greatest weight.
const WEIGHT_MAX: u32 = 1_000;
/// Longest incarnation, and longest version that is told in lines.
pub(super) const WORD_BYTES_MAX: usize = 64;

/// What this router has to compare a registration with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    /// The regions that there are.
    pub(super) regions: &'a [String],
    /// Whether nodes are called over TLS.
    pub(super) node_tls: bool,
}

/// An id that can be one.
pub(super) fn id(text: &str) -> Result<NodeId, String> {
    is_node_word(text).then(|| NodeId::from(text)).ok_or_else(|| "id: allowed: 1 to 64 of a-z A-Z 0-9 . _ -".to_owned())
}

/// Which start of a node it is.
pub(super) fn incarnation(text: &str) -> Result<&str, String> {
    let fits = (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(text)
        .ok_or_else(|| format!("incarnation: allowed: 1 to {WORD_BYTES_MAX} printable ASCII characters"))
}

/// A whole registration.
///
/// # Errors
/// The first field that cannot be used, and what is allowed.
pub(super) fn registration(request: &v1::RegisterRequest, here: Here<'_>) -> Result<Told, String> {
    let id = id(&request.id)?;
    let incarnation = incarnation(&request.incarnation)?.to_owned();
    if !here.regions.contains(&request.region) {
        return Err(format!("region: allowed: one of the router's regions ({})", here.regions.join(", ")));
    }
    let variant = match request.variant.as_str() {
        "" => "default",
        variant if is_node_word(variant) => variant,
        _ => return Err("variant: allowed: 1 to 64 of a-z A-Z 0-9 . _ -, or empty".to_owned()),
    };
    control_url(&request.control_url, here.node_tls).map_err(|problem| format!("control_url: {problem}"))?;
    if !request.public_url.is_empty() && !is_public_url(&request.public_url) {
        return Err(
            "public_url: allowed: a URL, http://, https://, ws:// or wss://, of at most 512 bytes, or empty".to_owned()
        );
    }
    let base_weight = match request.base_weight {
        0 => WEIGHT_OTHERWISE,
        weight if weight <= WEIGHT_MAX => weight,
        _ => return Err(format!("base_weight: allowed: 1 to {WEIGHT_MAX}, or 0 for {WEIGHT_OTHERWISE}")),
    };
    let info = NodeInfo {
        id,
        region: request.region.as_str().into(),
        variant: variant.into(),
        public_url: request.public_url.clone(),
        base_weight,
    };
    Ok(Told { info, control_url: request.control_url.clone(), incarnation: Some(incarnation) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::RegisterRequest {
        v1::RegisterRequest {
            id: "node-1".into(),
            region: "sh".into(),
            control_url: "http://127.0.0.1:7810".into(),
            incarnation: "x".into(),
            ..v1::RegisterRequest::default()
        }
    }

    fn read(change: impl FnOnce(&mut v1::RegisterRequest)) -> Result<Told, String> {
        let mut request = request();
        change(&mut request);
        registration(&request, Here { regions: &["sh".into(), "sz".into()], node_tls: false })
    }

    #[test]
    fn what_is_not_told_has_its_default() {
        let told = read(|_| ()).unwrap();
        let NodeInfo { id, region, variant, public_url, base_weight } = told.info;
        assert_eq!((id.as_str(), region.as_str(), variant.as_str()), ("node-1", "sh", "default"));
        assert_eq!((public_url.as_str(), base_weight, told.incarnation.as_deref()), ("", 10, Some("x")));
    }

    #[test]
    fn each_field_that_cannot_be_used_is_named_with_what_is_allowed() {
        type Change = fn(&mut v1::RegisterRequest);
        let cases: [(&str, Change); 14] = [
            ("id: ", |r| r.id.clear()),
            ("id: ", |r| r.id = "a b".into()),
            ("id: ", |r| r.id = "a".repeat(65)),
            ("incarnation: ", |r| r.incarnation.clear()),
            ("incarnation: ", |r| r.incarnation = "\n".into()),
            ("region: allowed: one of the router's regions (sh, sz)", |r| r.region = "bj".into()),
            ("variant: ", |r| r.variant = "{}".into()),
            ("control_url: allowed: http://host:port", |r| r.control_url = "127.0.0.1:1".into()),
            ("control_url: allowed: http://host:port", |r| r.control_url = "http://127.0.0.1".into()),
            ("control_url: allowed: http://host:port", |r| r.control_url = "http://u:p@127.0.0.1:1".into()),
            ("control_url: allowed: http://host:port", |r| r.control_url = "http://127.0.0.1:1/path".into()),
            ("control_url: https needs media.node_tls.ca_file", |r| r.control_url = "https://127.0.0.1:1".into()),
            ("public_url: ", |r| r.public_url = "javascript:alert(1)".into()),
            ("base_weight: allowed: 1 to 1000", |r| r.base_weight = 1_001),
        ];
        for (expected, change) in cases {
            let problem = read(change).unwrap_err();
            assert!(
                problem.starts_with(expected) && problem.contains("allowed") || problem.contains("needs"),
                "{problem}"
            );
        }
        assert_eq!(read(|r| r.base_weight = 1_000).unwrap().info.base_weight, 1_000);
    }

    #[test]
    fn once_nodes_are_called_over_tls_none_is_called_without() {
        let here = Here { regions: &["sh".into()], node_tls: true };
        let problem = registration(&request(), here).unwrap_err();
        assert!(problem.contains("must be https"), "{problem}");
        let secured = v1::RegisterRequest { control_url: "https://n1:7810".into(), ..request() };
        assert!(registration(&secured, here).is_ok());
    }
}
