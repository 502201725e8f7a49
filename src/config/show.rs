//! The tree written down: as it is in force, and as an example with every key.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value as Json;

use super::{
    Loaded,
    mistake::Source,
    read::env_name,
    schema::{Key, Part, Setting, Visitor, join},
    tree::Config,
};

/// One key as it is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The key.
    pub key: String,
    /// Its value; secrets are hidden.
    pub value: Json,
    /// Where it came from.
    pub source: Source,
    /// Whether another value is taken up while the router runs.
    pub live: bool,
}

impl Loaded {
    /// Every key, its value and where that came from.
    pub fn rows(&self) -> Vec<Row> {
        let mut listing = Listing { provenance: &self.provenance, rows: Vec::new() };
        self.config.clone().visit("", &mut listing);
        listing.rows
    }

    /// Files that are named and whose contents count as values. Certificates do not: listeners follow those.
    pub fn files(&self) -> Vec<PathBuf> {
        let is_value =
            |key: &str| key.ends_with("_file") && !key.ends_with(".tls.cert_file") && !key.ends_with(".tls.key_file");
        let named = self.rows().into_iter().filter(|row| is_value(&row.key));
        named.filter_map(|row| row.value.as_str().filter(|path| !path.is_empty()).map(PathBuf::from)).collect()
    }
}

struct Listing<'a> {
    provenance: &'a BTreeMap<String, Source>,
    rows: Vec<Row>,
}

impl Visitor for Listing<'_> {
    fn section(&mut self, _at: &str, _why: &'static [&'static str]) {}

    fn key<T: Setting>(&mut self, key: Key<'_>, slot: &mut T, _rule: &T::Rule) {
        let source = self.provenance.get(key.path).cloned().unwrap_or_default();
        self.rows.push(Row { key: key.path.to_owned(), value: slot.shown(), source, live: key.nature.is_live() });
    }

    fn names(&mut self, _at: &str, present: Vec<String>, _example: &str) -> Vec<String> {
        present
    }

    fn items(&mut self, at: &str, present: usize) -> Vec<String> {
        // one that was written without being a list keeps the name that it was written with
        let first = format!("{at}.0.");
        let listed = self.provenance.range(first.clone()..).next().is_some_and(|(key, _)| key.starts_with(&first));
        match (present, listed) {
            (1, false) => vec![at.to_owned()],
            _ => (0..present).map(|i| join(at, &i.to_string())).collect(),
        }
    }
}

/// The example file: every key with what it is, what is allowed, its default and its variable.
pub fn example() -> String {
    let mut example = Example { text: PREFACE.to_owned(), open: 0 };
    Config::default().visit("", &mut example);
    example.text
}

const PREFACE: &str = "\
# signalbox: every key of the configuration, each commented out and at its default.
#
# Defaults < this file < rules of the fleet (guard, variants, placement; in etcd) < environment < flags. Lists in the environment are separated by commas.
# Keys marked (live) are taken up while the router runs, for what begins from then on: when this file changes, and at
# SIGHUP. A file that changes any other key, or has a mistake, is refused as a whole until the router is started anew.
# `signalbox config check --config FILE` finds all mistakes at once; `signalbox config show` tells where each
# value came from. This file is what `signalbox config example` prints.
";

struct Example {
    text: String,
    /// How many sections of names or lists we are in: those exist only when somebody wants them.
    open: usize,
}

impl Example {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn because(&mut self, why: &[&str]) {
        for line in why {
            self.line(&format!("# {}", line.trim()));
        }
    }
}

impl Visitor for Example {
    fn section(&mut self, at: &str, why: &'static [&'static str]) {
        if at.is_empty() {
            return;
        }
        self.line("");
        self.because(why);
        match (self.open, at) {
            (0, _) => self.line(&format!("[{at}]")),
            (_, "ice.servers" | "media.nodes" | "variants.rules") => self.line(&format!("#[[{at}]]")),
            _ => self.line(&format!("#[{at}]")),
        }
        self.open = 0;
    }

    fn key<T: Setting>(&mut self, key: Key<'_>, slot: &mut T, rule: &T::Rule) {
        let name = key.path.rsplit('.').next().unwrap_or(key.path);
        self.line("");
        self.because(key.why);
        let live = if key.nature.is_live() { "  (live)" } else { "" };
        self.line(&format!("# Allowed: {}{live}", T::allowed(rule)));
        self.line(&format!("# Default: {}  ({})", slot.shown(), env_name(key.path)));
        self.line(&format!("#{name} = {}", slot.shown()));
    }

    fn names(&mut self, _at: &str, _present: Vec<String>, example: &str) -> Vec<String> {
        self.open += 1;
        vec![example.to_owned()]
    }

    fn items(&mut self, at: &str, _present: usize) -> Vec<String> {
        self.open += 1;
        vec![at.to_owned()]
    }
}
