//! `telemetry.otlp`: what its keys need of each other and of their files.

use super::{super::*, file, mistake, sources, with_file};

fn problem(keys: &str, of: &str) -> String {
    let error = with_file(&format!("[telemetry.otlp]\n{keys}\n")).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    mistake(&error, &format!("telemetry.otlp.{of}")).problem.clone()
}

#[test]
fn without_an_endpoint_nothing_is_exported() {
    let loaded = load(&sources(&[])).unwrap();
    assert_eq!(loaded.config.otlp_settings("r-7").map(|settings| settings.endpoint), None);
    assert!(problem("logs = true", "endpoint").contains("needed beside telemetry.otlp.logs"));
}

#[test]
fn certificates_and_authorization_come_from_their_files_and_the_latter_is_never_shown() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (_ca, ca_file) = file(&made.cert.pem());
    let (_token, token_file) = file("Bearer hide-this\n");
    let keys = format!(
        "[telemetry.otlp]\nendpoint = \"https://collector:4317\"\nca_file = {ca_file:?}\n\
         authorization_file = {token_file:?}\nresource_attributes = [\"deployment.environment.name=a=b\"]\n"
    );
    let loaded = with_file(&keys).unwrap();
    let settings = loaded.config.otlp_settings("r-7").unwrap();
    assert_eq!(settings.ca_pem, Some(made.cert.pem()));
    assert_eq!(settings.authorization, Some(Secret::from("Bearer hide-this")));
    assert_eq!(settings.resource.instance_id, "r-7");
    assert_eq!(settings.resource.attributes, [("deployment.environment.name".to_owned(), "a=b".to_owned())]);
    assert!(!format!("{settings:?}{loaded:?}{:?}", loaded.rows()).contains("hide-this"));
}

#[test]
fn what_does_not_go_together_is_named() {
    let https = "endpoint = \"https://collector:4317\"";
    assert!(problem(https, "ca_file").contains("needed, because telemetry.otlp.endpoint is https"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (_ca, ca_file) = file(&made.cert.pem());
    let http = "endpoint = \"http://collector:4317\"";
    assert!(problem(&format!("{http}\nca_file = {ca_file:?}"), "ca_file").contains("not https"));
    for (endpoint, told) in [
        ("http://c:4318/v1/traces", "has no path"),
        ("http://c:4317/?x", "has no path"),
        ("http://a:b@c", "credentials"),
    ] {
        assert!(problem(&format!("endpoint = \"{endpoint}\""), "endpoint").contains(told), "{endpoint}");
    }
    assert!(problem("endpoint = \"grpc://c:4317\"", "endpoint").contains("http:// or https://"));
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_its_contents_are_not() {
    let https = "endpoint = \"https://collector:4317\"";
    for (text, told) in [
        ("no certificate", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "holds no certificate"),
        (&"x".repeat(2 << 20), "longer than"),
    ] {
        let (_dir, path) = file(text);
        assert!(problem(&format!("{https}\nca_file = {path:?}"), "ca_file").contains(told));
    }
    let absent = format!("{https}\nca_file = \"/nonexistent/ca.pem\"");
    assert!(problem(&absent, "ca_file").contains("No such file"));
    let (_dir, path) = file("Bearer hide-this\nBearer hide-that\n");
    let keys = format!("endpoint = \"http://collector:4317\"\nauthorization_file = {path:?}");
    let told = problem(&keys, "authorization_file");
    assert!(told.contains("one line of printable ASCII") && !told.contains("hide"), "{told}");
}

#[test]
fn a_resource_attribute_is_a_name_and_a_value_and_not_the_services_own() {
    for bad in ["", "x", "=x", "x=", "a b=c", "service.name=other", "service.instance.id=1"] {
        let told = problem(&format!("resource_attributes = [{bad:?}]"), "resource_attributes");
        assert!(told.contains("name=value"), "{bad}: {told}");
    }
}
