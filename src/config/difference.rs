//! What differs between two configurations, secrets hidden, and whether that can change while the router runs.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    schema::{Key, Nature, Part, Setting, Visitor, join},
    tree::Config,
};
use crate::event::Changed;

/// Stands for a key that is not there.
const ABSENT: &str = "(none)";
/// What an entry of a map or list that was not set says; of new entries these are not told.
const UNSET: [&str; 3] = ["\"\"", "[]", "false"];

/// Keys whose values differ, in the order of their names.
pub(super) fn differences(old: &Config, new: &Config) -> Vec<Changed> {
    let (old, new) = (leaves(old), leaves(new));
    let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let all: Vec<Changed> = keys.into_iter().filter_map(|key| change(key, old.get(key), new.get(key))).collect();
    let told: Vec<Changed> = all.iter().filter(|change| !is_filler(change)).cloned().collect();
    if told.is_empty() { all } else { told }
}

fn change(key: &str, old: Option<&Leaf>, new: Option<&Leaf>) -> Option<Changed> {
    let either = old.or(new)?;
    if old.map(|leaf| leaf.digest) == new.map(|leaf| leaf.digest) {
        return None;
    }
    let shown = |leaf: Option<&Leaf>| leaf.map_or_else(|| ABSENT.to_owned(), |leaf| leaf.shown.clone());
    let (from, mut to) = (shown(old), shown(new));
    if from == to {
        // a secret, or what is in a file
        to.push_str(" (other content)");
    }
    Some(Changed { key: key.to_owned(), from, to, live: either.nature.is_live() })
}

fn is_filler(change: &Changed) -> bool {
    let unset = |value: &str| UNSET.contains(&value);
    change.from == ABSENT && unset(&change.to) || change.to == ABSENT && unset(&change.from)
}

/// The first 48 bits of a hash of every value that routers of one fleet have in common: neither secrets nor what is of
/// one router alone. As many as a gauge holds exactly.
pub(super) fn hash(config: &Config) -> u64 {
    let mut hasher = Sha256::new();
    for (key, leaf) in leaves(config) {
        if !leaf.secret && leaf.nature != Nature::Own {
            hasher.update(format!("{key}={}\n", leaf.shown));
        }
    }
    hasher.finalize().iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

struct Leaf {
    shown: String,
    /// Of the whole value, and of what is in the file that it names.
    digest: [u8; 32],
    nature: Nature,
    secret: bool,
}

#[derive(Default)]
struct Leaves(BTreeMap<String, Leaf>);

fn leaves(config: &Config) -> BTreeMap<String, Leaf> {
    let mut leaves = Leaves::default();
    config.clone().visit("", &mut leaves);
    leaves.0
}

impl Visitor for Leaves {
    fn section(&mut self, _at: &str, _why: &'static [&'static str]) {}

    fn key<T: Setting>(&mut self, key: Key<'_>, slot: &mut T, _rule: &T::Rule) {
        let digest = Sha256::digest(slot.whole().to_string()).into();
        let shown = slot.shown().to_string();
        let leaf = Leaf { shown, digest, nature: key.nature, secret: T::SECRET };
        self.0.insert(key.path.to_owned(), leaf);
    }

    fn contents<T: Setting>(&mut self, key: &str, contents: &T) {
        if let Some(leaf) = self.0.get_mut(key) {
            let whole = contents.whole().to_string();
            leaf.digest = Sha256::new().chain_update(leaf.digest).chain_update(whole).finalize().into();
        }
    }

    fn names(&mut self, _at: &str, present: Vec<String>, _example: &str) -> Vec<String> {
        present
    }

    /// Numbered always, so that a second item does not rename the first.
    fn items(&mut self, at: &str, present: usize) -> Vec<String> {
        (0..present).map(|i| join(at, &i.to_string())).collect()
    }
}
