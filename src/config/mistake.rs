//! What was wrong, all of it at once.

use std::{fmt, path::PathBuf};

use comfy_table::{Table, presets};

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody said anything.
    #[default]
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The rules of the fleet, by the revision that they came with; 0: they are only proposed.
    Rules(i64),
    /// A variable of the environment.
    Env(String),
    /// A flag of the command line.
    Flag(String),
}

impl Source {
    /// Whether it knows only text: neither numbers nor lists.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Env(_) | Self::Flag(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Rules(0) => f.write_str("etcd rules, proposed"),
            Self::Rules(revision) => write!(f, "etcd rules, revision {revision}"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Flag(flag) => write!(f, "flag:{flag}"),
        }
    }
}

/// One value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its key.
    pub key: String,
    /// What was given; hidden when it is, or may be, a secret.
    pub value: String,
    /// By whom.
    pub source: Source,
    /// What is wrong with it, or what is allowed.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, source, problem } = self;
        let is = if value.is_empty() { "" } else { " = " };
        write!(f, "{key}{is}{value} ({source}): {problem}")
    }
}

/// A configuration that cannot be used: every mistake in it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The mistakes, by key.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        writeln!(f, "{count} mistake{} in the configuration", if count == 1 { "" } else { "s" })?;
        let mut table = columns(["KEY", "VALUE", "SOURCE", "PROBLEM"]);
        for mistake in &self.mistakes {
            table.add_row([&mistake.key, &mistake.value, &mistake.source.to_string(), &mistake.problem]);
        }
        f.write_str(&table.trim_fmt())
    }
}

/// What a `main` prints that returns it: the same.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A table without lines, as wide as its words: it goes to logs as well as to terminals.
pub(crate) fn columns<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads);
    table
}
