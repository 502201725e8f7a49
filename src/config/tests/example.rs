//! The example file holds every key and is what the program prints.

use std::collections::BTreeSet;

use super::{super::*, sources, with_file};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/signalbox.example.toml");

/// The example with every key set.
fn all_set() -> String {
    let set = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    example().lines().map(set).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_file_in_deploy_is_what_config_example_prints() {
    let file = std::fs::read_to_string(FILE).unwrap();
    assert_eq!(file, example(), "run: signalbox config example > deploy/signalbox.example.toml");
}

#[test]
fn as_it_stands_the_example_changes_nothing() {
    let loaded = with_file(&example()).unwrap();
    assert!(loaded.provenance.iter().all(|(key, source)| key == "auth.keys.app.secret" || *source == Source::Default));
}

#[test]
fn with_every_line_set_the_example_sets_every_key_to_its_default() {
    let (_dir, path) = super::file(&all_set());
    let (merged, unreadable) =
        layers::Merged::of(&Sources { file: Some(path), ..Sources::default() }, &Reading::AtStart);
    assert_eq!(unreadable, []);
    let read = read::read(&merged);
    assert_eq!(read.mistakes, []);
    assert!(read.provenance.iter().all(|(_, source)| *source != Source::Default), "{:?}", read.provenance);
    let mut expected = Config::default();
    expected.auth.keys.insert("app".to_owned(), vec![ApiKey::default()]);
    expected.auth.roles.insert("host".to_owned(), Role::default());
    expected.ice.servers.push(IceServer::default());
    expected.variants.rules.push(VariantRule::default());
    expected.media.nodes.push(MediaNode::default());
    assert_eq!(read.config, expected);
}

#[test]
fn every_key_of_the_tree_is_in_the_example_with_reason_range_and_default() {
    let text = all_set();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let keys: BTreeSet<String> = load(&sources(&[])).unwrap().provenance.into_keys().collect();
    for key in keys {
        let found = key.split('.').try_fold(&toml::Value::Table(table.clone()), |at, part| at.get(part)).is_some();
        assert!(found, "{key} is not in the example");
    }
    let lines: Vec<&str> = text.lines().collect();
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')) {
        assert!(lines[i - 1].starts_with("# Default: ") && lines[i - 2].starts_with("# Allowed: "), "{line}");
        assert!(lines[i - 3].starts_with("# "), "{line} says no reason");
    }
}
