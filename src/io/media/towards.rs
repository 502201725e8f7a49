//! A connection to a node: TCP, TLS where its address says so, HTTP/2.
//!
//! Certificates are read from their files each time, so that new ones are in force with the next connection.

use std::{error::Error as _, time::Duration};

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use super::settings::MediaSettings;
use crate::io::dialing::{causes, line};

/// A connection that says nothing for so long is asked whether it lives.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
/// And ends when it does not say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A chain of causes in one line.
const CAUSE_CHARS_MAX: usize = 200;

/// Connects. A channel would connect again by itself, to whoever is there then: it is let go of with its stream.
///
/// # Errors
/// What was in the way, in this side's words.
pub(super) async fn connect(settings: &MediaSettings, url: &str) -> Result<Channel, String> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|_| "its address cannot be used".to_owned())?
        .connect_timeout(settings.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if url.starts_with("https://") {
        let files = settings.tls.as_ref().ok_or("https needs media.node_tls.ca_file")?;
        endpoint = endpoint.tls_config(files.config().await?).map_err(|error| cause(&error))?;
    }
    match timeout(settings.connect_timeout, endpoint.connect()).await {
        Ok(connected) => connected.map_err(|error| cause(&error)),
        Err(_) => Err(format!("no connection within {:?}", settings.connect_timeout)),
    }
}

/// What lies under an error of the transport, which says only that it is one.
fn cause(error: &tonic::transport::Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), causes);
    line(&said, CAUSE_CHARS_MAX)
}
