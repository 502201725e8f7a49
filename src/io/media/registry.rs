//! `signalbox.v1.MediaRegistry`: where nodes make themselves known.
//!
//! Over mutual TLS a node speaks for itself only: its certificate has to name the id. What is refused is told by name, to
//! the node and as an event.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tonic::{Request, Response, Status};
use tower::Service as _;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::{
    Shared,
    known::Refused,
    wanted::{self, Here},
};
use crate::{
    event::{MediaFact, NodeRefusal},
    ids::NodeId,
    io::listener::{Accepted, Listener},
    protocol::v1::{
        self,
        media_registry_server::{MediaRegistry, MediaRegistryServer},
    },
};

/// A registration has some hundred bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// A connection that says nothing for so long is asked whether it lives.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// And ends when it does not say so.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A node asks one thing at a time.
const STREAMS_MAX: u32 = 16;

/// Takes registrations until the router closes.
pub(super) async fn serve(listener: Listener, shared: Arc<Shared>) {
    let closing = shared.closing.clone();
    let handle = move |accepted| connection(shared.clone(), accepted);
    if let Err(error) = listener.run(closing, handle).await {
        tracing::error!(%error, "the port that media nodes register at cannot be served");
    }
}

/// The names that the other side's certificate has; absent: it showed none, and need not.
#[derive(Clone, Debug)]
struct Shown(Option<Arc<[String]>>);

async fn connection(shared: Arc<Shared>, accepted: Accepted) {
    let Accepted { stream, peer: _, permit } = accepted;
    let shown = Shown(stream.peer_certificate().map(|certificate| names(certificate)));
    let closing = shared.closing.clone();
    let registry = MediaRegistryServer::new(Registry { shared }).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(shown.clone());
        let answered = registry.clone().call(request.map(tonic::body::Body::new));
        async move { answered.await.map_err(|never: Infallible| never) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // errors are the other side's: it went away, or spoke no HTTP/2
        _ = connection.as_mut() => {}
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await.ok();
        }
    }
    drop(permit);
}

/// The DNS names of a certificate's subject; one that cannot be read names nobody.
fn names(certificate: &[u8]) -> Arc<[String]> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Arc::new([]) };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|names| &names.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

struct Registry {
    shared: Arc<Shared>,
}

impl Registry {
    /// Tells a refusal, and makes it the status that the contract has for it.
    fn refuse(&self, node: Option<NodeId>, Refused { reason, why }: Refused) -> Status {
        let status = match reason {
            NodeRefusal::Certificate => Status::permission_denied(&why),
            NodeRefusal::Taken => Status::already_exists(&why),
            NodeRefusal::Full | NodeRefusal::Flapping => Status::resource_exhausted(&why),
            NodeRefusal::Invalid | NodeRefusal::Stranger | NodeRefusal::Garbage => Status::invalid_argument(&why),
        };
        self.shared.observe(MediaFact::Refused { node, reason, why });
        status
    }

    fn invalid(&self, node: Option<NodeId>, why: String) -> Status {
        self.refuse(node, Refused { reason: NodeRefusal::Invalid, why })
    }

    /// Whether who asks may speak for that node.
    fn speaks_for(&self, shown: Option<&Shown>, node: &NodeId) -> Result<(), Status> {
        // the listener let in who shows none: it asks for none
        let Some(Shown(Some(names))) = shown else { return Ok(()) };
        if names.iter().any(|name| name == node.as_str()) {
            return Ok(());
        }
        let why = "the certificate has no DNS name in its SAN that is the node's id".to_owned();
        Err(self.refuse(Some(node.clone()), Refused { reason: NodeRefusal::Certificate, why }))
    }
}

#[tonic::async_trait]
impl MediaRegistry for Registry {
    async fn register(&self, request: Request<v1::RegisterRequest>) -> Result<Response<v1::RegisterReply>, Status> {
        let shared = &self.shared;
        let shown = request.extensions().get::<Shown>().cloned();
        let request = request.into_inner();
        let settings = shared.settings.load_full();
        let id = wanted::id(&request.id).map_err(|why| self.invalid(None, why))?;
        self.speaks_for(shown.as_ref(), &id)?;
        let here = Here { regions: &settings.regions, node_tls: settings.tls.is_some() };
        let told = wanted::registration(&request, here).map_err(|why| self.invalid(Some(id.clone()), why))?;
        shared.register(told).map_err(|refused| self.refuse(Some(id), refused))?;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(Response::new(v1::RegisterReply {
            ttl_ms: milliseconds(settings.ttl),
            report_ms: milliseconds(settings.report),
            router: settings.router.clone(),
        }))
    }

    async fn deregister(&self, request: Request<v1::DeregisterRequest>) -> Result<Response<v1::MediaDone>, Status> {
        let shown = request.extensions().get::<Shown>().cloned();
        let request = request.into_inner();
        let id = wanted::id(&request.id).map_err(|why| self.invalid(None, why))?;
        self.speaks_for(shown.as_ref(), &id)?;
        let incarnation = wanted::incarnation(&request.incarnation);
        let incarnation = incarnation.map_err(|why| self.invalid(Some(id.clone()), why))?;
        self.shared.deregister(&id, incarnation).map_err(|refused| self.refuse(Some(id), refused))?;
        Ok(Response::new(v1::MediaDone {}))
    }
}
