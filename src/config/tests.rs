//! Tests of the layers, the mistakes, the secrets and the example.

mod etcd;
mod example;
mod layering;
mod live;
mod mistakes;
mod otlp;
mod redis;
mod relay;
mod rules;
mod secrets;
mod settings;

use std::path::PathBuf;

use super::{ConfigError, Loaded, Mistake, Sources, load};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Sources with one good key, so that nothing else is missing.
fn sources(env: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::default();
    sources.env.push(("SIGNALBOX_AUTH__KEYS__APP__SECRET".to_owned(), SECRET.to_owned()));
    sources.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    sources
}

/// A file that lives as long as the directory beside it.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signalbox.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn with_file(text: &str) -> Result<Loaded, ConfigError> {
    let (_dir, path) = file(text);
    load(&Sources { file: Some(path), ..sources(&[]) })
}

fn mistake<'a>(error: &'a ConfigError, key: &str) -> &'a Mistake {
    error.mistakes.iter().find(|m| m.key == key).unwrap_or_else(|| panic!("no mistake about {key} in {error}"))
}
