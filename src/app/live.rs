//! Live configuration: the file read again while the router runs, and taken up as a whole or not at all.
//!
//! What runs is judged by `config`; here each part is handed what it reads. Nothing on the way of a signal waits for
//! any of it: parts read their settings where they use them, and shards are told by an input.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result, anyhow};

use super::{
    Watched,
    settings::{gateway_settings, head_rate, limit_settings},
};
use crate::{
    auth::KeySet,
    config::{self, Config, ConfigError, Edition, InForce, Slice, Sources, Verdict},
    event::{Changed, Event},
    gray::Rules,
    io::{
        gateway::Gateway,
        listener,
        media::Media,
        ops::{Configuration, Proposed, ProposedMistake, ProposedVerdict, ShownConfig, ShownKey},
        reloading::{FileWatch, Followed, Occasion, Reloading},
    },
    profiler::Profiler,
    telemetry::logs,
};

/// The configuration that a router starts with, and the file that it came from.
#[derive(Debug)]
pub struct Configured {
    pub(super) in_force: Arc<InForce>,
    pub(super) watch: FileWatch,
}

impl Configured {
    /// Reads it.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let watch = FileWatch::new(sources.file.clone());
        let loaded = config::load(&sources)?;
        Ok(Self { in_force: Arc::new(InForce::new(sources, loaded)), watch })
    }

    /// What was read.
    pub fn edition(&self) -> Arc<Edition> {
        self.in_force.edition()
    }
}

/// Reads it again, on a thread of its own, whenever its files change or somebody asks.
pub(super) fn follow(
    configured: Configured,
    gateway: &Arc<Gateway>,
    parts: Parts<'_>,
    observe: listener::Observe,
) -> Result<Reloading> {
    let Configured { in_force, watch } = configured;
    let files = in_force.files();
    let Parts { watched, media, instance_id } = parts;
    let (gateway, profiler, media) = (gateway.clone(), watched.profiler.clone(), media.clone());
    let live = Live { in_force, gateway, profiler, media, instance_id };
    let read = move |occasion| live.read_again(occasion);
    Reloading::start(watch, files, read, observe).context("cannot start watching the configuration")
}

/// What takes a configuration up beside the gateway, and what names the process.
pub(super) struct Parts<'a> {
    pub(super) watched: &'a Watched,
    pub(super) media: &'a Media,
    pub(super) instance_id: String,
}

/// The parts that take a configuration up.
struct Live {
    in_force: Arc<InForce>,
    gateway: Arc<Gateway>,
    profiler: Profiler,
    media: Media,
    instance_id: String,
}

impl Live {
    /// Reads the file again and takes it up, or not, and tells which. For a thread that may wait.
    fn read_again(&self, occasion: Occasion) -> Followed {
        match self.in_force.read_again() {
            Verdict::Mistaken(error) => self.refuse(occasion, error.mistakes.iter().map(ToString::to_string)),
            Verdict::NeedsRestart(changes) => self.refuse(occasion, changes.iter().filter_map(refusal)),
            Verdict::Unchanged(loaded) => {
                let was_refused = self.in_force.is_refused();
                let edition = self.in_force.replace(*loaded);
                if occasion != Occasion::Quiet || was_refused {
                    self.tell_reloaded(&edition, Vec::new());
                }
            }
            Verdict::Applicable(loaded, changes) => match self.take_up(&loaded.config) {
                Ok(()) => self.tell_reloaded(&self.in_force.replace(*loaded), changes),
                Err(why) => self.refuse(occasion, [why.to_string()].into_iter()),
            },
        }
        Followed { files: self.in_force.files(), refused: self.in_force.is_refused() }
    }

