//! What the keys of `telemetry.otlp` need of each other, and of the files they name.

use http::Uri;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Check, read_bounded};
use crate::{
    auth::settings::Secret,
    config::tree::{Config, Otlp},
};

/// The certificates of a whole system are about 220 KiB.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Check<'_> {
    pub(super) fn otlp(&mut self, config: &mut Config) {
        let otlp = &mut config.telemetry.otlp;
        self.otlp_endpoint(otlp);
        if let Some(path) = otlp.ca_file.clone() {
            let shown = path.display().to_string();
            match read_bounded(&path, CA_FILE_BYTES_MAX, self.files) {
                Ok(pem) if holds_certificates(&pem) => otlp.ca = Some(pem),
                Ok(_) => self.mistake("telemetry.otlp.ca_file", shown, "holds no certificate in PEM that can be read"),
                Err(cause) => self.mistake("telemetry.otlp.ca_file", shown, format!("cannot read it: {cause}")),
            }
        }
        let key = "telemetry.otlp.authorization_file";
        let text = otlp.authorization_file.as_ref().and_then(|path| self.file(key, path));
        if text.as_ref().is_some_and(|text| !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())) {
            let shown = otlp.authorization_file.as_ref().map(|path| path.display().to_string());
            self.mistake(key, shown.unwrap_or_default(), "must hold one line of printable ASCII, as `Bearer …`");
        } else {
            otlp.authorization = text.map(Secret::from);
        }
    }

    fn otlp_endpoint(&mut self, otlp: &Otlp) {
        let key = "telemetry.otlp.endpoint";
        let Some(endpoint) = &otlp.endpoint else {
            if otlp.logs {
                self.mistake(key, "", "needed beside telemetry.otlp.logs");
            }
            return;
        };
        let Ok(uri) = endpoint.as_str().parse::<Uri>() else { return };
        let shown = format!("{endpoint:?}");
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            self.mistake(key, shown.clone(), "put credentials into telemetry.otlp.authorization_file");
        }
        if uri.path_and_query().is_some_and(|path| path != "/") {
            let problem = "OTLP over gRPC has no path: give scheme, host and port only (usually port 4317)";
            self.mistake(key, shown, problem);
        }
        match (uri.scheme_str() == Some("https"), &otlp.ca_file) {
            (true, None) => self.mistake("telemetry.otlp.ca_file", "", format!("needed, because {key} is https")),
            (false, Some(path)) => {
                let problem = format!("of no use, because {key} is not https");
                self.mistake("telemetry.otlp.ca_file", path.display().to_string(), problem);
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}

pub(super) fn holds_certificates(pem: &str) -> bool {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.is_ok_and(|all| !all.is_empty())
}
