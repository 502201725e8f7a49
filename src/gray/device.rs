//! A kind of device, by a regular expression: linear in time, bounded in what it may take.

use regex::bytes::{Regex, RegexBuilder};

use super::HINT_BYTES_MAX;

/// What an expression may take once it is compiled, bytes. `^(ios|ipados)[- ]1[789]` takes 2 KB.
const COMPILED_BYTES_MAX: usize = 64 * 1024;
/// What one search may keep of its work, bytes; past it, it forgets and goes on.
const CACHE_BYTES_MAX: usize = 64 * 1024;
/// How deep groups may be nested.
const NESTED_MAX: u32 = 16;

/// A regular expression; ASCII classes, matches anywhere unless it is anchored.
#[derive(Clone)]
pub struct Device {
    text: String,
    regex: Regex,
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Device").field(&self.text).finish()
    }
}

impl Device {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong with it, in one line: too long, not an expression, or one that would take too much.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > HINT_BYTES_MAX {
            return Err(format!("{} bytes; allowed: 1 to {HINT_BYTES_MAX}", text.len()));
        }
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .nest_limit(NESTED_MAX)
            .build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("would take more than {COMPILED_BYTES_MAX} bytes once compiled: repeat less")
            }
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default().trim();
                format!("is no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
            }
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is found in what a client says of its device.
    pub(super) fn fits(&self, given: &str) -> bool {
        self.regex.is_match(given.as_bytes())
    }
}
