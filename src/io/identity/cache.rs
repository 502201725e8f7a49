//! Answers about opaque tokens, for a while. Knows tokens by their hash only.

use std::{
    collections::{BTreeSet, HashMap},
    hash::RandomState,
};

use sha2::{Digest, Sha256};

use crate::{auth::Grant, protocol::Refusal};

/// What is kept of a token.
pub(super) type TokenHash = [u8; 32];
/// What its issuer said.
pub(super) type Verdict = Result<Grant, Refusal>;

/// The hash under which a token's answer is kept.
pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Bounded; when it is full, what would end first goes first.
#[derive(Debug)]
pub(super) struct Cache {
    entries_max: usize,
    by_hash: HashMap<TokenHash, Entry, RandomState>,
    by_end: BTreeSet<(u64, TokenHash)>,
}

#[derive(Debug)]
struct Entry {
    verdict: Verdict,
    until_unix_ms: u64,
}

impl Cache {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, by_hash: HashMap::default(), by_end: BTreeSet::new() }
    }

    /// What is still believed of a token.
    pub(super) fn get(&self, token: &TokenHash, now_unix_ms: u64) -> Option<&Verdict> {
        let entry = self.by_hash.get(token)?;
        (now_unix_ms < entry.until_unix_ms).then_some(&entry.verdict)
    }

    /// Believes it until then.
    pub(super) fn put(&mut self, token: TokenHash, verdict: Verdict, until_unix_ms: u64, now_unix_ms: u64) {
        if self.entries_max == 0 || until_unix_ms <= now_unix_ms {
            return;
        }
        if let Some(older) = self.by_hash.remove(&token) {
            self.by_end.remove(&(older.until_unix_ms, token));
        }
        while let Some(&(until, first)) = self.by_end.first()
            && (until <= now_unix_ms || self.by_hash.len() >= self.entries_max)
        {
            self.by_end.pop_first();
            self.by_hash.remove(&first);
        }
        self.by_end.insert((until_unix_ms, token));
        self.by_hash.insert(token, Entry { verdict, until_unix_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;

    fn no() -> Verdict {
        Err(Code::Unauthenticated.refuse())
    }

    #[test]
    fn an_answer_is_believed_until_its_end_and_no_longer() {
        let mut cache = Cache::new(4);
        cache.put(hash("a"), no(), 100, 0);
        assert!(cache.get(&hash("a"), 99).is_some());
        assert!(cache.get(&hash("a"), 100).is_none());
        assert!(cache.get(&hash("b"), 0).is_none());
        cache.put(hash("a"), no(), 200, 100);
        assert!(cache.get(&hash("a"), 199).is_some());
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_drops_what_ends_first() {
        let mut cache = Cache::new(3);
        for (token, until) in [("long", 900), ("b", 100), ("c", 200), ("d", 300), ("d", 310), ("e", 400)] {
            cache.put(hash(token), no(), until, 0);
            assert!(cache.by_hash.len() <= 3 && cache.by_hash.len() == cache.by_end.len());
        }
        assert!(cache.get(&hash("long"), 0).is_some() && cache.get(&hash("e"), 0).is_some());
        assert!(cache.get(&hash("b"), 0).is_none() && cache.get(&hash("c"), 0).is_none());
        cache.put(hash("f"), no(), 2_000, 1_000);
        assert_eq!(cache.by_hash.len(), 1, "what is over goes with the next that comes");
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let mut cache = Cache::new(0);
        cache.put(hash("a"), no(), 100, 0);
        assert!(cache.get(&hash("a"), 0).is_none());
    }
}
