//! Who is registered, as far as this router has been told: the same on all routers once all are told the same.
//!
//! Of more records than may be kept, those whose keys come first are kept, whatever order they came in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use super::record::{NodeRecord, RoomRecord, RouterRecord, stable};
use crate::{
    event::DirectoryFact,
    ids::{NodeId, RouterId},
};

/// A record as etcd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key, after the prefix.
    pub key: String,
    /// What stands there.
    pub value: Vec<u8>,
    /// The revision that it came with.
    pub revision: i64,
}

/// A change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stands there now.
    Put(Stored),
    /// Nothing stands there any more.
    Deleted {
        /// Its key, after the prefix.
        key: String,
    },
}

/// What is heard of media nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeNews {
    /// It registered with a router of the fleet, or says something else of itself.
    There(Box<NodeRecord>),
    /// It is registered with no router of the fleet any more.
    Gone {
        /// Which.
        node: NodeId,
    },
}

/// What follows from a change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    Fact(DirectoryFact),
    Node(NodeNews),
    /// The rules may be others.
    Rules,
}

/// What can be followed.
pub(super) trait Record: Sized {
    /// Reads what stands at a key, or says why it cannot be read.
    fn read(id: &str, bytes: &[u8]) -> Result<Self, String>;
    /// It stands there, in the place of what stood there.
    fn came(&self, before: Option<&Self>) -> Option<News>;
    /// It does not any more.
    fn went(&self) -> Option<News>;
}

impl Record for RouterRecord {
    fn read(id: &str, bytes: &[u8]) -> Result<Self, String> {
        Self::read(id, bytes)
    }

    fn came(&self, before: Option<&Self>) -> Option<News> {
        let router = RouterId::from(self.id.as_str());
        match before {
            Some(before) if before.incarnation == self.incarnation => {
                let drains = self.draining && !before.draining;
                drains.then_some(News::Fact(DirectoryFact::RouterDraining { router }))
            }
            _ => {
                let (region, build) = (self.region.clone(), self.build.clone());
                Some(News::Fact(DirectoryFact::RouterSeen { router, region, build }))
            }
        }
    }

    fn went(&self) -> Option<News> {
        Some(News::Fact(DirectoryFact::RouterGone { router: RouterId::from(self.id.as_str()) }))
    }
}

impl Record for NodeRecord {
    fn read(id: &str, bytes: &[u8]) -> Result<Self, String> {
        Self::read(id, bytes)
    }

    fn came(&self, before: Option<&Self>) -> Option<News> {
        (before != Some(self)).then(|| News::Node(NodeNews::There(Box::new(self.clone()))))
    }

    fn went(&self) -> Option<News> {
        Some(News::Node(NodeNews::Gone { node: NodeId::from(self.id.as_str()) }))
    }
}

/// What follows from notices is asked of the view.
impl Record for RoomRecord {
    fn read(_: &str, bytes: &[u8]) -> Result<Self, String> {
        Self::read(bytes)
    }

    fn came(&self, _: Option<&Self>) -> Option<News> {
        None
    }

    fn went(&self) -> Option<News> {
        None
    }
}

/// A record that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept<R> {
    /// What it adds to the digest.
    stable: [u8; 32],
    pub(super) revision: i64,
    /// What it says, or why it cannot be read.
    pub(super) record: Result<R, String>,
    /// When it was written, or was first read here.
    written: Instant,
}

impl<R> Kept<R> {
    /// How long ago it was written, at least.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.written)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct View<R> {
    part: &'static str,
    kept: BTreeMap<String, Kept<R>>,
    limit: usize,
    /// There are records beside those that are kept.
    left_out: bool,
}

impl<R: Record> View<R> {
    /// Nobody, of at most so many.
    pub(super) fn new(part: &'static str, limit: usize) -> Self {
        Self { part, kept: BTreeMap::new(), limit, left_out: false }
    }

    /// Most that are kept.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes all records that there are in the place of those that were; `more`: there are others beside them.
    pub(super) fn replace(&mut self, all: Vec<Stored>, more: bool, now: Instant) -> Vec<News> {
        let there: BTreeSet<&str> = all.iter().map(|stored| stored.key.as_str()).collect();
        let gone: Vec<String> = self.kept.keys().filter(|key| !there.contains(key.as_str())).cloned().collect();
        let mut news: Vec<_> = gone.iter().filter_map(|key| self.remove(key)).collect();
        let was_left_out = std::mem::replace(&mut self.left_out, false);
        for stored in all {
            self.put(stored, now, &mut news);
        }
        self.left_out |= more;
        // told once, and not again by each reading
        news.retain(|news| !matches!(news, News::Fact(DirectoryFact::Overfull { .. })));
        if self.left_out && !was_left_out {
            news.push(News::Fact(DirectoryFact::Overfull { limit: self.limit }));
        }
        news
    }

