//! TLS to the collector, and who we say we are.

use super::*;
use crate::io::test_authority::Authority;

fn sink_of(authority: &Authority) -> Sink {
    let pair = authority.sign(&["localhost"]);
    Sink::start_tls(&pair.certificate, &pair.key)
}

fn secured(sink: &Sink, ca_pem: &str) -> Settings {
    let endpoint = format!("https://localhost:{}", sink.addr.port());
    Settings { ca_pem: Some(ca_pem.to_owned()), ..settings(endpoint) }
}

#[test]
fn a_collector_of_a_private_authority_is_trusted_and_gets_the_authorization() {
    let authority = Authority::new();
    let sink = sink_of(&authority);
    let telemetry = telemetry(16);
    let settings = Settings { authorization: Some("Bearer hide-this".into()), ..secured(&sink, &authority.pem()) };
    assert!(!format!("{settings:?}").contains("hide-this"));
    let exporter = start(&settings, &telemetry, &LogQueue::new(100));
    observe_slow(&telemetry, 1);
    finish(&exporter);
    assert_eq!(sink.roots().len(), 1);
    assert_eq!(sink.authorizations(), [Some("Bearer hide-this".to_owned())]);
}

#[test]
fn a_collector_of_another_authority_gets_nothing_and_the_line_says_why() {
    let sink = sink_of(&Authority::new());
    let (telemetry, lines) = (telemetry(16), LogQueue::new(100));
    let settings = Settings { timeout: 500 * MS, ..secured(&sink, &Authority::new().pem()) };
    let exporter = start(&settings, &telemetry, &lines);
    observe_slow(&telemetry, 1);
    until("the loss", || traces_lost(&telemetry, "unreachable") == 1);
    finish(&exporter);
    assert_eq!(sink.calls(), 0);
    let said = said(&lines);
    assert!(said[0].1.contains("certificate"), "{said:?}");
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let wrong = |change: fn(&mut Settings)| {
        let mut settings = settings("http://127.0.0.1:1".to_owned());
        change(&mut settings);
        Exporter::start(&settings, telemetry(1), None).unwrap_err().to_string()
    };
    assert!(wrong(|s| s.endpoint = "http://".to_owned()).contains("telemetry.otlp: the endpoint"));
    let authorization = wrong(|s| s.authorization = Some("Bearer hide\nthis".into()));
    assert!(authorization.contains("telemetry.otlp.authorization_file") && !authorization.contains("hide"));
}
