//! Live configuration: the file read again while the router runs, and the rules of its fleet; taken up as a whole or not at all.
//!
//! The file and the rules are two wholes: each is judged over what runs of the other, so that neither holds the other up.
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
    config::{self, Config, ConfigError, Edition, InForce, Rules, Slice, Sources, Taken, Verdict},
    directory::RulesStanding,
    event::{Changed, Event},
    gray,
    io::{
        directory::FleetRules,
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

/// Reads it again, on a thread of its own, whenever its files change, the fleet has other rules or somebody asks.
pub(super) fn follow(
    configured: Configured,
    gateway: &Arc<Gateway>,
    parts: Parts<'_>,
    observe: listener::Observe,
) -> Result<Reloading> {
    let Configured { in_force, watch } = configured;
    let files = in_force.files();
    let Parts { watched, media, rules, instance_id } = parts;
    let (gateway, profiler, media) = (gateway.clone(), watched.profiler.clone(), media.clone());
    let live = Live { in_force, gateway, profiler, media, rules: rules.clone(), instance_id };
    let read = move |occasion| live.read_again(occasion);
    Reloading::start(watch, files, read, move || rules.came(), observe)
        .context("cannot start watching the configuration")
}

/// What takes a configuration up beside the gateway, and what names the process.
pub(super) struct Parts<'a> {
    pub(super) watched: &'a Watched,
    pub(super) media: &'a Media,
    pub(super) rules: FleetRules,
    pub(super) instance_id: String,
}

/// The parts that take a configuration up.
struct Live {
    in_force: Arc<InForce>,
    gateway: Arc<Gateway>,
    profiler: Profiler,
    media: Media,
    rules: FleetRules,
    instance_id: String,
}

impl Live {
    /// Reads what is to be read again and takes it up, or not, and tells which. For a thread that may wait.
    fn read_again(&self, occasion: Occasion) -> Followed {
        match occasion {
            Occasion::Rules => self.follow_rules(),
            Occasion::Asked | Occasion::Changed | Occasion::Quiet => self.read_file(occasion),
        }
        let standing = self.standing();
        self.rules.follow(standing);
        let refused = self.in_force.is_refused() || standing.refused;
        Followed { files: self.in_force.files(), refused }
    }

    /// The file as it is now.
    fn read_file(&self, occasion: Occasion) {
        let was_refused = self.in_force.is_refused();
        // rules that were refused may be right for another file
        if self.standing().refused
            && let Ok(taken) = self.take(Taken::Both)
        {
            return self.tell_reloaded(taken);
        }
        match self.take(Taken::File) {
            Ok((_, changes)) if changes.is_empty() && occasion == Occasion::Quiet && !was_refused => {}
            Ok(taken) => self.tell_reloaded(taken),
            Err(why) => {
                self.in_force.refuse();
                // what was refused before is not told again unless somebody asked or changed it
                if occasion != Occasion::Quiet || !was_refused {
                    self.tell(&Event::ConfigRefused { why, rules: None });
                }
            }
        }
    }

    /// The rules of the fleet that stand in etcd now, over the file that runs. A file that was refused may be right with them.
    fn follow_rules(&self) {
        let rules = self.rules.stand().map(|news| Rules { revision: news.revision, text: news.text.clone() });
        self.in_force.offer(rules);
        let taken = self.take(Taken::Rules);
        let taken = match taken {
            Err(why) if self.in_force.is_refused() => self.take(Taken::Both).map_err(|_| why),
            taken => taken,
        };
        match taken {
            Ok(taken) => self.tell_reloaded(taken),
            Err(why) => {
                self.in_force.refuse_rules();
                self.tell(&Event::ConfigRefused { why, rules: Some(self.in_force.rules_offered().0) });
            }
        }
    }

    /// How far the rules of the fleet are followed.
    fn standing(&self) -> RulesStanding {
        let (judged, refused) = self.in_force.rules_offered();
        RulesStanding { revision: self.in_force.rules_revision(), judged, refused }
    }

    /// Takes up what is made of that, or says why not.
    fn take(&self, of: Taken) -> Result<(Arc<Edition>, Vec<Changed>), Vec<String>> {
        match self.in_force.judge(of) {
            Verdict::Mistaken(error) => Err(error.mistakes.iter().map(ToString::to_string).collect()),
            Verdict::NeedsRestart(changes) => Err(changes.iter().filter_map(refusal).collect()),
            Verdict::Unchanged(loaded) => Ok((self.in_force.replace(*loaded, of), Vec::new())),
            Verdict::Applicable(loaded, changes) => match self.take_up(&loaded.config) {
                Ok(()) => Ok((self.in_force.replace(*loaded, of), changes)),
                Err(why) => Err(vec![why.to_string()]),
            },
        }
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

    fn tell_reloaded(&self, (edition, changes): (Arc<Edition>, Vec<Changed>)) {
        let (generation, hash) = (edition.generation, edition.hash);
        let (rules, refused) = (self.in_force.rules_revision(), self.in_force.is_refused());
        self.tell(&Event::ConfigReloaded { generation, hash, changes, rules, refused });
    }

    fn tell(&self, event: &Event) {
        self.gateway.telemetry.observe(event, Instant::now());
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

    fn variants(&self) -> gray::Rules {
        self.edition().loaded.config.variant_rules()
    }

    fn proposed(&self, text: &str) -> Proposed {
        judged(self.propose(text))
    }

    fn proposed_rules(&self, text: Option<&str>) -> Proposed {
        judged(self.propose_rules(text.map(Rules::proposed)))
    }
}

/// A verdict as the ops port tells it.
fn judged(verdict: Verdict) -> Proposed {
    let (verdict, mistakes, changes, text) = match verdict {
        Verdict::Mistaken(error) => {
            let text = format!("{error}\n");
            (ProposedVerdict::Mistaken, error.mistakes, Vec::new(), text)
        }
        Verdict::NeedsRestart(changes) => {
            let fixed = changes.iter().filter(|change| !change.live).count();
            let head = format!("refused as a whole while the router runs: {fixed} of its changes need a restart");
            (ProposedVerdict::NeedsRestart, Vec::new(), changes.clone(), table(&head, &changes))
        }
        Verdict::Unchanged(_) => (ProposedVerdict::Unchanged, Vec::new(), Vec::new(), "it says what runs\n".to_owned()),
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

fn table(head: &str, changes: &[Changed]) -> String {
    let mut table = config::columns(["KEY", "RUNS", "PROPOSED", "TAKEN UP"]);
    for Changed { key, from, to, live } in changes {
        table.add_row([key.as_str(), from, to, if *live { "live" } else { "at a restart" }]);
    }
    format!("{head}\n{}\n", table.trim_fmt())
}
