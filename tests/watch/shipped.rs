//! The files that are shipped: rules and configuration, from the repository.

use std::fs;

use serde_json::Value;

use crate::{harness::repository, shortened::File};

/// One of them.
pub(crate) struct Shipped {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) file: File,
    pub(crate) text: String,
}

fn read(path: &str, file: File) -> Shipped {
    let text = fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    Shipped { path: path.to_owned(), file, text }
}

/// Recording rules and alerts.
pub(crate) fn rule_files() -> Vec<Shipped> {
    let mut files = Vec::new();
    for folder in ["alerts/recording", "alerts/rules"] {
        for entry in fs::read_dir(repository(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".yml") {
                let file = if name.starts_with("baseline") { File::Baseline } else { File::Rules };
                files.push(read(&format!("{folder}/{name}"), file));
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(files.len() >= 6, "rules are missing");
    files
}

pub(crate) fn prometheus() -> Shipped {
    read("deploy/prometheus/prometheus.yml", File::Configuration)
}

pub(crate) fn alertmanager() -> Shipped {
    read("alerts/alertmanager/alertmanager.yml", File::Configuration)
}

/// All of them.
pub(crate) fn all() -> Vec<Shipped> {
    rule_files().into_iter().chain([prometheus(), alertmanager()]).collect()
}

/// The rules of a file's content.
pub(crate) fn rules(content: &Value) -> Vec<Value> {
    let groups = content["groups"].as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
}
