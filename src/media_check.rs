//! Whether a media node keeps to the contract of media.proto: this plays a router that calls it and two WebRTC clients that
//! send media through it, one rule after another.
//!
//! Knows the contract only, not our node: it is meant for the authors of others. What it finds out is a [`Report`].

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;
use tonic::transport::Endpoint;

use self::{
    rules::{RULES, Rule},
    world::World,
};

pub mod peer;
mod rules;
#[cfg(test)]
mod tests;
mod world;

/// How to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// An offer has to be answered within this.
    pub deadline: Duration,
    /// Everything else has to happen within this.
    pub patience: Duration,
    /// Where the clients are; the node has to be able to send there.
    pub ip: IpAddr,
}

impl Default for Options {
    /// A router's own deadline, and clients on loopback.
    fn default() -> Self {
        let ip = IpAddr::from([127, 0, 0, 1]);
        Self { deadline: Duration::from_millis(150), patience: Duration::from_secs(5), ip }
    }
}

/// How one rule came out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The rule's short name, for scripts.
    pub rule: &'static str,
    /// What the contract asks.
    pub asks: &'static str,
    /// How it came out.
    pub result: Kept,
    /// Why it is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

/// Whether a rule is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// It is.
    Passed,
    /// It is not.
    Failed,
    /// What it builds upon failed.
    NotReached,
}

/// How all rules came out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The node, as it says itself.
    pub node: String,
    /// Its software, as it says itself.
    pub version: String,
    /// All rules are kept.
    pub passed: bool,
    /// Rule by rule.
    pub rules: Vec<Outcome>,
}

impl Report {
    /// That rule's outcome.
    pub fn of(&self, rule: &str) -> Option<&Outcome> {
        self.rules.iter().find(|outcome| outcome.rule == rule)
    }
}

/// Checks the node behind `endpoint`.
///
/// # Errors
/// When it cannot be reached, or offers no `Watch` stream.
pub async fn check(endpoint: Endpoint, options: &Options) -> Result<Report> {
    let channel = endpoint.connect().await.context("the node cannot be reached")?;
    let mut world = World::open(channel, options).await?;
    let mut outcomes = Vec::new();
    let mut broken = false;
    for rule in RULES {
        let outcome = if broken { not_reached(rule) } else { judge(rule, &mut world).await };
        broken |= rule.needed && outcome.result != Kept::Passed;
        outcomes.push(outcome);
    }
    let hello = world.hello.unwrap_or_default();
    let passed = outcomes.iter().all(|outcome| outcome.result == Kept::Passed);
    Ok(Report { node: hello.id, version: hello.version, passed, rules: outcomes })
}

async fn judge(rule: &Rule, world: &mut World) -> Outcome {
    let since = Instant::now();
    let why = (rule.holds)(world).await.err().map(|error| format!("{error:#}"));
    let result = if why.is_none() { Kept::Passed } else { Kept::Failed };
    let took_ms = since.elapsed().as_millis() as u64;
    Outcome { rule: rule.name, asks: rule.asks, result, why, took_ms }
}

fn not_reached(rule: &Rule) -> Outcome {
    let why = Some("what it builds upon failed".to_owned());
    Outcome { rule: rule.name, asks: rule.asks, result: Kept::NotReached, why, took_ms: 0 }
}
