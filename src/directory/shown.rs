//! The directory as operators see it: the fleet, how new the view of it is, and whether etcd answers.

use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Compared, Directory, RouterRecord, RulesStanding, Side,
    following::Following,
    rooms::Rooms,
    rules,
    view::{Kept, Record, View},
};

/// The fleet as one router sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FleetView {
    /// Which router sees it so.
    pub router: String,
    /// Whether etcd's last answer was one that helps.
    pub answers: bool,
    /// Why not, for people.
    pub why: Option<String>,
    /// Whether this router's record stands, as far as it was told.
    pub registered: bool,
    /// How long ago its lease was proven.
    pub lease_age_seconds: f64,
    /// `reading`, `opening`, `watching`.
    pub watch: &'static str,
    /// For how long nothing has proven that the view is new.
    pub watch_lag_seconds: f64,
    /// Of the last change that was told.
    pub revision: i64,
    /// Equal on routers that see the same: twelve hexadecimal digits.
    pub digest: String,
    /// Of the rules of the fleet that stand there; 0: none do, or they were not read yet.
    pub rules_revision: i64,
    /// Those that are registered, by id.
    pub routers: Vec<RouterRow>,
    /// Media nodes that are registered with any of them; signalbox nodes shows them.
    pub media_nodes: usize,
    /// Rooms of this router that the fleet does not know of: their records could not be written yet.
    pub rooms_unwritten: usize,
    /// This router's rooms against their records; absent: they were not compared yet.
    pub rooms_compared: Option<ComparedRow>,
    /// Records that cannot be read.
    pub unreadable: Vec<UnreadableRow>,
}

/// This router's rooms, and the records that stand under its lease, when both were looked at last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedRow {
    /// How long ago that was.
    pub age_seconds: f64,
    /// Of rooms that have a record, as far as this router was told.
    pub here: SideRow,
    /// Of records.
    pub there: SideRow,
}

/// One side of it; what is just being written or taken away is on neither.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideRow {
    /// Equal on both sides where they are: twelve hexadecimal digits.
    pub digest: String,
    /// How many there are.
    pub rooms: usize,
    /// How many of these the other side lacked twice in a row.
    pub alone: usize,
}

impl From<Side> for SideRow {
    fn from(Side { digest, rooms, alone }: Side) -> Self {
        Self { digest: hexadecimal(digest), rooms, alone }
    }
}

/// A router of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouterRow {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub region: String,
    /// Its program's version.
    pub version: String,
    /// Where clients reach it itself; may be empty.
    pub url: String,
    /// Where operators reach it; may be empty.
    pub ops_url: String,
    /// Where other routers reach it that have clients of its rooms; empty: nowhere.
    pub relay_url: String,
    /// When it was started, seconds since the Unix epoch.
    pub started_unix: u64,
    /// When it said so last.
    pub sessions: u64,
    /// When it said so last.
    pub rooms: u64,
    /// For how long nothing had proven to it that its view is new, when it said so last.
    pub watch_lag_seconds: f64,
    /// Of its view, when it said so last: twelve hexadecimal digits; empty: it did not.
    pub digest: String,
    /// Writes that waited in its journal for Redis, when it said so last,
    pub journal_writes: u64,
    /// and for how long the oldest had.
    pub journal_age_seconds: f64,
    /// How long ago it wrote its record, as far as this router knows.
    pub lease_age_seconds: f64,
    /// It is about to end.
    pub draining: bool,
    /// How far it follows the rules of the fleet; absent: it does not say.
    pub rules: Option<RulesStanding>,
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnreadableRow {
    /// Its key, after the prefix.
    pub key: String,
    /// Why.
    pub why: String,
}

/// What gauges show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// How long the lease lasts.
    pub lease: Duration,
    /// How long ago it was proven.
    pub lease_age: Duration,
    /// For how long nothing has proven that the view is new.
    pub watch_lag: Duration,
    /// Routers in it.
    pub routers: usize,
    /// Records of it that cannot be read.
    pub unreadable: usize,
    /// Rooms of this router whose records could not be written yet.
    pub rooms_unwritten: usize,
    /// Its rooms against their records, and how long ago that was; absent: they were not compared yet.
    pub rooms: Option<(Compared, Duration)>,
    /// Equal on routers that see the same.
    pub digest: u64,
    /// How far this router follows the rules of the fleet.
    pub rules: RulesStanding,
}

impl Directory {
    /// Whether the others count on this router, as far as it knows: it was heard of within half a lease.
    pub fn counts_on_itself(&self, now: Instant) -> bool {
        self.registration.age(now) < self.lease / 2
    }