    /// What can fail comes first: after it, everything is taken up.
    fn take_up(&self, config: &Config) -> Result<()> {
        let edition = self.in_force.edition();
        let running = &edition.loaded.config;
        let keys = KeySet::new(&config.auth_settings())?;
        if config.log.level != running.log.level {
            self.change_log_level(&config.log.level)?;
        }
        self.gateway.authenticator.configure(&keys);
        self.gateway.addresses.configure(limit_settings(config));
        self.gateway.configure(gateway_settings(config));
        self.gateway.guard.configure(config.guard_settings());
        self.gateway.telemetry.set_head_rate(head_rate(config));
        if config.profiler.enabled != running.profiler.enabled {
            // one that does not start says so itself, as at start
            self.profiler.switch(config.profiler.enabled).ok();
        }
        self.media.configure(config.media_settings(&self.instance_id));
        // the seed and the secret are those of the start, whatever stands here
        let settings = |count| config.router_settings(Slice { seed: 0, count }, &[]);
        self.gateway.shards.configure(settings, config.signal.timeout_ms.duration(), config.queue_settings());
        Ok(())
    }

    fn change_log_level(&self, level: &str) -> Result<()> {
        let changed = |from: &str| {
            let event = Event::LogLevelChanged { from: from.to_owned(), to: level.to_owned() };
            self.gateway.telemetry.observe(&event, Instant::now());
        };
        logs::change_level(level, changed).map(drop).map_err(|error| anyhow!("log.level: {error}"))
    }

    fn tell_reloaded(&self, edition: &Edition, changes: Vec<Changed>) {
        let (generation, hash) = (edition.generation, edition.hash);
        self.gateway.telemetry.observe(&Event::ConfigReloaded { generation, hash, changes }, Instant::now());
    }

    /// What was refused before is not told again unless somebody asked or changed it.
    fn refuse(&self, occasion: Occasion, why: impl Iterator<Item = String>) {
        let was_refused = self.in_force.is_refused();
        self.in_force.refuse();
        if occasion != Occasion::Quiet || !was_refused {
            self.gateway.telemetry.observe(&Event::ConfigRefused { why: why.collect() }, Instant::now());
        }
    }
}

/// Why a change is refused; nothing for one that is live.
fn refusal(change: &Changed) -> Option<String> {
    (!change.live).then(|| format!("{change} needs a restart"))
}

impl Configuration for InForce {
    fn shown(&self) -> ShownConfig {
        let edition = self.edition();
        let rows = edition.loaded.rows().into_iter();
        let keys =
            rows.map(|row| ShownKey { key: row.key, value: row.value, source: row.source.to_string(), live: row.live });
        let (generation, hash) = (edition.generation, edition.hash);
        ShownConfig { generation, hash, refused: self.is_refused(), keys: keys.collect() }
    }

    fn variants(&self) -> Rules {
        self.edition().loaded.config.variant_rules()
    }

    fn proposed(&self, text: &str) -> Proposed {
        let (verdict, mistakes, changes, text) = match self.propose(text) {
            Verdict::Mistaken(error) => {
                let text = format!("{error}\n");
                (ProposedVerdict::Mistaken, error.mistakes, Vec::new(), text)
            }
            Verdict::NeedsRestart(changes) => {
                let fixed = changes.iter().filter(|change| !change.live).count();
                let head = format!("refused as a whole while the router runs: {fixed} of its changes need a restart");
                (ProposedVerdict::NeedsRestart, Vec::new(), changes.clone(), table(&head, &changes))
            }
            Verdict::Unchanged(_) => {
                (ProposedVerdict::Unchanged, Vec::new(), Vec::new(), "it says what runs\n".to_owned())
            }
            Verdict::Applicable(_, changes) => {
                let head = "would be taken up as a whole; nothing was applied";
                (ProposedVerdict::Applicable, Vec::new(), changes.clone(), table(head, &changes))
            }
        };
        let mistakes = mistakes.into_iter().map(|mistake| ProposedMistake {
            key: mistake.key,
            value: mistake.value,
            source: mistake.source.to_string(),
            problem: mistake.problem,
        });
        Proposed { verdict, mistakes: mistakes.collect(), changes, applied: [], text }
    }
}

fn table(head: &str, changes: &[Changed]) -> String {
    let mut table = config::columns(["KEY", "RUNS", "PROPOSED", "TAKEN UP"]);
    for Changed { key, from, to, live } in changes {
        table.add_row([key.as_str(), from, to, if *live { "live" } else { "at a restart" }]);
    }
    format!("{head}\n{}\n", table.trim_fmt())
}
