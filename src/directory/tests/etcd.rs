//! An etcd in a few lines: revisions, history, compaction, leases, watches.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::*;

/// See the module.
pub(super) struct Etcd {
    cluster: u64,
    revision: i64,
    /// Value, revision, lease.
    now: BTreeMap<String, (Vec<u8>, i64, i64)>,
    /// Revision, key, value; absent: deleted.
    history: Vec<(i64, String, Option<Vec<u8>>)>,
    compacted: i64,
    leases: BTreeMap<i64, (Instant, Duration)>,
    granted: i64,
    /// Who speaks with it now.
    client: String,
    /// Prefix and first revision by whose stream it is and its ticket.
    streams: BTreeMap<(String, u64), (String, i64)>,
    said: VecDeque<((String, u64), Heard)>,
}

impl Default for Etcd {
    fn default() -> Self {
        Self {
            cluster: 1,
            revision: 1,
            now: BTreeMap::new(),
            history: Vec::new(),
            compacted: 0,
            leases: BTreeMap::new(),
            granted: 0,
            client: String::new(),
            streams: BTreeMap::new(),
            said: VecDeque::new(),
        }
    }
}

impl Etcd {
    /// Speaks with that router from now on.
    pub(super) fn serve(&mut self, client: &str) {
        self.client = client.to_owned();
    }

    fn own(&self, ticket: u64) -> (String, u64) {
        (self.client.clone(), ticket)
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.now.get(key).map(|(value, ..)| value.clone())
    }

    pub(super) fn keys(&self, prefix: &str) -> Vec<String> {
        self.now.keys().filter_map(|key| key.strip_prefix(prefix).map(str::to_owned)).collect()
    }

    pub(super) fn put(&mut self, key: &str, value: Vec<u8>) {
        self.write(key, value, 0);
    }

    /// The same once more, under the lease that it stands under.
    pub(super) fn copy(&mut self, key: &str, to: &str) {
        let (value, _, lease) = self.now[key].clone();
        self.write(to, value, lease);
    }

    fn write(&mut self, key: &str, value: Vec<u8>, lease: i64) {
        self.revision += 1;
        self.now.insert(key.to_owned(), (value.clone(), self.revision, lease));
        self.tell(key, Some(value));
    }

    pub(super) fn delete(&mut self, key: &str) {
        if self.now.remove(key).is_some() {
            self.revision += 1;
            self.tell(key, None);
        }
    }

    fn of_a_room(&mut self, call: &Call) -> Answer {
        let (key, value, lease, expected, notice) = match call {
            Call::Hold { key, value, lease, expected, notice } => (key, value, *lease, *expected, notice),
            Call::Look { key } => return self.held(key),
            _ => unreachable!("{call:?}"),
        };
        if self.now.get(key).map_or(0, |(_, revision, _)| *revision) != expected {
            return self.held(key);
        }
        self.write(key, value.clone(), lease);
        if let Some((key, value)) = notice {
            // of one revision
            self.revision -= 1;
            self.write(key, value.clone(), lease);
        }
        Answer::Written { cluster: self.cluster, revision: self.revision }
    }

    fn held(&self, key: &str) -> Answer {
        self.now.get(key).map_or(Answer::Nothing, |(value, revision, _)| {
            Answer::Held(Stored { key: String::new(), value: value.clone(), revision: *revision })
        })
    }

    fn tell(&mut self, key: &str, value: Option<Vec<u8>>) {
        let revision = self.revision;
        for (stream, (prefix, _)) in self.streams.iter().filter(|(_, (_, from))| revision >= *from) {
            if let Some(key) = key.strip_prefix(prefix.as_str()) {
                self.said.push_back((stream.clone(), changed(key, value.clone(), revision)));
            }
        }
        self.history.push((revision, key.to_owned(), value));
    }

