//! An etcd: revisions, transactions, leases, history and its compaction, watches. One member, and nothing is lost when it is killed.

use std::collections::BTreeMap;

use signalbox::directory::{Answer, Call, Change, Fault, Heard, Stored, rules_key};
use signalbox::event::DirectoryOutcome;

use super::{
    plan::{At, Planted},
    router::PREFIX,
};

/// Of what it is told, one that forgets does not do every so manyth.
const FORGETS_EACH: u64 = 3;

/// Who watches: a router, which start of it, and the ticket of its call.
pub(crate) type Watcher = (usize, u64, u64);

#[derive(Debug)]
struct Pair {
    value: Vec<u8>,
    revision: i64,
    lease: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Etcd {
    cluster: u64,
    revision: i64,
    pairs: BTreeMap<String, Pair>,
    /// Revision, key, value; absent: deleted.
    history: Vec<(i64, String, Option<Vec<u8>>)>,
    compacted: i64,
    /// When a lease was refreshed last, and how long it lasts.
    leases: BTreeMap<i64, (At, At)>,
    granted: i64,
    watchers: BTreeMap<Watcher, String>,
    planted: Option<Planted>,
    /// Calls that it may forget, and whether it does.
    told: u64,
    pub(crate) forgetful: bool,
    /// What watchers are to hear, in order.
    pub(crate) says: Vec<(Watcher, Heard)>,
}

impl Etcd {
    pub(crate) fn new(planted: Option<Planted>) -> Self {
        Self {
            cluster: 1,
            revision: 1,
            pairs: BTreeMap::new(),
            history: Vec::new(),
            compacted: 0,
            leases: BTreeMap::new(),
            granted: 0,
            watchers: BTreeMap::new(),
            planted,
            told: 0,
            forgetful: true,
            says: Vec::new(),
        }
    }

    /// What stands below a prefix, by what follows it.
    pub(crate) fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &[u8])> {
        self.pairs.iter().filter_map(move |(key, pair)| Some((key.strip_prefix(prefix)?, pair.value.as_slice())))
    }

    /// What stands at a key.
    pub(crate) fn stored(&self, key: &str) -> Option<Stored> {
        let Pair { value, revision, .. } = self.pairs.get(key)?;
        Some(Stored { key: key.to_owned(), value: value.clone(), revision: *revision })
    }

    fn stands(&self, key: &str) -> i64 {
        self.pairs.get(key).map_or(0, |pair| pair.revision)
    }

    fn write(&mut self, key: &str, value: Vec<u8>, lease: i64) {
        let revision = self.revision;
        self.pairs.insert(key.to_owned(), Pair { value: value.clone(), revision, lease });
        self.tell(key, Some(value));
    }

    fn delete(&mut self, key: &str) {
        if self.pairs.remove(key).is_some() {
            self.tell(key, None);
        }
    }

