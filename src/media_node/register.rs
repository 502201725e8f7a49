//! Makes the node known at one router, again and again, until it drains.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{
    ops_client::innermost,
    protocol::v1::{DeregisterRequest, RegisterRequest, media_registry_client::MediaRegistryClient},
};

const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The first wait after a failure; doubled each time, up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(10);
/// A router that asks for more would hear nothing else.
const EVERY_LEAST: Duration = Duration::from_millis(200);

/// One router that the node registers with.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) router: Endpoint,
    pub(super) request: RegisterRequest,
}

impl Registration {
    /// Until `drain`; then says good-bye.
    pub(super) async fn run(self, drain: CancellationToken) {
        let mut client = MediaRegistryClient::new(self.router.connect_lazy());
        let (mut wait, mut known) = (RETRY_FIRST, None);
        loop {
            let registered = tokio::select! {
                () = drain.cancelled() => break,
                registered = self.register(&mut client) => registered,
            };
            let pause = match registered {
                Ok(every) => {
                    if known != Some(true) {
                        tracing::info!(router = %self.router.uri(), "registered");
                    }
                    (known, wait) = (Some(true), RETRY_FIRST);
                    every
                }
                Err(why) => {
                    if known != Some(false) {
                        tracing::warn!(router = %self.router.uri(), %why, "cannot register; trying on");
                    }
                    known = Some(false);
                    let pause = wait.mul_f64(0.5 + fastrand::f64());
                    wait = (wait * 2).min(RETRY_LAST);
                    pause
                }
            };
            tokio::select! {
                () = drain.cancelled() => break,
                () = sleep(pause) => {}
            }
        }
        let goodbye = DeregisterRequest { id: self.request.id, incarnation: self.request.incarnation };
        if known == Some(true) {
            timeout(CALL_TIMEOUT, client.deregister(goodbye)).await.ok();
        }
    }

    /// How long until the next time.
    async fn register(&self, client: &mut MediaRegistryClient<Channel>) -> Result<Duration, String> {
        let reply = timeout(CALL_TIMEOUT, client.register(self.request.clone())).await;
        match reply {
            Err(_) => Err(format!("no answer within {} s", CALL_TIMEOUT.as_secs())),
            Ok(Err(status)) => {
                let cause = std::error::Error::source(&status).map(innermost);
                Err(format!("{:?}: {}", status.code(), cause.unwrap_or_else(|| status.message().to_owned())))
            }
            Ok(Ok(reply)) => Ok((Duration::from_millis(reply.into_inner().ttl_ms) / 3).max(EVERY_LEAST)),
        }
    }
}
