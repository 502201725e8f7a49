//! Nodes that make themselves known at the router's port.

use std::net::SocketAddr;

use tonic::{Code as Grpc, Status, transport::Channel};

use super::*;
use crate::{
    event::NodeRefusal,
    io::listener::{LimitSettings, Limits as Places, ListenerSettings, ProxyProtocol, TlsSettings},
    protocol::v1::media_registry_client::MediaRegistryClient,
};

pub(super) fn listener(tls: Option<TlsSettings>) -> Listener {
    let limits = LimitSettings { connections_max: 64, connections_per_address_max: 64, handshakes_max: 64 };
    Listener::bind(ListenerSettings {
        name: "media",
        addresses: vec!["127.0.0.1:0".parse().unwrap()],
        tls,
        tls_poll: Duration::from_millis(20),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        handshake_timeout: Duration::from_secs(5),
        limits: Places::new(limits),
        observe: Arc::new(|_| ()),
    })
    .unwrap()
}

/// A router that nodes register at.
pub(super) fn open(settings: MediaSettings, tls: Option<TlsSettings>) -> (World, SocketAddr) {
    let listener = listener(tls);
    let addr = listener.local_addrs()[0];
    (World::listening(settings, Some(listener)), addr)
}

async fn channel(addr: SocketAddr) -> Channel {
    tonic::transport::Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

async fn registry(addr: SocketAddr) -> MediaRegistryClient<Channel> {
    MediaRegistryClient::new(channel(addr).await)
}

pub(super) fn request(id: &str, url: String, incarnation: &str) -> v1::RegisterRequest {
    v1::RegisterRequest {
        id: id.into(),
        region: "sh".into(),
        control_url: url,
        incarnation: incarnation.into(),
        ..v1::RegisterRequest::default()
    }
}

fn refused(result: Result<tonic::Response<v1::RegisterReply>, Status>) -> (Grpc, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn a_node_registers_is_connected_to_and_is_gone_when_it_has_been_silent() {
    let node = FakeNode::start("n1").await;
    let (mut world, addr) = open(MediaSettings { ttl: Duration::from_millis(300), ..settings() }, None);
    let mut registry = registry(addr).await;
    let reply = registry.register(request("n1", node.url(), "x")).await.unwrap().into_inner();
    assert_eq!((reply.ttl_ms, reply.report_ms, reply.router.as_str()), (300, 100, "router-1"));
    world.fact(|fact| matches!(fact, NodeFact::Known(info) if info.base_weight == 10)).await;
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        registry.register(request("n1", node.url(), "x")).await.unwrap();
    }
    assert!(!world.facts.iter().any(|fact| matches!(fact, NodeFact::Gone { .. })));
    world.fact(|fact| matches!(fact, NodeFact::Gone { .. })).await;
    world.told(|fact| matches!(fact, MediaFact::Gone { why: "silent", .. })).await;
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::Renewed { .. })), 5);
    assert!(world.ask(offer("a"), Some(1), SOON).is_err());
}

#[tokio::test]
async fn each_registration_that_cannot_be_used_is_told_why() {
    let (world, addr) = open(settings(), None);
    let mut registry = registry(addr).await;
    let mut lying = request("n1", "http://127.0.0.1:1".into(), "x");
    lying.base_weight = 1_000_000_000;
    let (code, message) = refused(registry.register(lying).await);
    assert_eq!((code, message.as_str()), (Grpc::InvalidArgument, "base_weight: allowed: 1 to 1000, or 0 for 10"));
    let nowhere = v1::RegisterRequest { region: "mars".into(), ..request("n1", "http://127.0.0.1:1".into(), "x") };
    assert!(refused(registry.register(nowhere).await).1.contains("(sh, sz)"));
    let nameless = request("", "http://127.0.0.1:1".into(), "x");
    assert!(refused(registry.register(nameless).await).1.starts_with("id: "));
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::Refused { reason: NodeRefusal::Invalid, .. })), 3);
    let huge = v1::RegisterRequest { version: "v".repeat(100_000), ..request("n1", "http://127.0.0.1:1".into(), "x") };
    assert_eq!(refused(registry.register(huge).await).0, Grpc::OutOfRange);
}

