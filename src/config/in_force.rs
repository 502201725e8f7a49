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
    ConfigError, Loaded, Rules, Sources,
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

/// What a configuration that was taken up was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The file as it is now, and the rules that ran.
    File,
    /// The file that ran, and the rules that were offered last.
    Rules,
    /// The file as it is now, and the rules that were offered last.
    Both,
}

/// The rules of the fleet, as far as this router has heard of them.
#[derive(Clone, Debug, Default)]
struct Followed {
    /// What runs; absent: none.
    run: Option<Rules>,
    /// What was offered last.
    offered: Option<Rules>,
    /// Whether that was refused.
    refused: bool,
}

/// What runs, and the layers that it was made of.
#[derive(Debug)]
pub struct InForce {
    sources: Sources,
    edition: ArcSwap<Edition>,
    refused: AtomicBool,
    /// Changed as a whole, by whoever takes configurations up.
    rules: ArcSwap<Followed>,
}

impl InForce {
    /// At start. The environment and the flags of the sources stay what they are.
    pub fn new(sources: Sources, loaded: Loaded) -> Self {
        let hash = hash(&loaded.config);
        let edition = ArcSwap::from_pointee(Edition { loaded, generation: 1, hash });
        Self { sources, edition, refused: AtomicBool::new(false), rules: ArcSwap::default() }
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

    /// These rules are to be followed from now on; absent: none. Judged and taken up apart from that.
    pub fn offer(&self, rules: Option<Rules>) {
        let before = self.rules.load_full();
        self.rules.store(Arc::new(Followed { offered: rules, ..Followed::clone(&before) }));
    }

    /// The revision of the rules that run; 0: none do.
    pub fn rules_revision(&self) -> i64 {
        self.rules.load().run.as_ref().map_or(0, |rules| rules.revision)
    }

    /// The revision of the rules that were offered last, and whether they were refused; 0: there are none to be followed.
    pub fn rules_offered(&self) -> (i64, bool) {
        let rules = self.rules.load();
        (rules.offered.as_ref().map_or(0, |rules| rules.revision), rules.refused)
    }

    /// Judges what a router would run with that was made of that.
    pub fn judge(&self, of: Taken) -> Verdict {
        let rules = self.rules.load();
        let (again, run) = (Reading::Again, self.edition());
        match of {
            Taken::File => self.judge_by(&again, rules.run.clone()),
            Taken::Both => self.judge_by(&again, rules.offered.clone()),
            Taken::Rules => self.judge_by(&run.loaded.reading(), rules.offered.clone()),
        }
    }

    /// What would become of a file with that text. Nothing does.
    pub fn propose(&self, text: &str) -> Verdict {
        self.judge_by(&Reading::Proposed(text), self.rules.load().run.clone())
    }

    /// What would become of these rules, with the file that runs; absent: of none. Nothing does.
    pub fn propose_rules(&self, rules: Option<Rules>) -> Verdict {
        self.judge_by(&self.edition().loaded.reading(), rules)
    }

    fn judge_by(&self, reading: &Reading<'_>, rules: Option<Rules>) -> Verdict {
        let loaded = match load_by(&Sources { rules, ..self.sources.clone() }, reading) {
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
    pub fn replace(&self, loaded: Loaded, of: Taken) -> Arc<Edition> {
        let before = self.edition();
        let changed = before.loaded.config != loaded.config;
        let hash = hash(&loaded.config);
        let edition = Arc::new(Edition { loaded, generation: before.generation + u64::from(changed), hash });
        self.edition.store(edition.clone());
        if of != Taken::Rules {
            self.refused.store(false, Relaxed);
        }
        if of != Taken::File {
            let offered = self.rules.load().offered.clone();
            self.rules.store(Arc::new(Followed { run: offered.clone(), offered, refused: false }));
        }
        edition
    }

    /// The file was refused.
    pub fn refuse(&self) {
        self.refused.store(true, Relaxed);
    }

    /// The rules that were offered last were refused.
    pub fn refuse_rules(&self) {
        let rules = self.rules.load_full();
        self.rules.store(Arc::new(Followed { refused: true, ..Followed::clone(&rules) }));
    }
}
