//! The rules of the fleet: one text at one key, which every router follows. What is in it is not this module's concern.
//!
//! Followed as the other parts are. A text that cannot be one is told as well: whoever takes rules up then refuses it by its
//! revision, and goes on by those before it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Answer, Change, Fault, Heard,
    view::{News, Record, View},
};

/// The longest text.
pub const RULES_BYTES_MAX: usize = 64 * 1024;
/// What stands at the key itself, by what follows it.
const ITSELF: &str = "";

/// The key, below that prefix.
pub fn rules_key(prefix: &str) -> String {
    format!("{prefix}/{}", super::RULES)
}

/// Rules that stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesNews {
    /// That they came with.
    pub revision: i64,
    /// What they say; or why it is no text.
    pub text: Result<Arc<str>, String>,
}

/// How far a router follows them, as it tells others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesStanding {
    /// Of the rules that it has in force; 0: none.
    pub revision: i64,
    /// Of those that it has judged last; 0: there were none any more.
    #[serde(default)]
    pub judged: i64,
    /// It refused those, and goes on by what it has in force.
    #[serde(default)]
    pub refused: bool,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RulesText(Result<Arc<str>, String>);

impl Record for RulesText {
    fn read(_id: &str, bytes: &[u8]) -> Result<Self, String> {
        let text = match bytes.len() {
            0..=RULES_BYTES_MAX => str::from_utf8(bytes).map(Arc::from).map_err(|_| "not UTF-8".to_owned()),
            bytes => Err(format!("{bytes} bytes, at most {RULES_BYTES_MAX}")),
        };
        Ok(Self(text))
    }

    /// The same text anew has another revision, which its writer waits for.
    fn came(&self, _before: Option<&Self>) -> Option<News> {
        Some(News::Rules)
    }

    fn went(&self) -> Option<News> {
        Some(News::Rules)
    }
}

/// What stands there.
pub(super) fn standing(view: &View<RulesText>) -> Option<RulesNews> {
    let (record, revision) = view.get(ITSELF)?;
    let text = record.as_ref().map_err(Clone::clone).and_then(|RulesText(text)| text.clone());
    Some(RulesNews { revision, text })
}

/// Of all that begins with the key, only what stands at the key itself. It comes first.
pub(super) fn only_listed(mut answer: Result<Answer, Fault>) -> Result<Answer, Fault> {
    if let Ok(Answer::Listed { records, more, .. }) = &mut answer {
        records.retain(|stored| stored.key == ITSELF);
        *more = false;
    }
    answer
}

/// The same of what a stream says.
pub(super) fn only_heard(mut heard: Heard) -> Heard {
    if let Heard::Changed { changes, .. } = &mut heard {
        changes.retain(|change| match change {
            Change::Put(stored) => stored.key == ITSELF,
            Change::Deleted { key } => key == ITSELF,
        });
    }
    heard
}
