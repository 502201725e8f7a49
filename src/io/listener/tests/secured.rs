//! TLS: handshakes, certificates that change, and files that cannot be used.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

struct Pair {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
}

impl Pair {
    fn new() -> Self {
        Self::valid_until(2040)
    }

    /// Until that year begins.
    fn valid_until(year: i32) -> Self {
        let mut asked = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        asked.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let made = asked.self_signed(&key).unwrap();
        Self { certificate: made.der().clone(), certificate_pem: made.pem(), key_pem: key.serialize_pem() }
    }

    fn write(&self, folder: &Path) {
        fs::write(folder.join("tls.crt"), &self.certificate_pem).unwrap();
        fs::write(folder.join("tls.key"), &self.key_pem).unwrap();
    }
}

fn files(folder: &Path) -> TlsSettings {
    TlsSettings { certificates: folder.join("tls.crt"), key: folder.join("tls.key"), client_ca: None }
}

fn secured(folder: &Path, change: impl FnOnce(&mut ListenerSettings)) -> Running {
    start(|settings| {
        settings.tls = Some(files(folder));
        change(settings);
    })
}

/// A client that takes only this certificate.
async fn handshake(running: &Running, pair: &Pair, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(pair.certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = connect(running).await;
    let name = ServerName::try_from("localhost").unwrap();
    tokio::time::timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

async fn reloaded(running: &Running, wanted: bool) {
    running.seen.wait_for(|event| *event == Event::CertificatesReloaded { ok: wanted }).await;
}

#[tokio::test]
async fn bytes_go_both_ways_under_tls_and_http_2_is_preferred() {
    let folder = TempDir::new().unwrap();
    let pair = Pair::new();
    pair.write(folder.path());
    let running = secured(folder.path(), |_| ());
    let mut stream = handshake(&running, &pair, &[b"http/1.1", b"h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(greeting(&mut stream).await, stream.get_ref().0.local_addr().unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
    assert_eq!(running.limits.handshakes(), 0);
    let older = handshake(&running, &pair, &[b"http/1.1"]).await.unwrap();
    assert_eq!(older.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
}

#[tokio::test]
async fn a_handshake_that_never_ends_holds_nobody_up_and_is_ended_in_time() {
    let folder = TempDir::new().unwrap();
    let pair = Pair::new();
    pair.write(folder.path());
    let running = secured(folder.path(), |settings| settings.handshake_timeout = Duration::from_millis(1500));
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(&running).await);
    }
    until("they are in their handshakes", || running.limits.handshakes() == 20).await;
    greeting(&mut handshake(&running, &pair, &[]).await.unwrap()).await;
    running.seen.wait_for_shed(Code::HandshakeTimeout).await;
    for stream in &mut silent {
        assert_eq!(rest(stream).await, "");
    }
    until("all is given back", || running.limits.handshakes() == 0 && running.limits.connections() == 0).await;
}

#[tokio::test]
async fn unfinished_handshakes_are_bounded_and_end_with_the_listener() {
    let folder = TempDir::new().unwrap();
    Pair::new().write(folder.path());
    let running = secured(folder.path(), |settings| {
        settings.limits = Limits::new(LimitSettings { handshakes_max: 1, ..WIDE });
    });
    let mut held = connect(&running).await;
    until("it is in its handshake", || running.limits.handshakes() == 1).await;
    let mut refused = connect(&running).await;
    assert_eq!(rest(&mut refused).await, "");
    running.seen.wait_for_shed(Code::RouterFull).await;
    running.shutdown.cancel();
    assert_eq!(rest(&mut held).await, "");
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    let folder = TempDir::new().unwrap();
    Pair::new().write(folder.path());
    let running = secured(folder.path(), |_| ());
    let mut stream = connect(&running).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    rest(&mut stream).await;
    running.seen.wait_for_shed(Code::BadRequest).await;
    until("its place is given back", || running.limits.connections() == 0).await;
}

#[tokio::test]
async fn tls_behind_a_balancer_keeps_the_clients_address() {
    let folder = TempDir::new().unwrap();
    let pair = Pair::new();
    pair.write(folder.path());
    let running = secured(folder.path(), |settings| {
        settings.proxy_protocol = ProxyProtocol::V2;
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let mut roots = RootCertStore::empty();
    roots.add(pair.certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = connect(&running).await;
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\x10\xe1\x01\xbb";
    stream.write_all(header).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    assert_eq!(greeting(&mut stream).await, "203.0.113.7:4321".parse().unwrap());
}

#[tokio::test]
async fn new_certificates_are_taken_up_and_bad_ones_leave_the_old_in_force() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (Pair::new(), Pair::new());
    first.write(folder.path());
    let running = secured(folder.path(), |_| ());
    let mut open = handshake(&running, &first, &[]).await.unwrap();
    greeting(&mut open).await;

    fs::write(folder.path().join("tls.crt"), "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
    reloaded(&running, false).await;
    assert!(handshake(&running, &first, &[]).await.is_ok());

    second.write(folder.path());
    reloaded(&running, true).await;
    assert!(handshake(&running, &second, &[]).await.is_ok());
    assert!(handshake(&running, &first, &[]).await.is_err());
    open.write_all(b"x").await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn it_is_told_until_when_a_certificate_is_valid_at_first_and_whenever_it_changes() {
    let told =
        |unix_seconds| Event::CertificateShown { listener: "client", expires: Duration::from_secs(unix_seconds) };
    let folder = TempDir::new().unwrap();
    Pair::valid_until(2031).write(folder.path());
    let running = secured(folder.path(), |_| ());
    // date -u -d 2031-01-01 +%s
    running.seen.wait_for(|event| *event == told(1_924_992_000)).await;
    Pair::valid_until(2032).write(folder.path());
    running.seen.wait_for(|event| *event == told(1_956_528_000)).await;
}

#[tokio::test]
async fn a_mounted_volume_that_swaps_its_link_counts_as_a_change() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (Pair::new(), Pair::new());
    for (name, pair) in [("v1", &first), ("v2", &second)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        pair.write(&folder.path().join(name));
    }
    symlink("v1", folder.path().join("data")).unwrap();
    symlink("data/tls.crt", folder.path().join("tls.crt")).unwrap();
    symlink("data/tls.key", folder.path().join("tls.key")).unwrap();
    let running = secured(folder.path(), |_| ());
    assert!(handshake(&running, &first, &[]).await.is_ok());

    symlink("v2", folder.path().join("next")).unwrap();
    fs::rename(folder.path().join("next"), folder.path().join("data")).unwrap();
    reloaded(&running, true).await;
    assert!(handshake(&running, &second, &[]).await.is_ok());
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_cause_and_never_quoted() {
    let (pair, other) = (Pair::new(), Pair::new());
    let refused = |certificate: Option<&str>, key: Option<&str>| {
        let folder = TempDir::new().unwrap();
        for (name, text) in [("tls.crt", certificate), ("tls.key", key)] {
            if let Some(text) = text {
                fs::write(folder.path().join(name), text).unwrap();
            }
        }
        let mut wanted = settings(WIDE, &Seen::default());
        wanted.tls = Some(files(folder.path()));
        let text = Listener::bind(wanted).unwrap_err().to_string();
        assert!(text.contains(&folder.path().display().to_string()), "{text}");
        text
    };
    let (certificate, key) = (pair.certificate_pem.as_str(), pair.key_pem.as_str());
    assert!(refused(None, Some(key)).contains("cannot read the certificate file"));
    assert!(refused(Some(certificate), None).contains("cannot read the key file"));
    assert!(refused(Some("nothing"), Some(key)).contains("holds no certificate"));
    assert!(refused(Some(certificate), Some(certificate)).contains("holds no private key"));
    assert!(refused(Some(certificate), Some(&other.key_pem)).contains("is not the key of"));
    let broken = key.replace("\n-----END", "!secret!\n-----END");
    assert!(!refused(Some(certificate), Some(&broken)).contains("secret"));
}