    /// Takes a change.
    pub(super) fn apply(&mut self, change: Change, now: Instant) -> Vec<News> {
        let mut news = Vec::new();
        match change {
            Change::Put(stored) => self.put(stored, now, &mut news),
            Change::Deleted { key } => news.extend(self.remove(&key)),
        }
        news
    }

    fn remove(&mut self, key: &str) -> Option<News> {
        self.kept.remove(key)?.record.ok().and_then(|record| record.went())
    }

    fn put(&mut self, stored: Stored, now: Instant, news: &mut Vec<News>) {
        let Stored { key, value, revision } = stored;
        let (before, stable) = (self.kept.get(&key), stable(&value));
        // an etcd that was made anew counts its revisions anew
        if before.is_some_and(|kept| kept.revision == revision && kept.stable == stable) {
            return;
        }
        let record = R::read(&key, &value);
        let came = self.told(&key, before.map(|kept| &kept.record), &record);
        // what cannot be read any more is not there any more
        let was = before.and_then(|kept| kept.record.as_ref().ok()).filter(|_| record.is_err());
        news.extend(was.and_then(R::went));
        self.kept.insert(key.clone(), Kept { stable, revision, record, written: now });
        let last = if self.kept.len() > self.limit { self.kept.pop_last() } else { None };
        let Some((last, Kept { record, .. })) = last else { return news.extend(came) };
        // who was not told of is not told of as gone
        if last != key {
            news.extend(came);
            news.extend(record.ok().and_then(|record| record.went()));
        }
        if !std::mem::replace(&mut self.left_out, true) {
            news.push(News::Fact(DirectoryFact::Overfull { limit: self.limit }));
        }
    }

    /// What a new text at a key tells.
    fn told(&self, key: &str, before: Option<&Result<R, String>>, after: &Result<R, String>) -> Option<News> {
        match (before, after) {
            (Some(Err(before)), Err(after)) if before == after => None,
            (_, Err(why)) => {
                let (key, why) = (self.shown(key), why.clone());
                Some(News::Fact(DirectoryFact::RecordUnreadable { key, why }))
            }
            (before, Ok(after)) => after.came(before.and_then(|before| before.as_ref().ok())),
        }
    }

