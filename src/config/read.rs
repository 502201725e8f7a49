//! Reads the merged layers into the tree and finds what does not belong there.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::Value;

use super::{
    layers::{ENV_PREFIX, Merged},
    mistake::{Mistake, Source},
    schema::{Given, Key, Part, Setting, Visitor, join},
    tree::Config,
    values::{HIDDEN, redacted},
};

/// A value in an error is cut here.
const SHOWN_CHARS_MAX: usize = 80;

/// Letters that a slip in a key changes at most.
const SLIP_MAX: usize = 3;

/// What reading found.
pub(super) struct Read {
    pub(super) config: Config,
    pub(super) provenance: BTreeMap<String, Source>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Fills a tree of defaults with what the layers say.
pub(super) fn read(merged: &Merged) -> Read {
    let mut nodes = BTreeMap::new();
    index(&merged.root, String::new(), &mut nodes);
    let mut reader = Reader { merged, nodes, keys: BTreeMap::new(), sections: BTreeSet::new(), mistakes: Vec::new() };
    let mut config = Config::default();
    config.visit("", &mut reader);
    reader.strangers(&merged.root, "");
    reader.misplaced();
    Read { config, provenance: reader.keys, mistakes: reader.mistakes }
}

/// Every node of a value by its path.
fn index<'a>(value: &'a Value, path: String, nodes: &mut BTreeMap<String, &'a Value>) {
    for (name, inside) in children(value) {
        index(inside, join(&path, &name), nodes);
    }
    nodes.insert(path, value);
}

fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Dict(_, dict) => dict.iter().map(|(name, inside)| (name.clone(), inside)).collect(),
        Value::Array(_, items) => items.iter().enumerate().map(|(i, inside)| (i.to_string(), inside)).collect(),
        _ => Vec::new(),
    }
}

struct Reader<'a> {
    merged: &'a Merged,
    nodes: BTreeMap<String, &'a Value>,
    /// Keys that exist, and where each has its value from.
    keys: BTreeMap<String, Source>,
    sections: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Visitor for Reader<'_> {
    fn section(&mut self, at: &str, _why: &'static [&'static str]) {
        self.sections.insert(at.to_owned());
    }

    fn key<T: Setting>(&mut self, key: Key<'_>, slot: &mut T, rule: &T::Rule) {
        let mut source = Source::Default;
        if let Some(value) = self.nodes.get(key.path) {
            source = self.merged.source_of(value);
            match T::decode(Given { value, text: source.is_text() }, rule) {
                Some(decoded) => *slot = decoded,
                None => self.mistakes.push(Mistake {
                    key: key.path.to_owned(),
                    value: if T::SECRET { HIDDEN.to_owned() } else { shown(value) },
                    source: source.clone(),
                    problem: format!("allowed: {}", T::allowed(rule)),
                }),
            }
        }
        self.keys.insert(key.path.to_owned(), source);
    }

    fn names(&mut self, at: &str, _present: Vec<String>, _example: &str) -> Vec<String> {
        self.sections.insert(at.to_owned());
        match self.nodes.get(at) {
            Some(Value::Dict(_, dict)) => dict.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn items(&mut self, at: &str, _present: usize) -> Vec<String> {
        self.sections.insert(at.to_owned());
        match self.nodes.get(at) {
            Some(Value::Array(_, items)) => (0..items.len()).map(|i| join(at, &i.to_string())).collect(),
            Some(Value::Dict(..)) => vec![at.to_owned()],
            _ => Vec::new(),
        }
    }
}

impl Reader<'_> {
    /// Reports what no key has asked for.
    fn strangers(&mut self, value: &Value, path: &str) {
        if self.keys.contains_key(path) {
            return;
        }
        let inside = children(value);
        let is_section = self.sections.contains(path);
        let holds_sections = matches!(value, Value::Dict(..)) || is_section && matches!(value, Value::Array(..));
        if holds_sections && (is_section || !inside.is_empty()) {
            for (name, inside) in inside {
                self.strangers(inside, &join(path, &name));
            }
            return;
        }
        if is_section {
            return;
        }
        let source = self.merged.source_of(value);
        let problem = self.unknown(path, &source);
        // whatever stands at an unknown place may be a secret with a slip in its key
        self.mistakes.push(Mistake { key: path.to_owned(), value: HIDDEN.to_owned(), source, problem });
    }

    /// Reports values where sections belong, layer by layer: a later layer may hide them and what they replaced.
    fn misplaced(&mut self) {
        for (source, value) in self.merged.layers() {
            let mut nodes = BTreeMap::new();
            index(value, String::new(), &mut nodes);
            let is_value = |value: &Value| !matches!(value, Value::Dict(..) | Value::Array(..));
            for (path, _) in nodes.into_iter().filter(|(path, value)| self.sections.contains(path) && is_value(value)) {
                let problem = "is a section with keys, not a value".to_owned();
                self.mistakes.push(Mistake { key: path, value: HIDDEN.to_owned(), source: source.clone(), problem });
            }
        }
    }

    fn unknown(&self, path: &str, source: &Source) -> String {
        let Some(meant) = self.close_to(path) else { return "unknown key".to_owned() };
        match source {
            Source::Env(_) => format!("unknown key; did you mean {}?", env_name(meant)),
            _ => format!("unknown key; did you mean {meant}?"),
        }
    }

    /// The known key that was probably meant: a slip away, cut short, or the same word in another section.
    fn close_to(&self, path: &str) -> Option<&str> {
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        let nearest = self.keys.keys().map(|key| (distance(path, key), key)).min()?;
        let slip = (nearest.0 <= SLIP_MAX).then_some(nearest.1);
        let slip = slip.or_else(|| self.keys.keys().find(|key| key.starts_with(path)));
        slip.or_else(|| self.keys.keys().find(|key| last(key) == last(path))).map(String::as_str)
    }
}

/// The variable for a key.
pub(super) fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// A value for an error: cut, without names and passwords of URLs.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(_, text) => format!("{:?}", redacted(text)),
        Value::Array(_, items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Dict(..) => "a table".to_owned(),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Char(_, char) => format!("{char:?}"),
        Value::Num(_, num) => num.to_i128().map_or_else(
            || num.to_u128().map_or_else(|| num.to_f64().unwrap_or_default().to_string(), |n| n.to_string()),
            |n| n.to_string(),
        ),
        Value::Empty(..) => String::new(),
    };
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Edit distance (Levenshtein): how many letters to add, drop or change.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
