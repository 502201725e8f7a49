//! Mutual TLS, on both ways: nodes that register, and nodes that are called.

use std::{fs, net::SocketAddr, path::Path};

use tempfile::TempDir;
use tonic::{
    Code as Grpc, Status,
    transport::{Certificate, ClientTlsConfig, Endpoint, ServerTlsConfig},
};

use super::{
    registering::{open, request},
    *,
};
use crate::{
    event::NodeRefusal,
    io::{
        dialing::TlsFiles,
        listener::TlsSettings,
        test_authority::{Authority, Pair},
    },
    protocol::v1::media_registry_client::MediaRegistryClient,
};

/// The port's certificate, and who signs those of nodes.
fn listening(folder: &Path, own: &Authority, nodes: &Authority) -> TlsSettings {
    own.sign(&["localhost"]).write(folder, "router");
    fs::write(folder.join("nodes.pem"), nodes.pem()).unwrap();
    TlsSettings {
        certificates: folder.join("router.crt"),
        key: folder.join("router.key"),
        client_ca: Some(folder.join("nodes.pem")),
    }
}

async fn register(
    addr: SocketAddr,
    authority: &Authority,
    pair: Option<&Pair>,
    request: v1::RegisterRequest,
) -> Result<v1::RegisterReply, Status> {
    let mut tls =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem())).domain_name("localhost");
    if let Some(pair) = pair {
        tls = tls.identity(pair.identity());
    }
    let endpoint = Endpoint::from_shared(format!("https://{addr}")).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
    MediaRegistryClient::new(channel).register(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_node_registers_under_the_name_that_its_certificate_has_and_under_no_other() {
    let (folder, routers, nodes) = (TempDir::new().unwrap(), Authority::new(), Authority::new());
    let (world, addr) = open(settings(), Some(listening(folder.path(), &routers, &nodes)));
    let node = nodes.sign(&["n1", "node.example"]);
    let asked = |id: &str| request(id, "http://127.0.0.1:9".into(), "x");
    register(addr, &routers, Some(&node), asked("n1")).await.unwrap();
    register(addr, &routers, Some(&node), asked("node.example")).await.unwrap();
    for other in ["n2", "N1", "n1.example", "example"] {
        let refused = register(addr, &routers, Some(&node), asked(other)).await.unwrap_err();
        assert_eq!(refused.code(), Grpc::PermissionDenied, "{other}");
    }
    let is_certificate = |fact: &MediaFact| matches!(fact, MediaFact::Refused { reason: NodeRefusal::Certificate, .. });
    assert_eq!(world.count(is_certificate), 4);
}

#[tokio::test]
async fn who_shows_no_certificate_or_a_strangers_does_not_get_as_far_as_registering() {
    let (folder, routers, nodes) = (TempDir::new().unwrap(), Authority::new(), Authority::new());
    let (world, addr) = open(settings(), Some(listening(folder.path(), &routers, &nodes)));
    let stranger = Authority::new().sign(&["n1"]);
    for pair in [None, Some(&stranger)] {
        let refused =
            register(addr, &routers, pair, request("n1", "http://127.0.0.1:9".into(), "x")).await.unwrap_err();
        assert!([Grpc::Unavailable, Grpc::Unknown, Grpc::Internal].contains(&refused.code()), "{refused:?}");
    }
    assert_eq!(world.told.lock().unwrap().len(), 0, "neither known nor refused by name");
}

#[tokio::test]
async fn who_signs_for_nodes_can_change_while_the_port_is_open() {
    let (folder, routers, nodes) = (TempDir::new().unwrap(), Authority::new(), Authority::new());
    let (_world, addr) = open(settings(), Some(listening(folder.path(), &routers, &nodes)));
    let newer = Authority::new();
    let (before, after) = (nodes.sign(&["n1"]), newer.sign(&["n1"]));
    let asked = || request("n1", "http://127.0.0.1:9".into(), "x");
    register(addr, &routers, Some(&before), asked()).await.unwrap();
    fs::write(folder.path().join("nodes.pem"), newer.pem()).unwrap();
    let until = Instant::now() + PATIENCE;
    while register(addr, &routers, Some(&after), asked()).await.is_err() {
        assert!(Instant::now() < until, "the new authority is not taken up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(register(addr, &routers, Some(&before), asked()).await.is_err(), "the old one is still trusted");
}

/// A node that asks who calls for a certificate of that authority.
async fn secured_node(nodes: &Authority, routers: &Authority) -> FakeNode {
    let tls = ServerTlsConfig::new()
        .identity(nodes.sign(&["localhost"]).identity())
        .client_ca_root(Certificate::from_pem(routers.pem()));
    FakeNode::secured("n1", tls).await
}

fn towards(folder: &Path, nodes: &Authority, own: Option<&Pair>) -> TlsFiles {
    fs::write(folder.join("nodes.pem"), nodes.pem()).unwrap();
    let own = own.map(|own| {
        own.write(folder, "own");
        (folder.join("own.crt"), folder.join("own.key"))
    });
    TlsFiles { ca: folder.join("nodes.pem"), own }
}

#[tokio::test]
async fn nodes_are_called_over_mutual_tls() {
    let (folder, routers, nodes) = (TempDir::new().unwrap(), Authority::new(), Authority::new());
    let node = secured_node(&nodes, &routers).await;
    let mut around = settings();
    around.tls = Some(towards(folder.path(), &nodes, Some(&routers.sign(&["router-1"]))));
    around.nodes.push(fixed("n1", format!("https://localhost:{}", node.addr.port())));
    let mut world = World::with(around);
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    world.ask(offer("a"), Some(1), SOON).unwrap();
    assert!(world.outcome(1).await.is_ok());
}

#[tokio::test]
async fn a_node_that_does_not_trust_us_or_that_we_do_not_trust_is_not_connected() {
    let (routers, nodes) = (Authority::new(), Authority::new());
    let node = secured_node(&nodes, &routers).await;
    let stranger = Authority::new();
    let (own, theirs) = (routers.sign(&["router-1"]), stranger.sign(&["router-1"]));
    for (trusted, shown) in [(&stranger, Some(&own)), (&nodes, Some(&theirs)), (&nodes, None)] {
        let folder = TempDir::new().unwrap();
        let mut around = settings();
        around.tls = Some(towards(folder.path(), trusted, shown));
        around.nodes.push(fixed("n1", format!("https://localhost:{}", node.addr.port())));
        let world = World::with(around);
        world.told(|fact| matches!(fact, MediaFact::StreamDown { .. })).await;
        assert_eq!(world.count(|fact| matches!(fact, MediaFact::StreamUp { .. })), 0);
        assert!(world.ask(offer("a"), Some(1), SOON).is_err());
    }
}