    /// What gauges show at that moment.
    pub fn figures(&self, now: Instant) -> Figures {
        let (routers, nodes) = (self.routers.view.readable(), self.media.view.readable());
        Figures {
            lease: self.lease,
            lease_age: self.registration.age(now),
            watch_lag: self.lag(now),
            routers,
            unreadable: self.routers.view.kept().count() + self.media.view.kept().count() - routers - nodes,
            rooms_unwritten: self.rooms_unwritten(),
            rooms: self.compared(now),
            digest: self.digest(),
            rules: self.own.rules.unwrap_or_default(),
        }
    }

    fn compared(&self, now: Instant) -> Option<(Compared, Duration)> {
        let compared = self.rooms.as_ref()?.comparing.compared()?;
        Some((compared, now.saturating_duration_since(compared.at)))
    }

    fn rooms_unwritten(&self) -> usize {
        self.rooms.as_ref().map_or(0, Rooms::unwritten)
    }

    /// Of the part that is worse off.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let parts = [&self.routers.following, &self.media.following, &self.rules.following];
        let taken = self.rooms.is_some().then_some(&self.taken.following);
        parts.into_iter().chain(taken).map(|following| following.lag(now)).max().unwrap_or_default()
    }

    /// Of all parts; 48 bits, which a float holds exactly.
    pub(super) fn digest(&self) -> u64 {
        let parts = [self.routers.view.digest(), self.media.view.digest(), self.rules.view.digest()].concat();
        let digest: [u8; 32] = Sha256::digest(parts).into();
        digest[26..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The word for what its watches do; of the one that is worse off.
    fn watch(&self) -> &'static str {
        let parts = [&self.routers.following, &self.media.following, &self.rules.following];
        let taken = self.rooms.is_some().then_some(&self.taken.following);
        let phases: Vec<_> = parts.into_iter().chain(taken).map(Following::phase).collect();
        let worse = ["reading", "opening"].into_iter().find(|phase| phases.contains(phase));
        worse.unwrap_or("watching")
    }

    fn unreadable(&self) -> Vec<UnreadableRow> {
        fn rows<R: Record>(view: &View<R>) -> impl Iterator<Item = UnreadableRow> {
            let row = |(key, kept): (&str, &Kept<R>)| {
                let why = kept.record.as_ref().err()?.clone();
                Some(UnreadableRow { key: view.shown(key), why })
            };
            view.kept().filter_map(row)
        }
        rows(&self.routers.view).chain(rows(&self.media.view)).collect()
    }

    /// What operators see at that moment.
    pub fn shown(&self, now: Instant) -> FleetView {
        let row = |(_, kept): (&str, &Kept<RouterRecord>)| {
            let record = kept.record.as_ref().ok()?;
            Some(RouterRow {
                id: record.id.clone(),
                region: record.region.clone(),
                version: record.build.clone(),
                url: record.url.clone(),
                ops_url: record.ops_url.clone(),
                relay_url: record.relay_url.clone(),
                started_unix: record.started_unix,
                sessions: record.load.sessions,
                rooms: record.load.rooms,
                watch_lag_seconds: seconds(record.load.watch_lag_ms),
                digest: record.load.digest.map(hexadecimal).unwrap_or_default(),
                journal_writes: record.load.journal_writes,
                journal_age_seconds: seconds(record.load.journal_age_ms),
                lease_age_seconds: kept.age(now).as_secs_f64(),
                draining: record.draining,
                rules: record.rules,
            })
        };
        let not_yet = || (!self.found).then(|| "it was not asked yet".to_owned());
        FleetView {
            router: self.own.id.clone(),
            answers: self.found && self.fault.is_none(),
            why: self.fault.as_ref().map(|fault| fault.why.clone()).or_else(not_yet),
            registered: self.registration.stands(),
            lease_age_seconds: self.registration.age(now).as_secs_f64(),
            watch: self.watch(),
            watch_lag_seconds: self.lag(now).as_secs_f64(),
            revision: self.revision(),
            digest: hexadecimal(self.digest()),
            rules_revision: rules::standing(&self.rules.view).map_or(0, |news| news.revision),
            routers: self.routers.view.kept().filter_map(row).collect(),
            media_nodes: self.media.view.readable(),
            rooms_unwritten: self.rooms_unwritten(),
            rooms_compared: self.compared(now).map(|(compared, age)| ComparedRow {
                age_seconds: age.as_secs_f64(),
                here: compared.here.into(),
                there: compared.there.into(),
            }),
            unreadable: self.unreadable(),
        }
    }
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// Of 48 bits.
fn hexadecimal(digest: u64) -> String {
    format!("{digest:012x}")
}