    /// A key, which may be a stranger's, as far as a line can hold it.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.part).chars().filter(|c| !c.is_control()).take(128).collect()
    }

    /// Whether a record that was left out could be kept now: which, only reading all of them tells.
    pub(super) fn has_room_for_others(&self) -> bool {
        self.left_out && self.kept.len() < self.limit
    }

    /// What stands at a key, and the revision that it came with.
    pub(super) fn get(&self, key: &str) -> Option<(&Result<R, String>, i64)> {
        self.kept.get(key).map(|kept| (&kept.record, kept.revision))
    }

    /// The record at a key.
    pub(super) fn find(&self, key: &str) -> Option<&Kept<R>> {
        self.kept.get(key)
    }

    /// All that are kept, by their keys.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, &Kept<R>)> {
        self.kept.iter().map(|(key, kept)| (key.as_str(), kept))
    }

    /// How many can be read.
    pub(super) fn readable(&self) -> usize {
        self.kept.values().filter(|kept| kept.record.is_ok()).count()
    }

    /// Equal on routers that see the same, whatever the load is.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for (key, kept) in &self.kept {
            all.update((key.len() as u64).to_be_bytes());
            all.update(key);
            all.update(kept.stable);
        }
        all.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(key: &str, revision: i64, region: &str, sessions: u64) -> Stored {
        let text = format!(
            r#"{{"version":1,"id":"{key}","incarnation":"x","region":"{region}","build":"1","started_unix":1,"load":{{"sessions":{sessions}}}}}"#
        );
        Stored { key: key.to_owned(), value: text.into_bytes(), revision }
    }

    fn new(limit: usize) -> View<RouterRecord> {
        View::new("routers", limit)
    }

    fn names(view: &View<RouterRecord>) -> Vec<&str> {
        view.kept().map(|(key, _)| key).collect()
    }

    #[test]
    fn the_digest_is_of_what_is_seen_and_not_of_the_way_there_nor_of_the_load() {
        let now = Instant::now();
        let (mut one, mut other) = (new(9), new(9));
        one.replace(vec![stored("a", 1, "sh", 0), stored("b", 2, "sh", 0)], false, now);
        for change in [stored("c", 3, "sh", 1), stored("b", 4, "sh", 7), stored("a", 5, "sh", 9)] {
            other.apply(Change::Put(change), now);
        }
        assert_ne!(one.digest(), other.digest());
        other.apply(Change::Deleted { key: "c".to_owned() }, now);
        assert_eq!(one.digest(), other.digest());
        other.apply(Change::Put(stored("a", 6, "bj", 9)), now);
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn a_router_is_told_when_it_comes_drains_is_started_anew_and_goes() {
        let (mut view, now) = (new(9), Instant::now());
        let mut tell = |change| view.apply(change, now);
        let seen = DirectoryFact::RouterSeen { router: "a".into(), region: "sh".into(), build: "1".into() };
        let seen = News::Fact(seen);
        assert_eq!(tell(Change::Put(stored("a", 1, "sh", 0))), std::slice::from_ref(&seen));
        assert_eq!(tell(Change::Put(stored("a", 2, "sh", 5))), []);
        let text = |stored: Stored| String::from_utf8(stored.value).unwrap();
        let with = |from: &str, to: &str, revision| {
            let value = text(stored("a", 0, "sh", 5)).replace(from, to).into_bytes();
            Change::Put(Stored { key: "a".to_owned(), value, revision })
        };
        let draining = with("\"load\"", "\"draining\":true,\"load\"", 3);
        assert_eq!(tell(draining), [News::Fact(DirectoryFact::RouterDraining { router: "a".into() })]);
        assert_eq!(tell(with("\"x\"", "\"y\"", 4)), [seen]);
        let gone = News::Fact(DirectoryFact::RouterGone { router: "a".into() });
        assert_eq!(tell(Change::Deleted { key: "a".to_owned() }), [gone]);
        assert_eq!(tell(Change::Deleted { key: "a".to_owned() }), []);
    }

    #[test]
    fn what_cannot_be_read_is_told_once_and_hurts_nobody() {
        let (mut view, now) = (new(9), Instant::now());
        let bad = |revision, text: &str| {
            Change::Put(Stored { key: "x".to_owned(), value: text.as_bytes().to_vec(), revision })
        };
        view.apply(Change::Put(stored("a", 1, "sh", 0)), now);
        let told = view.apply(bad(2, r#"{"version":2}"#), now);
        let unreadable =
            |news: &News| matches!(news, News::Fact(DirectoryFact::RecordUnreadable { key, .. }) if key == "routers/x");
        assert!(told.len() == 1 && unreadable(&told[0]), "{told:?}");
        assert_eq!(view.apply(bad(3, r#"{"version":2,"more":1}"#), now), []);
        assert_eq!((view.readable(), names(&view)), (1, vec!["a", "x"]));
        assert_eq!(view.apply(bad(4, "{"), now).len(), 1, "it is another fault");
        // all read again: what is the same is not told again
        let again = vec![stored("a", 1, "sh", 0), Stored { key: "x".to_owned(), value: b"{".to_vec(), revision: 4 }];
        assert_eq!(view.replace(again, false, now), []);
        assert_eq!(view.apply(Change::Deleted { key: "x".to_owned() }, now), []);
    }

    #[test]
    fn past_the_bound_the_first_keys_are_kept_whatever_order_they_come_in() {
        let now = Instant::now();
        for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
            let mut view = new(2);
            let facts: Vec<_> =
                (1..).zip(order).flat_map(|(n, key)| view.apply(Change::Put(stored(key, n, "sh", 0)), now)).collect();
            assert_eq!(names(&view), ["a", "b"], "{order:?}");
            let overfull =
                facts.iter().filter(|fact| **fact == News::Fact(DirectoryFact::Overfull { limit: 2 })).count();
            assert_eq!(overfull, 1, "{order:?}: {facts:?}");
            assert!(!view.has_room_for_others());
            view.apply(Change::Deleted { key: "a".to_owned() }, now);
            assert!(view.has_room_for_others());
            assert_eq!(view.replace(vec![stored("b", 9, "sh", 0)], true, now), []);
            assert!(view.has_room_for_others());
            view.replace(vec![stored("b", 9, "sh", 0)], false, now);
            assert!(!view.has_room_for_others());
        }
    }
}