    fn tell(&mut self, key: &str, value: Option<Vec<u8>>) {
        let untold = match () {
            () if self.planted.is_none() => None,
            () if key == rules_key(PREFIX) => Some(Planted::UntoldRules),
            () if key.starts_with("/s/media/") => Some(Planted::UntoldNodes),
            () => None,
        };
        let is_untold = untold.is_some_and(|untold| self.planted == Some(untold) && self.forgets(untold));
        for (watcher, prefix) in &self.watchers {
            if let Some(key) = key.strip_prefix(prefix.as_str())
                && !is_untold
            {
                self.says.push((*watcher, changed(key, value.clone(), self.revision)));
            }
        }
        self.history.push((self.revision, key.to_owned(), value));
    }

    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.retain(|(revision, ..)| *revision > self.compacted);
    }

    /// All watches break.
    pub(crate) fn break_watches(&mut self) -> Vec<Watcher> {
        std::mem::take(&mut self.watchers).into_keys().collect()
    }

    pub(crate) fn close(&mut self, watcher: Watcher) {
        self.watchers.remove(&watcher);
    }

    /// The watches of a start of a router.
    pub(crate) fn watchers_of(&self, router: usize) -> Vec<Watcher> {
        self.watchers.keys().filter(|(of, ..)| *of == router).copied().collect()
    }

    /// How much a start of a router follows, and is told of.
    pub(crate) fn watches(&self, of: (usize, u64)) -> usize {
        self.watchers.range((of.0, of.1, 0)..=(of.0, of.1, u64::MAX)).count()
    }

    pub(crate) fn probed(&mut self, watcher: Watcher) {
        if self.watchers.contains_key(&watcher) {
            self.says.push((watcher, Heard::Alive));
        }
    }

    /// Another one in its place; the numbers of leases are drawn anew, and are others.
    pub(crate) fn wipe(&mut self) {
        let (planted, granted, cluster) = (self.planted, self.granted, self.cluster + 1);
        *self = Self { granted, cluster, told: self.told, forgetful: self.forgetful, ..Self::new(planted) };
    }

    /// A new leader gives all leases their whole time.
    pub(crate) fn renew_leases(&mut self, now: At) {
        self.leases.values_mut().for_each(|(at, _)| *at = now);
    }

    pub(crate) fn expire(&mut self, now: At) {
        let over: Vec<i64> = self.leases.iter().filter(|(_, (at, ttl))| now > at + ttl).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|lease| self.revoke(lease));
    }

    fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        let under: Vec<String> =
            self.pairs.iter().filter(|(_, pair)| pair.lease == lease).map(|(key, _)| key.clone()).collect();
        if !under.is_empty() {
            self.revision += 1;
        }
        under.iter().for_each(|key| self.delete(key));
    }

    fn written(&self) -> Answer {
        Answer::Written { cluster: self.cluster, revision: self.revision }
    }

    fn held(&self, key: &str) -> Answer {
        self.pairs.get(key).map_or(Answer::Nothing, |pair| {
            Answer::Held(Stored { key: String::new(), value: pair.value.clone(), revision: pair.revision })
        })
    }

    pub(crate) fn carry_out(&mut self, watcher: Watcher, call: &Call, now: At) -> Result<Answer, Fault> {
        let lease_of = match call {
            Call::Put { lease, .. } | Call::Claim { lease, .. } | Call::Hold { lease, .. } => Some(*lease),
            _ => None,
        };
        if lease_of.is_some_and(|lease| !self.leases.contains_key(&lease)) {
            return Err(Fault { outcome: DirectoryOutcome::Gone, why: "requested lease not found".to_owned() });
        }
        Ok(match call {
            Call::Grant { ttl } => {
                self.granted += 1;
                self.leases.insert(self.granted, (now, ttl.as_micros() as At));
                Answer::Granted { lease: self.granted }
            }
            Call::Refresh { lease } => {
                let alive = self.leases.get_mut(lease).map(|(at, _)| *at = now).is_some();
                Answer::Refreshed { alive }
            }
            Call::Revoke { lease } => {
                self.revoke(*lease);
                Answer::Revoked
            }
            Call::Look { key } => self.held(key),
            Call::Under { lease, .. } if !self.leases.contains_key(lease) => Answer::Refreshed { alive: false },
            Call::Under { lease, prefix } => self.under(*lease, prefix),
            Call::List { prefix, limit } => self.list(prefix, *limit),
            Call::Watch { prefix, from } => self.watch(watcher, prefix, *from),
            Call::Put { .. } | Call::Claim { .. } | Call::Hold { .. } | Call::Release { .. } | Call::Rules { .. } => {
                self.transact(call)
            }
        })
    }

    /// Whether it forgets records of rooms.
    pub(crate) fn forgets_rooms(&self) -> bool {
        self.planted.is_some_and(|planted| Planted::MENDED.contains(&planted))
    }

    /// It forgets what it was told, as long as anything fails.
    fn forgets(&mut self, planted: Planted) -> bool {
        self.told += 1;
        self.planted == Some(planted) && self.forgetful && self.told.is_multiple_of(FORGETS_EACH)
    }

    fn under(&self, lease: i64, prefix: &str) -> Answer {
        let under = self.pairs.iter().filter(|(_, pair)| pair.lease == lease);
        Answer::Under { keys: under.filter_map(|(key, _)| key.strip_prefix(prefix).map(str::to_owned)).collect() }
    }

    fn transact(&mut self, call: &Call) -> Answer {
        let ignores = self.planted == Some(Planted::IgnoredRevision);
        match call {
            Call::Hold { key, expected, .. }
                if self.stands(key) == *expected && self.forgets(Planted::DroppedRecord) =>
            {
                self.revision += 1;
            }
            Call::Put { key, value, lease } => {
                self.revision += 1;
                self.write(key, value.clone(), *lease);
            }
            Call::Claim { key, expected, .. } if self.stands(key) != *expected => return Answer::Overtaken,
            Call::Claim { key, value, lease, .. } => {
                self.revision += 1;
                self.write(key, value.clone(), *lease);
            }
            Call::Hold { key, expected, .. } if self.stands(key) != *expected && !ignores => return self.held(key),
            Call::Hold { key, value, lease, notice, .. } => {
                self.revision += 1;
                let lease = if self.planted == Some(Planted::NoLease) { 0 } else { *lease };
                self.write(key, value.clone(), lease);
                if let Some((key, value)) = notice.as_ref().filter(|_| self.planted != Some(Planted::LostNotice)) {
                    self.write(key, value.clone(), lease);
                }
            }
            Call::Release { key, expected, says } => {
                let is_it =
                    |pair: &Pair| pair.revision == *expected && says.as_ref().is_none_or(|says| *says == pair.value);
                if !self.pairs.get(key).is_some_and(is_it) {
                    return Answer::Overtaken;
                }
                self.revision += 1;
                // a notice has nobody who holds it against anything
                if says.is_none() || !self.forgets(Planted::SwallowedDelete) {
                    self.delete(key);
                }
            }
            Call::Rules { key, expected, .. }
                if self.stands(key) != *expected && self.planted != Some(Planted::BlindWrite) =>
            {
                return Answer::Overtaken;
            }
            Call::Rules { key, text, .. } => {
                self.revision += 1;
                match text {
                    Some(text) => self.write(key, text.clone().into_bytes(), 0),
                    None => self.delete(key),
                }
            }
            other => unreachable!("{other:?} is no transaction"),
        }
        self.written()
    }

    fn list(&self, prefix: &str, limit: usize) -> Answer {
        let stored = |(key, pair): (&String, &Pair)| {
            let key = key.strip_prefix(prefix)?.to_owned();
            Some(Stored { key, value: pair.value.clone(), revision: pair.revision })
        };
        let all: Vec<_> = self.pairs.iter().filter_map(stored).collect();
        let more = all.len() > limit;
        let records = all.into_iter().take(limit).collect();
        Answer::Listed { cluster: self.cluster, revision: self.revision, records, more }
    }

    fn watch(&mut self, watcher: Watcher, prefix: &str, from: i64) -> Answer {
        if from <= self.compacted {
            self.says.push((watcher, Heard::Compacted));
            return Answer::Watching;
        }
        for (revision, key, value) in self.history.iter().filter(|(revision, ..)| *revision >= from) {
            if let Some(key) = key.strip_prefix(prefix) {
                self.says.push((watcher, changed(key, value.clone(), *revision)));
            }
        }
        self.watchers.insert(watcher, prefix.to_owned());
        Answer::Watching
    }
}

fn changed(key: &str, value: Option<Vec<u8>>, revision: i64) -> Heard {
    let key = key.to_owned();
    let change = match value {
        Some(value) => Change::Put(Stored { key, value, revision }),
        None => Change::Deleted { key },
    };
    Heard::Changed { revision, changes: vec![change] }
}
