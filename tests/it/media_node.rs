//! The reference media node as a process: its rules, its registration, TLS, its end.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use signalbox::{
    media_check::{self, Options},
    media_node::{Tls, tls::endpoint},
    protocol::v1::{
        DeregisterRequest, FromRouter, HealthRequest, MediaDone, RegisterReply, RegisterRequest, RouterHello,
        media_client::MediaClient,
        media_registry_server::{MediaRegistry, MediaRegistryServer},
    },
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Server, ServerTlsConfig},
};

use crate::harness::{Authority, MediaNode, PATIENCE, eventually, leaks, run_to_end, within};

/// Node `m1`, which logs all that it can.
fn node(arguments: &[&str]) -> MediaNode {
    let own = ["--id", "m1", "--region", "sh", "--log-level", "trace", "--drain-seconds", "1"];
    MediaNode::start(&[&own[..], arguments].concat())
}

/// A router's registry, and what it was told.
#[derive(Clone, Default)]
struct Registry {
    registered: Arc<Mutex<Vec<RegisterRequest>>>,
    left: Arc<Mutex<Vec<DeregisterRequest>>>,
}

#[tonic::async_trait]
impl MediaRegistry for Registry {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        self.registered.lock().unwrap().push(request.into_inner());
        Ok(Response::new(RegisterReply { ttl_ms: 600, report_ms: 200, router: "r1".into() }))
    }

    async fn deregister(&self, request: Request<DeregisterRequest>) -> Result<Response<MediaDone>, Status> {
        self.left.lock().unwrap().push(request.into_inner());
        Ok(Response::new(MediaDone {}))
    }
}

impl Registry {
    /// Serves it; at which port.
    async fn serve(&self, tls: Option<ServerTlsConfig>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        let served = server.add_service(MediaRegistryServer::new(self.clone()));
        tokio::spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
        port
    }

    fn times(&self) -> usize {
        self.registered.lock().unwrap().len()
    }
}

/// A certificate for 127.0.0.1 and that name, in files of that name.
fn signed(authority: &Authority, folder: &Path, name: &str) -> Tls {
    authority.sign(&["127.0.0.1", name]).write(folder, name);
    let path = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    Tls { certificates: path("crt"), key: path("key"), client_ca: None }
}

#[tokio::test]
async fn the_process_keeps_the_contract_and_says_no_secret() {
    let mut node = node(&[]);
    let patient = Options { deadline: PATIENCE / 2, patience: PATIENCE, ..Options::default() };
    let report = media_check::check(endpoint(&format!("http://{}", node.control), None, None).unwrap(), &patient).await;
    let report = report.unwrap();
    assert!(report.passed, "{report:#?}");
    assert_eq!(report.node, "m1");
    node.terminate();
    eventually("the node's end", || node.ended().is_some()).await;
    let log = node.stderr();
    assert!(log.contains("transport connected"), "it logs at the level asked for: {log}");
    assert_eq!(leaks(&log), [""; 0]);
}

#[tokio::test]
async fn it_registers_again_and_again_and_takes_its_leave() {
    let registry = Registry::default();
    let port = registry.serve(None).await;
    let router = format!("http://127.0.0.1:{port}");
    let mut node = node(&["--router", &router, "--weight", "20", "--public-url", "wss://m1.example"]);
    eventually("three registrations", || registry.times() >= 3).await;
    let told = registry.registered.lock().unwrap()[0].clone();
    assert_eq!((told.id.as_str(), told.region.as_str(), told.variant.as_str()), ("m1", "sh", "default"));
    assert_eq!((told.base_weight, told.public_url.as_str(), told.protocol), (20, "wss://m1.example", 1));
    assert_eq!(told.control_url, format!("http://{}", node.control));
    assert!(!told.incarnation.is_empty());
    assert!(registry.registered.lock().unwrap().iter().all(|again| *again == told));

    let control = endpoint(&format!("http://{}", node.control), None, None).unwrap();
    let mut media = MediaClient::new(control.connect().await.unwrap());
    let (say, said) = tokio::sync::mpsc::channel(1);
    let hello = RouterHello { report_ms: 60_000, ..RouterHello::default() };
    say.send(FromRouter { hello: Some(hello), ..FromRouter::default() }).await.unwrap();
    let mut heard = media.watch(ReceiverStream::new(said)).await.unwrap().into_inner();
    node.terminate();
    let draining =
        async { while !heard.message().await.unwrap().unwrap().report.is_some_and(|report| report.draining) {} };
    within("a report that says that it drains, at once", draining).await;
    eventually("its leave", || registry.left.lock().unwrap().len() == 1).await;
    assert_eq!(registry.left.lock().unwrap()[0].incarnation, told.incarnation);
    eventually("its end", || node.ended().is_some_and(|status| status.success())).await;
}

