//! Rules of the house that can be run: what the pure parts must not contain, who may import whom, and how long
//! things may be. Reads the sources as text; knows nothing of the library.
//!
//! A rule is a function from one source to its complaints, so that each is also tested on planted violations.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;

/// One file of the repository, by its path from the root.
struct Source {
    path: String,
    text: String,
}

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
struct Complaint {
    place: String,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The module below `src` that the file belongs to: `room` for `src/room/history.rs`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs"))
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Numbered lines of code: without comments, and without the tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..end].lines().enumerate().map(|(i, line)| {
            let code = if line.trim_start().starts_with("//") { "" } else { line };
            (i + 1, code.split(" // ").next().unwrap_or(code))
        })
    }

    fn complain(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { place: format!("{}:{line}", self.path), what: what.into() }
    }
}

/// Everything that people wrote, in path order.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for top in ["src", "tests", "deploy", "dashboards", "profiling", ".ci"] {
        walk(&root.join(top), &mut files);
    }
    let tops = ["build.rs", "Cargo.toml", "Makefile", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "deny.toml"];
    files.extend(tops.iter().map(|name| root.join(name)).filter(|path| path.exists()));
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?; // what is not text has no rules
        Some(Source { path: path.strip_prefix(root).ok()?.to_str()?.to_owned(), text })
    };
    files.into_iter().filter_map(read).collect()
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match path.is_dir() {
            true if ["target", "corpus", "corpus-run", "node_modules"].contains(&name) => {}
            true => walk(&path, into),
            false => into.push(path),
        }
    }
}

#[track_caller]
fn holds(rule: fn(&Source) -> Vec<Complaint>) {
    let complaints: Vec<String> = sources().iter().flat_map(rule).map(|c| c.to_string()).collect();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn there_are_sources_to_look_at() {
    let sources = sources();
    for path in ["src/lib.rs", "src/router.rs", "src/room.rs", "src/session.rs", "src/auth.rs", "tests/tidy.rs"] {
        assert!(sources.iter().any(|s| s.path == path), "{path}");
    }
}

#[test]
fn the_core_has_no_clock_socket_task_lock_or_environment_in_it() {
    holds(rules::purity);
}

#[test]
fn imports_point_one_way() {
    holds(rules::imports);
}

#[test]
fn files_and_functions_are_short() {
    holds(rules::length);
}

#[test]
fn every_module_opens_with_what_it_is() {
    holds(rules::opening);
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    holds(rules::undone);
}

#[test]
fn names_say_what_a_thing_owns() {
    holds(rules::names);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    holds(rules::machine_paths);
}

#[test]
fn metrics_are_made_in_telemetry_only() {
    holds(rules::metrics);
}
