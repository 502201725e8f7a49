//! The same frames as a gRPC bidirectional stream, each session on a connection of its own.

use std::{io, net::IpAddr, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, metadata::MetadataValue, transport::Endpoint};

use super::{ClientError, Target, wire::Wire};
use crate::protocol::v1::{ClientFrame, ServerFrame, signaling_client::SignalingClient};

/// Frames that wait for the stream to take them.
const WAITING_FRAMES_MAX: usize = 64;

/// One open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) frames: mpsc::Sender<ClientFrame>,
    pub(super) pushes: Box<Streaming<ServerFrame>>,
}

pub(super) async fn open(target: &Arc<Target>, token: &str, source: Option<IpAddr>) -> Result<Stream, ClientError> {
    // TLS is below the connector, so that the channel need not know of it
    let host = target.uri.authority().map_or("", |host| host.as_str());
    let endpoint = Endpoint::from_shared(format!("http://{host}")).map_err(|e| ClientError::Target(e.to_string()))?;
    let at = target.clone();
    let connector = tower::service_fn(move |_| {
        let at = at.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(Wire::connect(at.address, source, at.tls.as_ref()).await?)) }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(|e| ClientError::Lost(reason(&e)))?;
    let (frames, outgoing) = mpsc::channel(WAITING_FRAMES_MAX);
    let mut request = Request::new(ReceiverStream::new(outgoing));
    if !token.is_empty() {
        let value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| ClientError::Target("the token holds characters that no header can carry".to_owned()))?;
        request.metadata_mut().insert("authorization", value);
    }
    let pushes = SignalingClient::new(channel).connect(request).await.map_err(ended)?.into_inner();
    Ok(Stream { frames, pushes: Box::new(pushes) })
}

/// The end of a stream: the code's name stands before the colon of the status' message.
pub(super) fn ended(status: tonic::Status) -> ClientError {
    let (name, text) = status.message().split_once(": ").unwrap_or(("", status.message()));
    match crate::protocol::Code::by_name(name) {
        Some(code) => ClientError::Closed { number: code.number(), reason: text.to_owned() },
        None => ClientError::Lost(format!("{:?}: {}", status.code(), status.message())),
    }
}

/// An error and what caused it: the cause is what tells a refused connection from a lost one.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
