//! A client over gRPC that is spoken to in JSON, like the one over WebSocket.

use std::net::SocketAddr;

use serde_json::Value;
use signalbox::protocol::{
    Encoding, decode, encode,
    v1::{ClientFrame, ServerFrame, signaling_client::SignalingClient},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, metadata::MetadataValue, transport::Endpoint};

use super::{Router, remember, within};

/// A connected client.
pub(crate) struct Stream {
    frames: mpsc::Sender<ClientFrame>,
    pushes: Streaming<ServerFrame>,
    last_id: u64,
}

impl Stream {
    /// Connected, and nothing said yet; or why not.
    pub(crate) async fn connect(router: &Router, token: &str) -> Result<Self, Status> {
        Self::connect_with(router, token, &[]).await
    }

    /// The same with more metadata.
    pub(crate) async fn connect_with(
        router: &Router,
        token: &str,
        metadata: &[(&'static str, &str)],
    ) -> Result<Self, Status> {
        Self::connect_at(router.client, token, metadata).await
    }

    /// The same at that address, whoever is there.
    pub(crate) async fn connect_at(
        at: SocketAddr,
        token: &str,
        metadata: &[(&'static str, &str)],
    ) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{at}")).unwrap();
        let channel = within("the connection", endpoint.connect_with_connector(tower::service_fn(connector))).await;
        let (frames, outgoing) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        request.metadata_mut().insert("authorization", MetadataValue::try_from(format!("Bearer {token}")).unwrap());
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, MetadataValue::try_from(*value).unwrap());
        }
        let mut client = SignalingClient::new(channel.unwrap());
        let pushes = within("the stream", client.connect(request)).await?.into_inner();
        Ok(Self { frames, pushes, last_id: 0 })
    }

    /// Sends a request under the next id and waits for its reply; pushes meanwhile are passed over.
    pub(crate) async fn ask(&mut self, mut frame: Value) -> Value {
        self.last_id += 1;
        frame["id"] = self.last_id.into();
        let frame = decode(Encoding::Json, frame.to_string().as_bytes()).unwrap();
        self.frames.send(frame).await.unwrap();
        loop {
            let frame = within("a frame", self.pushes.message()).await.unwrap().expect("the stream ended");
            let frame: Value = serde_json::from_slice(&encode(Encoding::Json, &frame)).unwrap();
            for reply in ["joined", "resumed"] {
                frame[reply]["resume_token"].as_str().map(remember);
            }
            if frame["id"] == self.last_id {
                return frame;
            }
        }
    }
}

async fn connector(to: http::Uri) -> std::io::Result<hyper_util::rt::TokioIo<tokio::net::TcpStream>> {
    let at = to.authority().expect("an address").as_str();
    Ok(hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(at).await?))
}