#[tokio::test]
async fn an_id_is_one_nodes_and_a_second_one_is_told_so() {
    let (first, second) = (FakeNode::start("n1").await, FakeNode::start("n1").await);
    let (mut world, addr) = open(settings(), None);
    let mut registry = registry(addr).await;
    registry.register(request("n1", first.url(), "x")).await.unwrap();
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    let (code, message) = refused(registry.register(request("n1", second.url(), "y")).await);
    assert_eq!(code, Grpc::AlreadyExists, "{message}");
    // the first dies: the second may have the id, and what the first held is gone
    first.stop.cancel();
    first.hang_up();
    let until = Instant::now() + PATIENCE;
    while let Err(status) = registry.register(request("n1", second.url(), "y")).await {
        assert!(status.code() == Grpc::AlreadyExists && Instant::now() < until, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.fact(|fact| matches!(fact, NodeFact::Gone { .. })).await;
    world.fact(|fact| matches!(fact, NodeFact::Known(_))).await;
    assert!(!second.conduct.hellos.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_says_goodbye_gets_no_new_rooms_and_is_gone_once_it_has_none() {
    let node = FakeNode::start("n1").await;
    let (mut world, addr) = open(settings(), None);
    let mut registry = registry(addr).await;
    registry.register(request("n1", node.url(), "x")).await.unwrap();
    world.fact(|fact| matches!(fact, NodeFact::RoundTrip { .. })).await;
    node.report(|_| ()).await;
    world.fact(|fact| matches!(fact, NodeFact::Reported { load, .. } if !load.draining)).await;
    let goodbye = |incarnation: &str| v1::DeregisterRequest { id: "n1".into(), incarnation: incarnation.into() };
    assert_eq!(registry.deregister(goodbye("y")).await.unwrap_err().code(), Grpc::AlreadyExists);
    registry.deregister(goodbye("x")).await.unwrap();
    world.fact(|fact| matches!(fact, NodeFact::Reported { load, .. } if load.draining)).await;
    // its own reports say the same from now on, and its calls go on
    tokio::time::sleep(Duration::from_millis(30)).await;
    node.report(|report| report.rooms = 1).await;
    world.fact(|fact| matches!(fact, NodeFact::Reported { load, .. } if load.draining)).await;
    world.ask(offer("a"), Some(1), SOON).unwrap();
    assert!(world.outcome(1).await.is_ok());
    tokio::time::sleep(Duration::from_millis(30)).await;
    node.report(|report| report.rooms = 0).await;
    world.fact(|fact| matches!(fact, NodeFact::Gone { .. })).await;
    world.told(|fact| matches!(fact, MediaFact::Gone { why: "left", .. })).await;
    // saying it again does no harm
    registry.deregister(goodbye("x")).await.unwrap();
}

#[tokio::test]
async fn a_full_registry_and_a_node_that_flaps_are_told_to_come_back_later() {
    let (world, addr) = open(MediaSettings { nodes_max: 1, ..settings() }, None);
    let mut registry = registry(addr).await;
    let away = || "http://127.0.0.1:9".to_owned();
    registry.register(request("n1", away(), "0")).await.unwrap();
    let (code, message) = refused(registry.register(request("n2", away(), "0")).await);
    assert_eq!((code, message.as_str()), (Grpc::ResourceExhausted, "media.nodes_max: there are 1 nodes, at most 1"));
    let taken: Vec<bool> = {
        let mut taken = Vec::new();
        for n in 1..10 {
            taken.push(registry.register(request("n1", away(), &n.to_string())).await.is_ok());
        }
        taken
    };
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 5, "with the first, six a minute: {taken:?}");
    assert_eq!(world.count(|fact| matches!(fact, MediaFact::Refused { reason: NodeRefusal::Flapping, .. })), 4);
}

#[tokio::test]
async fn what_is_no_registration_is_answered_and_registration_ends_with_the_router() {
    let (world, addr) = open(settings(), None);
    let mut other = v1::media_client::MediaClient::new(channel(addr).await);
    let status = other.health(v1::HealthRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Grpc::Unimplemented);
    world.media.finish().await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{addr}")).unwrap();
    assert!(endpoint.connect().await.is_err(), "the port is closed");
}
