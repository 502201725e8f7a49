//! The tests' media node at a real router: it registers and reports by itself.

use std::time::Duration;

use signalbox::protocol::v1::{self, FromNode, media_registry_client::MediaRegistryClient};
use tonic::{Response, Status, transport::Endpoint};

use self::fake::load;
pub(super) use self::fake::{FakeNode, Manner};
use crate::harness::Router;

#[allow(dead_code)] // the tests beside the code use the rest of it
#[path = "../../../src/io/media/tests/node.rs"]
mod fake;

/// A router hears of its load so often.
const REPORT_EVERY: Duration = Duration::from_millis(500);

impl FakeNode {
    /// Of that id, with an incarnation of its own; reports as long as it runs.
    pub(super) async fn real(id: &str) -> Self {
        let node = Self::start(id).await;
        *node.conduct.incarnation.lock().unwrap() = node.addr.to_string();
        let (conduct, stop) = (node.conduct.clone(), node.stop.clone());
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let mut every = tokio::time::interval(REPORT_EVERY);
            loop {
                every.tick().await;
                conduct.say(FromNode { report: Some(load()), ..FromNode::default() }).await;
            }
        }));
        node
    }

    /// At the port where the router takes registrations.
    pub(super) async fn register(&self, router: &Router) -> Result<v1::RegisterReply, Status> {
        let registry = router.media.expect("nodes cannot register");
        let endpoint = Endpoint::from_shared(format!("http://{registry}")).unwrap();
        let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = v1::RegisterRequest {
            id: self.conduct.id.lock().unwrap().clone(),
            region: "default".into(),
            control_url: self.url(),
            incarnation: self.conduct.incarnation.lock().unwrap().clone(),
            ..v1::RegisterRequest::default()
        };
        MediaRegistryClient::new(channel).register(request).await.map(Response::into_inner)
    }

    pub(super) async fn push(&self, push: v1::MediaPush) {
        self.say(FromNode { push: Some(push), ..FromNode::default() }).await;
    }

    /// Without a word.
    pub(super) fn die(&self) {
        self.stop.cancel();
        self.hang_up();
    }

    /// Until the router has ended its stream.
    pub(super) async fn left(&self) {
        self.conduct.left.cancelled().await;
    }
}
