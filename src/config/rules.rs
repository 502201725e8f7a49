//! The rules of the fleet as a layer of one router's configuration: what the whole fleet follows, above each router's file.
//!
//! Only what is taken up live and is about all routers alike may stand there. No secret can: whatever else stands there is a
//! mistake, and is not shown.

use std::sync::Arc;

use figment::value::{Dict, Value};

use super::{
    layers::{Merged, parse, unreadable},
    mistake::{Mistake, Source},
    read::Read,
    schema::join,
    values::HIDDEN,
};

/// The sections that may stand there. All of their keys are live.
const SECTIONS: [&str; 3] = ["guard", "variants", "placement"];

/// What the whole fleet follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// That it came with; 0: it is only proposed.
    pub revision: i64,
    /// TOML; or why there is no text.
    pub text: Result<Arc<str>, String>,
}

impl Rules {
    /// A text that nobody follows yet.
    pub fn proposed(text: &str) -> Self {
        Self { revision: 0, text: Ok(text.into()) }
    }

    pub(super) fn source(&self) -> Source {
        Source::Rules(self.revision)
    }

    pub(super) fn dict(&self) -> Result<Dict, Mistake> {
        let source = self.source();
        match &self.text {
            Ok(text) => parse(text, &source),
            Err(why) => Err(unreadable(&source, why.clone())),
        }
    }
}

/// Adds what is wrong with them to the mistakes, whatever lies over them here: all routers of a fleet are to judge them alike.
pub(super) fn check(read: &mut Read, merged: &Merged) {
    let rules = merged.layers().iter().find(|(source, _)| matches!(source, Source::Rules(_)));
    let Some((source, Value::Dict(_, rules))) = rules else { return };
    read.mistakes.retain(|mistake| !(mistake.source == *source && is_elsewhere(&mistake.key)));
    let by_themselves = super::read::read(&Merged::alone(source.clone(), rules.clone())).mistakes;
    let is_told = |told: &[Mistake], key: &str| told.iter().any(|there| there.source == *source && there.key == key);
    for mistake in by_themselves.into_iter().filter(|mistake| !is_elsewhere(&mistake.key)) {
        if !is_told(&read.mistakes, &mistake.key) {
            read.mistakes.push(mistake);
        }
    }
    let mut keys = Vec::new();
    rules.iter().for_each(|(section, inside)| leaves(inside, join("", section), &mut keys));
    let allowed = SECTIONS.map(|section| format!("{section}.*")).join(", ");
    read.mistakes.extend(keys.into_iter().filter(|key| is_elsewhere(key)).map(|key| Mistake {
        key,
        value: HIDDEN.to_owned(),
        source: source.clone(),
        problem: format!("not for a whole fleet; allowed: {allowed}"),
    }));
}

/// Whether a key is in none of the sections that may stand there.
fn is_elsewhere(key: &str) -> bool {
    !SECTIONS.iter().any(|section| key == *section || key.starts_with(&format!("{section}.")))
}