    /// All but the newest revision is forgotten.
    pub(super) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.retain(|(revision, ..)| *revision > self.compacted);
    }

    /// All streams break, and what they had to say is lost.
    pub(super) fn cut(&mut self) {
        self.said.clear();
        for (stream, _) in std::mem::take(&mut self.streams) {
            self.said.push_back((stream, Heard::Ended { why: "cut".to_owned() }));
        }
    }

    /// Another etcd in its place.
    pub(super) fn wipe(&mut self) {
        self.cut();
        let (said, client) = (std::mem::take(&mut self.said), self.client.clone());
        // the numbers of leases are drawn: no two are the same
        let granted = self.granted;
        *self = Self { cluster: self.cluster + 1, said, client, granted, ..Self::default() };
    }

    pub(super) fn close(&mut self, stream: u64) {
        let own = self.own(stream);
        self.streams.remove(&own);
        self.said.retain(|(of, _)| *of != own);
    }

    pub(super) fn probe(&mut self, stream: u64) {
        let own = self.own(stream);
        if self.streams.contains_key(&own) {
            self.said.push_back((own, Heard::Alive));
        }
    }

    pub(super) fn said(&mut self) -> Option<(u64, Heard)> {
        let own = self.said.iter().position(|((client, _), _)| *client == self.client)?;
        self.said.remove(own).map(|((_, ticket), heard)| (ticket, heard))
    }

    /// Leases that were not refreshed end.
    pub(super) fn expire(&mut self, now: Instant) {
        let over: Vec<i64> = self.leases.iter().filter(|(_, (at, ttl))| now > *at + *ttl).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|lease| self.revoke(lease));
    }

    fn under(&self, lease: i64, prefix: &str) -> Answer {
        if !self.leases.contains_key(&lease) {
            return Answer::Refreshed { alive: false };
        }
        let under = self.now.iter().filter(|(_, (.., of))| *of == lease);
        Answer::Under { keys: under.filter_map(|(key, _)| key.strip_prefix(prefix).map(str::to_owned)).collect() }
    }

    fn revoke(&mut self, lease: i64) {
        self.leases.remove(&lease);
        let under = self.now.iter().filter(|(_, (.., of))| *of == lease).map(|(key, _)| key.clone());
        under.collect::<Vec<_>>().iter().for_each(|key| self.delete(key));
    }

    pub(super) fn answer(&mut self, ticket: u64, call: &Call, now: Instant) -> Result<Answer, Fault> {
        let (cluster, gone) = (self.cluster, || Fault { outcome: DirectoryOutcome::Gone, why: "gone".to_owned() });
        match call {
            Call::Grant { ttl } => {
                self.granted += 1;
                self.leases.insert(self.granted, (now, *ttl));
                Ok(Answer::Granted { lease: self.granted })
            }
            Call::Refresh { lease } => {
                let alive = self.leases.get_mut(lease).map(|(at, _)| *at = now).is_some();
                Ok(Answer::Refreshed { alive })
            }
            Call::Put { lease, .. } if !self.leases.contains_key(lease) => Err(gone()),
            Call::Put { key, value, lease } => {
                self.write(key, value.clone(), *lease);
                Ok(Answer::Written { cluster, revision: self.revision })
            }
            Call::Claim { lease, .. } if !self.leases.contains_key(lease) => Err(gone()),
            Call::Claim { key, value, lease, expected } => {
                let is_expected = self.now.get(key).map_or(0, |(_, revision, _)| *revision) == *expected;
                if !is_expected {
                    return Ok(Answer::Overtaken);
                }
                self.write(key, value.clone(), *lease);
                Ok(Answer::Written { cluster, revision: self.revision })
            }
            Call::Hold { lease, .. } if !self.leases.contains_key(lease) => Err(gone()),
            Call::Hold { .. } | Call::Look { .. } => Ok(self.of_a_room(call)),
            Call::Release { key, expected, says } => {
                let is_it = |(value, revision, _): &(Vec<u8>, i64, i64)| {
                    revision == expected && says.as_ref().is_none_or(|says| says == value)
                };
                if !self.now.get(key).is_some_and(is_it) {
                    return Ok(Answer::Overtaken);
                }
                self.delete(key);
                Ok(Answer::Written { cluster, revision: self.revision })
            }
            // operators' calls are not the directory's
            Call::Rules { .. } => panic!("{call:?}"),
            Call::Revoke { lease } => {
                self.revoke(*lease);
                Ok(Answer::Revoked)
            }
            Call::Under { lease, prefix } => Ok(self.under(*lease, prefix)),
            Call::List { prefix, limit } => {
                let stored = self.now.iter().filter_map(|(key, (value, revision, _))| {
                    let key = key.strip_prefix(prefix.as_str())?.to_owned();
                    Some(Stored { key, value: value.clone(), revision: *revision })
                });
                let all: Vec<_> = stored.collect();
                let (more, revision) = (all.len() > *limit, self.revision);
                Ok(Answer::Listed { cluster, revision, records: all.into_iter().take(*limit).collect(), more })
            }
            Call::Watch { prefix, from } => {
                let own = self.own(ticket);
                self.streams.insert(own.clone(), (prefix.clone(), *from));
                if *from <= self.compacted {
                    self.streams.remove(&own);
                    self.said.push_back((own.clone(), Heard::Compacted));
                }
                for (revision, key, value) in self.history.iter().filter(|(revision, ..)| revision >= from) {
                    if let Some(key) = key.strip_prefix(prefix.as_str()).filter(|_| *from > self.compacted) {
                        self.said.push_back((own.clone(), changed(key, value.clone(), *revision)));
                    }
                }
                Ok(Answer::Watching)
            }
        }
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