#[tokio::test]
async fn a_router_that_is_not_there_yet_is_found_later() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let node = node(&["--router", &format!("http://{address}")]);
    eventually("the line that says so", || node.stderr().contains("cannot register")).await;
    let registry = Registry::default();
    let served = Server::builder().add_service(MediaRegistryServer::new(registry.clone()));
    tokio::spawn(served.serve(address));
    eventually("the registration", || registry.times() > 0).await;
}

#[tokio::test]
async fn callers_and_node_show_each_other_certificates() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let own = signed(&authority, folder.path(), "node");
    let router = signed(&authority, folder.path(), "router");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let registrar = authority.sign(&["127.0.0.1"]).identity();
    let tls = ServerTlsConfig::new().identity(registrar).client_ca_root(Certificate::from_pem(authority.pem()));
    let registry = Registry::default();
    let url = format!("https://127.0.0.1:{}", registry.serve(Some(tls)).await);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (cert, key, ca_path) = (path(&own.certificates), path(&own.key), path(&ca));
    let secured = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca_path];
    let node = node(&[&secured[..], &["--router", &url, "--router-ca", &ca_path]].concat());
    eventually("its registration", || registry.times() > 0).await;
    assert_eq!(registry.registered.lock().unwrap()[0].control_url, format!("https://{}", node.control));

    let control = format!("https://{}", node.control);
    let health = async |own: Option<&Tls>| {
        let channel = endpoint(&control, Some(&ca), own).unwrap().connect().await.map_err(|error| error.to_string())?;
        let health = MediaClient::new(channel).health(HealthRequest {}).await;
        health.map(drop).map_err(|status| status.to_string())
    };
    assert_eq!(health(Some(&router)).await, Ok(()));
    assert!(health(None).await.is_err(), "nobody calls without a certificate");
    let elsewhere = TempDir::new().unwrap();
    let stranger = signed(&Authority::new(), elsewhere.path(), "stranger");
    assert!(health(Some(&stranger)).await.is_err(), "nor with one of somebody else");
}

#[test]
fn what_cannot_be_used_is_named() {
    let started = |arguments: &[&str]| {
        let arguments = [&["media-node", "--id", "m1", "--region", "sh", "--control", "127.0.0.1:0"][..], arguments];
        let (code, _, stderr) = run_to_end(&arguments.concat());
        (code, stderr)
    };
    let (code, stderr) = started(&["--udp", "0.0.0.0:0"]);
    assert!(code == 1 && stderr.contains("announce"), "{stderr}");
    let (code, stderr) = started(&["--udp", "127.0.0.1:0", "--router", "ftp://x"]);
    assert!(code == 1 && stderr.contains("ftp://x: must begin with http:// or https://"), "{stderr}");
    let (code, stderr) = started(&["--udp", "127.0.0.1:0", "--router", "https://x"]);
    assert!(code == 1 && stderr.contains("https://x: whose certificate to trust"), "{stderr}");
    let (code, stderr) = started(&["--weight", "0"]);
    assert!(code == 64 && stderr.contains("1..=1000"), "{stderr}");
    let (code, _, stderr) = run_to_end(&["media-check", "http://127.0.0.1:1"]);
    assert!(code == 1 && stderr.contains("the node cannot be reached"), "{stderr}");
}
