//! Who is told: the configuration of Alertmanager, its routes for every alert, and the secrets that are put into it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use tempfile::TempDir;

use super::{Alert, alerts, all, run};
use crate::harness::repository;

const SECRETS: [(&str, &str); 4] = [
    ("wecom_corp_id", "ww0123456789abcdef"),
    ("wecom_api_secret", "a-Secret_of.43~characters"),
    ("dead_mans_switch_url", "https://hc.example.com/ping/6f2c?rid=1&x=%2F"),
    ("alarm_url", "https://hc.example.com/ping/6f2c/fail"),
];

fn amtool() -> Command {
    Command::new("amtool")
}

/// Who is told of what, as the table beside the configuration has it.
struct Row {
    alert: String,
    severity: String,
    domain: String,
    receiver: String,
}

fn table() -> Vec<Row> {
    let text = fs::read_to_string(repository("alerts/alertmanager/routes.tsv")).unwrap();
    let row = |line: &str| {
        let Ok([alert, severity, domain, receiver]) = <[_; 4]>::try_from(line.split('\t').collect::<Vec<_>>()) else {
            panic!("not four columns: {line}");
        };
        let [alert, severity, domain, receiver] = [alert, severity, domain, receiver].map(str::to_owned);
        Row { alert, severity, domain, receiver }
    };
    text.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// Of each alert whatever labels it may come with, and who is to be told.
fn expected(alert: &Alert, table: &[Row]) -> Vec<(Vec<String>, String)> {
    let mut domains: Vec<_> = table.iter().map(|row| row.domain.as_str()).filter(|domain| *domain != "*").collect();
    domains.sort_unstable();
    domains.dedup();
    let fits = |wanted: &str, is: &str| wanted == "*" || wanted == is;
    let told = |domain: &str| {
        let row = table.iter().find(|row| {
            fits(&row.alert, &alert.name) && fits(&row.severity, alert.severity()) && fits(&row.domain, domain)
        });
        let row = row.unwrap_or_else(|| panic!("{} ({}) of domain {domain}: in no line", alert.name, alert.severity()));
        assert_ne!(row.receiver, "unrouted", "{}", alert.name);
        let mut labels = vec![format!("alertname={}", alert.name), "cluster=c1".to_owned()];
        let own = alert.rule["labels"].as_object().unwrap();
        labels.extend(own.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())));
        labels.extend((domain != "-").then(|| format!("domain={domain}")));
        (labels, row.receiver.clone())
    };
    domains.into_iter().map(told).collect()
}

#[test]
fn every_alert_of_every_domain_reaches_whom_it_should() {
    let config = format!("--config.file={}", repository("alerts/alertmanager/alertmanager.yml").display());
    let mut jobs: Vec<_> = alerts().iter().flat_map(|alert| expected(alert, &table())).collect();
    jobs.sort();
    jobs.dedup();
    assert!(jobs.len() > 100, "{jobs:?}");
    all(&jobs, |(labels, receiver)| {
        let verify = format!("--verify.receivers={receiver}");
        run(amtool().args(["config", "routes", "test", &config, &verify]).args(labels)).map(drop)
    });
}

#[test]
fn an_alert_without_a_route_would_be_seen() {
    let config = format!("--config.file={}", repository("alerts/alertmanager/alertmanager.yml").display());
    let test = |receiver: &str| {
        let verify = format!("--verify.receivers={receiver}");
        run(amtool().args(["config", "routes", "test", &config, &verify, "alertname=X", "severity=odd"]))
    };
    test("unrouted").unwrap();
    assert!(test("page-platform").is_err());
}

#[test]
fn the_configuration_is_taken_by_amtool() {
    let said = run(amtool().arg("check-config").arg(repository("alerts/alertmanager/alertmanager.yml"))).unwrap();
    assert!(said.contains(" 1 templates"), "{said}");
}

fn render(secrets: &Path, target: &Path) -> Result<String, String> {
    run(Command::new(repository("alerts/alertmanager/render")).arg(secrets).arg(target))
}

#[test]
fn secrets_are_put_in_for_their_owner_only_and_a_bad_one_leaves_what_was() {
    let folder = TempDir::new().unwrap();
    let (secrets, target) = (folder.path().join("secrets"), folder.path().join("alertmanager.yml"));
    fs::create_dir(&secrets).unwrap();
    for (name, value) in SECRETS {
        fs::write(secrets.join(name), format!("{value}\n")).unwrap();
    }
    render(&secrets, &target).unwrap();
    let rendered = fs::read_to_string(&target).unwrap();
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for (name, value) in SECRETS {
        assert!(rendered.contains(&format!(": \"{value}\"\n")), "{name}: {rendered}");
    }
    assert!(!rendered.contains("secret.invalid") && !rendered.contains("/etc/"), "{rendered}");
    run(amtool().arg("check-config").arg(&target)).unwrap();

    for bad in ["", "two\nlines", "a: {b", "quoted\""] {
        fs::write(secrets.join("alarm_url"), bad).unwrap();
        let said = render(&secrets, &target).unwrap_err();
        assert!(said.contains("alarm_url"), "{said}");
    }
    fs::remove_file(secrets.join("alarm_url")).unwrap();
    let said = render(&secrets, &target).unwrap_err();
    assert!(said.contains("cannot be read") && SECRETS.iter().all(|(_, value)| !said.contains(value)), "{said}");
    assert_eq!(fs::read_to_string(&target).unwrap(), rendered);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half made is left");
}
