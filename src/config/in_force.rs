//! The configuration that the router runs with, and what becomes of another one: taken as a whole, or not at all.
//!
//! Judges only; who takes a value up is `app`'s.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;

use super::{
    ConfigError, Loaded, Sources,
    difference::{differences, hash},
    layers::Reading,
    load_by,
};
use crate::event::Changed;

/// A configuration that runs.
#[derive(Clone, Debug)]
pub struct Edition {
    /// The tree, and where its values came from.
    pub loaded: Loaded,
    /// 1 at start, one more each time that something changed.
    pub generation: u64,
    /// The first 48 bits of a hash of what routers of a fleet have in common: neither secrets nor what is one router's own.
    pub hash: u64,
}

/// What to think of a configuration that is to replace the one that runs.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It cannot be used at all.
    Mistaken(ConfigError),
    /// Some of what it changes is read when the router starts only. All that it changes.
    NeedsRestart(Vec<Changed>),
    /// It says what runs already.
    Unchanged(Box<Loaded>),
    /// All of what it changes can be taken up now.
    Applicable(Box<Loaded>, Vec<Changed>),
}

/// What runs, and the layers that it was made of.
#[derive(Debug)]
pub struct InForce {
    sources: Sources,
    edition: ArcSwap<Edition>,
    refused: AtomicBool,
}

impl InForce {
    /// At start. The environment and the flags of the sources stay what they are.
    pub fn new(sources: Sources, loaded: Loaded) -> Self {
        let hash = hash(&loaded.config);
        let edition = ArcSwap::from_pointee(Edition { loaded, generation: 1, hash });
        Self { sources, edition, refused: AtomicBool::new(false) }
    }

    /// What runs.
    pub fn edition(&self) -> Arc<Edition> {
        self.edition.load_full()
    }

    /// The file that it is read from, if there is one, and those that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        self.sources.file.clone().into_iter().chain(self.edition().loaded.files()).collect()
    }

    /// Whether the file was refused when it was read last: it does not say what runs.
    pub fn is_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Reads the file, and the files that it names, again.
    pub fn read_again(&self) -> Verdict {
        self.judge(&Reading::Again)
    }

    /// What would become of a file with that text. Nothing does.
    pub fn propose(&self, text: &str) -> Verdict {
        self.judge(&Reading::Proposed(text))
    }

    fn judge(&self, reading: &Reading<'_>) -> Verdict {
        let loaded = match load_by(&self.sources, reading) {
            Ok(loaded) => Box::new(loaded),
            Err(mistakes) => return Verdict::Mistaken(mistakes),
        };
        let changes = differences(&self.edition().loaded.config, &loaded.config);
        match changes.iter().all(|change| change.live) {
            _ if changes.is_empty() => Verdict::Unchanged(loaded),
            true => Verdict::Applicable(loaded, changes),
            false => Verdict::NeedsRestart(changes),
        }
    }

    /// It has been taken up: it runs from now on. The same values from elsewhere are no new generation.
    pub fn replace(&self, loaded: Loaded) -> Arc<Edition> {
        let before = self.edition();
        let changed = before.loaded.config != loaded.config;
        let hash = hash(&loaded.config);
        let edition = Arc::new(Edition { loaded, generation: before.generation + u64::from(changed), hash });
        self.edition.store(edition.clone());
        self.refused.store(false, Relaxed);
        edition
    }

    /// The file was refused.
    pub fn refuse(&self) {
        self.refused.store(true, Relaxed);
    }
}