/// The paths of all that is no section, and of sections without anything in them.
fn leaves(value: &Value, path: String, keys: &mut Vec<String>) {
    match value {
        Value::Dict(_, dict) if !dict.is_empty() => {
            dict.iter().for_each(|(name, inside)| leaves(inside, join(&path, name), keys));
        }
        _ => keys.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::*, SECTIONS};

    const KEY: &str = "auth.keys.app.secret = \"0123456789abcdef0123456789abcdef\"\n";

    /// A file, rules over it, and the environment over both.
    fn with(file: &str, rules: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let rules = Some(Rules { revision: 7, text: Ok(rules.into()) });
        load_text(&Sources { rules, env, ..Sources::default() }, &format!("{KEY}{file}"))
    }

    fn mistakes(rules: &str) -> Vec<(String, String)> {
        let error = with("", rules, &[]).unwrap_err();
        assert!(error.mistakes.iter().all(|mistake| mistake.source.to_string() == "etcd rules, revision 7"), "{error}");
        error.mistakes.into_iter().map(|mistake| (mistake.key, mistake.problem)).collect()
    }

    #[test]
    fn they_win_over_the_file_and_the_environment_wins_over_them() {
        let file = "[guard]\nqueue_joins_ms = 1\nqueue_signals_ms = 1\n[placement]\nbase_weight = 1\n";
        let rules = "[guard]\nqueue_joins_ms = 2\nqueue_signals_ms = 9\n";
        let loaded = with(file, rules, &[("SIGNALBOX_GUARD__QUEUE_JOINS_MS", "3")]).unwrap();
        let guard = &loaded.config.guard;
        assert_eq!((guard.queue_joins_ms.0, guard.queue_signals_ms.0, loaded.config.placement.base_weight), (3, 9, 1));
        let source = |key: &str| loaded.provenance[key].to_string();
        assert_eq!(source("guard.queue_joins_ms"), "env:SIGNALBOX_GUARD__QUEUE_JOINS_MS");
        assert_eq!(source("guard.queue_signals_ms"), "etcd rules, revision 7");
        assert!(source("placement.base_weight").starts_with("file:"));
        assert!(with(file, "", &[]).is_ok(), "rules may say nothing");
    }

    #[test]
    fn what_is_not_for_a_whole_fleet_is_named_and_not_shown_whatever_lies_over_it() {
        let secret = "another-secret-another-secret-another";
        let rules = format!(
            "[auth.keys.web]\nsecret = \"{secret}\"\n[limits]\nrooms = 5\nroms = 6\n[drain]\n[guard]\nqueue_joins_ms = 5\n"
        );
        let error = with("", &rules, &[("SIGNALBOX_LIMITS__ROOMS", "7")]).unwrap_err();
        let told: Vec<_> = error.mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(told, ["auth.keys.web.secret", "drain", "limits.roms", "limits.rooms"]);
        let problem = "not for a whole fleet; allowed: guard.*, variants.*, placement.*";
        assert!(error.mistakes.iter().all(|mistake| mistake.problem == problem), "{error}");
        assert!(!error.to_string().contains(secret), "{error}");
    }

    #[test]
    fn a_mistake_in_a_section_that_is_allowed_is_told_as_that_of_a_file() {
        let told = mistakes("[guard]\nqueue_joins_ms = -1\nqueue_join_ms = 5\n");
        assert_eq!(told[0], ("guard.queue_join_ms".into(), "unknown key; did you mean guard.queue_joins_ms?".into()));
        assert_eq!((told.len(), told[1].0.as_str()), (2, "guard.queue_joins_ms"));
        // the environment of this router is not that of the others
        let hidden = with("", "guard.queue_joins_ms = -1", &[("SIGNALBOX_GUARD__QUEUE_JOINS_MS", "3")]).unwrap_err();
        let source = hidden.mistakes[0].source.to_string();
        assert_eq!((hidden.mistakes.len(), source.as_str()), (1, "etcd rules, revision 7"), "{hidden}");
        assert_eq!(mistakes("guard = 5\n")[0].1, "is a section with keys, not a value");
        let (key, problem) = mistakes("[guard\n").remove(0);
        assert!(key == "(rules)" && problem.starts_with("line 1 is not TOML"), "{key} {problem}");
        let unreadable = Rules { revision: 7, text: Err("not UTF-8".to_owned()) };
        let error = load_text(&Sources { rules: Some(unreadable), ..Sources::default() }, KEY).unwrap_err();
        assert_eq!(error.mistakes[0].to_string(), "(rules) (etcd rules, revision 7): not UTF-8");
    }

    #[test]
    fn all_keys_that_may_stand_there_are_live() {
        let file = "[variants]\nnames = [\"a\"]\n[[variants.rules]]\nname = \"a\"\nvariant = \"a\"\npercent = 1\n";
        let rows = with(file, "", &[]).unwrap().rows();
        for section in SECTIONS {
            let within = format!("{section}.");
            let keys: Vec<_> = rows.iter().filter(|row| row.key.starts_with(&within)).collect();
            assert!(!keys.is_empty() && keys.iter().all(|row| row.live), "{keys:?}");
        }
    }
}
