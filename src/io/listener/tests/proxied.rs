//! PROXY protocol version 2, from those who may tell and from those who may not.

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn header(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, payload].concat()
}

fn v4(source: [u8; 4], port: u16) -> Vec<u8> {
    let ports = [port.to_be_bytes(), 443_u16.to_be_bytes()].concat();
    header(1, 0x11, &[source.as_slice(), &[10, 0, 0, 1], &ports].concat())
}

fn proxied(trusted: &str, change: impl FnOnce(&mut ListenerSettings)) -> Running {
    start(|settings| {
        settings.proxy_protocol = ProxyProtocol::V2;
        settings.trusted_proxies = vec![trusted.parse().unwrap()];
        change(settings);
    })
}

#[tokio::test]
async fn a_trusted_header_gives_the_address_and_none_of_the_bytes_behind_it_is_lost() {
    let running = proxied("127.0.0.0/8", |_| ());
    let mut stream = connect(&running).await;
    let mut sent = v4([203, 0, 113, 7], 4321);
    sent.extend_from_slice(b"after");
    stream.write_all(&sent).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "203.0.113.7:4321".parse().unwrap());
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"after");
}

#[tokio::test]
async fn a_v6_header_with_extras_is_read_whole() {
    let running = proxied("127.0.0.0/8", |_| ());
    let mut stream = connect(&running).await;
    let source: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    let addresses = [source.octets(), [0; 16]].concat();
    let payload = [addresses.as_slice(), &[0x10, 0xe1, 0x01, 0xbb], &[4, 0, 1, 42]].concat();
    stream.write_all(&header(1, 0x21, &payload)).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "[2001:db8::7]:4321".parse().unwrap());
}

#[tokio::test]
async fn a_balancer_that_speaks_for_itself_keeps_its_own_address() {
    let running = proxied("127.0.0.0/8", |_| ());
    let mut stream = connect(&running).await;
    stream.write_all(&header(0, 0, &[])).await.unwrap();
    assert_eq!(greeting(&mut stream).await, stream.local_addr().unwrap());
}

#[tokio::test]
async fn the_told_address_is_the_one_that_is_counted() {
    let running = proxied("127.0.0.0/8", |settings| {
        settings.limits = Limits::new(LimitSettings { connections_per_address_max: 1, ..WIDE });
    });
    let mut first = connect(&running).await;
    first.write_all(&v4([203, 0, 113, 7], 1)).await.unwrap();
    greeting(&mut first).await;
    let mut other = connect(&running).await;
    other.write_all(&v4([203, 0, 113, 8], 1)).await.unwrap();
    greeting(&mut other).await;
    let mut again = connect(&running).await;
    again.write_all(&v4([203, 0, 113, 7], 2)).await.unwrap();
    assert_eq!(refusal(&rest(&mut again).await), ("429".to_owned(), "too_many_connections".to_owned()));
}

#[tokio::test]
async fn a_strangers_header_is_refused_and_a_stranger_without_one_is_let_in() {
    let running = proxied("10.0.0.0/8", |_| ());
    let mut liar = connect(&running).await;
    liar.write_all(&v4([203, 0, 113, 7], 4321)).await.unwrap();
    assert_eq!(rest(&mut liar).await, "");
    running.seen.wait_for_shed(Code::PermissionDenied).await;

    let mut honest = connect(&running).await;
    honest.write_all(b"GET").await.unwrap();
    assert_eq!(greeting(&mut honest).await, honest.local_addr().unwrap());
    let mut echoed = [0; 3];
    honest.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"GET");
}

#[tokio::test]
async fn garbage_from_a_trusted_proxy_is_refused() {
    let version_one = b"PROXY TCP4 203.0.113.7 10.0.0.1 4321 443\r\n".to_vec();
    let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let wrong_version = [SIGNATURE, &[0x31, 0x11, 0, 0]].concat();
    let too_short_for_v4 = header(1, 0x11, &[1, 2, 3]);
    for garbage in [version_one, too_long, wrong_version, too_short_for_v4] {
        let running = proxied("127.0.0.0/8", |_| ());
        let mut stream = connect(&running).await;
        stream.write_all(&garbage).await.unwrap();
        assert_eq!(rest(&mut stream).await, "", "{garbage:?}");
        running.seen.wait_for_shed(Code::BadRequest).await;
        until("its place is given back", || running.limits.connections() == 0).await;
    }
}

#[tokio::test]
async fn half_a_header_ends_in_time_and_a_whole_one_beside_it_is_served() {
    let running = proxied("127.0.0.0/8", |settings| settings.handshake_timeout = Duration::from_millis(300));
    let mut half = connect(&running).await;
    half.write_all(&v4([203, 0, 113, 7], 4321)[..20]).await.unwrap();
    let mut whole = connect(&running).await;
    whole.write_all(&v4([203, 0, 113, 8], 4321)).await.unwrap();
    assert_eq!(greeting(&mut whole).await, "203.0.113.8:4321".parse().unwrap());
    assert_eq!(rest(&mut half).await, "");
    running.seen.wait_for_shed(Code::HandshakeTimeout).await;
    until("its places are given back", || running.limits.connections() == 1 && running.limits.handshakes() == 0).await;
}
