//! The scrape configurations in `profiling/scrape`: they can be read, and ask a router for CPU profiles and nothing else.
//!
//! Neither Alloy nor Parca is in any package registry that a test could take it from, so what they check is checked here
//! by hand: YAML by a parser, Alloy's syntax by its blocks.

use serde_json::{Value, json};

const ALLOY: &str = include_str!("../../profiling/scrape/alloy.alloy");
const PARCA: &str = include_str!("../../profiling/scrape/parca.yaml");
const PYROSCOPE: &str = include_str!("../../profiling/scrape/pyroscope.yaml");

/// What both have on unless told otherwise.
const NOT_OURS: [&str; 4] = ["memory", "block", "goroutine", "mutex"];

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn seconds(text: &Value) -> u64 {
    humantime::parse_duration(text.as_str().unwrap()).unwrap().as_secs()
}

/// Blocks by their path, each with its attributes: `pyroscope.scrape/profiling_config/profile.memory`.
///
/// # Panics
/// At a line that is no part of a block, and at brackets that do not match.
fn blocks(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut open: Vec<String> = Vec::new();
    let mut blocks: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut in_list = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        assert_eq!(line.matches('"').count() % 2, 0, "{line}");
        if in_list {
            assert!(line == "]" || (line.starts_with('{') && line.ends_with("},")), "{line}");
            in_list = line != "]";
        } else if line == "}" {
            open.pop().expect("a block to end");
        } else if let Some(head) = line.strip_suffix(" {") {
            open.push(head.split(" \"").next().unwrap().to_owned());
            blocks.push((open.join("/"), Vec::new()));
        } else {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("no attribute: {line}"));
            in_list = value.trim() == "[";
            let path = open.join("/");
            let (_, attributes) = blocks.iter_mut().rfind(|(known, _)| *known == path).unwrap();
            attributes.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    assert!(open.is_empty() && !in_list, "{open:?} has no end");
    blocks
}

fn attribute<'a>(blocks: &'a [(String, Vec<(String, String)>)], path: &str, name: &str) -> &'a str {
    let (_, attributes) = blocks.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("no block {path}"));
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.trim_matches('"')).unwrap_or_else(|| panic!("{path} has no {name}"))
}

#[test]
fn alloy_asks_for_cpu_only_and_its_times_fit() {
    let blocks = blocks(ALLOY);
    let of = |kind: &str, name| attribute(&blocks, &format!("pyroscope.scrape/profiling_config/profile.{kind}"), name);
    assert_eq!([of("process_cpu", "enabled"), of("process_cpu", "delta")], ["true", "true"]);
    assert_eq!(of("process_cpu", "path"), "/debug/pprof/profile");
    for kind in NOT_OURS {
        assert_eq!(of(kind, "enabled"), "false", "{kind}");
    }
    let scrape = |name| seconds(&json!(attribute(&blocks, "pyroscope.scrape", name)));
    let (interval, recorded) = (scrape("scrape_interval"), scrape("delta_profiling_duration"));
    assert!((2..=300).contains(&recorded) && recorded < interval, "Alloy refuses {recorded} s in {interval} s");
    assert!(scrape("scrape_timeout") > 0);
    assert!(attribute(&blocks, "pyroscope.scrape", "forward_to").contains("pyroscope.write.local.receiver"));
    assert!(attribute(&blocks, "pyroscope.write/endpoint", "url").ends_with(":4040"));
}

#[test]
fn parca_asks_for_cpu_only_and_its_times_fit() {
    let config = yaml(PARCA);
    assert!(config["object_storage"]["bucket"]["type"].is_string(), "Parca requires it: {config}");
    for scrape in config["scrape_configs"].as_array().unwrap() {
        let kinds = scrape["profiling_config"]["pprof_config"].as_object().unwrap();
        let cpu = json!({ "enabled": true, "path": "/debug/pprof/profile", "delta": true });
        assert_eq!(kinds["process_cpu"], cpu);
        for kind in NOT_OURS {
            assert_eq!(kinds[kind], json!({ "enabled": false }), "{kind}");
        }
        assert_eq!(kinds.len(), 1 + NOT_OURS.len(), "{kinds:?}");
        let (interval, timeout) = (seconds(&scrape["scrape_interval"]), seconds(&scrape["scrape_timeout"]));
        assert!(interval <= 300 && timeout > interval, "Parca refuses {timeout} s of {interval} s");
        assert!(scrape.get("params").is_none(), "{scrape}");
    }
}

#[test]
fn pyroscope_listens_where_alloy_pushes_and_scrapes_nothing() {
    let config = yaml(PYROSCOPE);
    assert_eq!(config["server"]["http_listen_port"], 4040);
    assert!(config["limits"]["max_profile_size_bytes"].as_u64().unwrap() > 4 << 20, "{config}");
    assert!(config.as_object().unwrap().keys().all(|key| !key.contains("scrape")), "{config}");
}
