//! The guard at the door: who asks, what each scope has used, and how a refusal reads.
//!
//! The rules are `crate::guard`'s; here are the cells that they count in, the tables that these are found by, and the
//! moment. A decision is a few atomic operations on the way of a signal: no lock, no allocation.

mod cell;
mod pressure;
mod table;
#[cfg(test)]
mod tests;
mod under_way;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;

pub(crate) use self::pressure::{Bounds, Gauge, limit_of};
use self::{
    cell::{Cell, Full},
    table::Table,
};
pub use self::{
    pressure::QueueSettings,
    under_way::{Scopes, UnderWay},
};
use super::listener::origin_of;
use crate::{
    event::{Limit, Scope, nanos},
    guard::{
        limits::{Check, Rules, Share, Slot},
        overload::Class,
    },
    protocol::{Code, OpKind, Refusal},
};

/// When whoever found no place may try again: connections end in their own time.
const CONNECTION_AGAIN_MS: u64 = 1_000;
/// The same for a signal: others have ended by then, or been refused for being late.
const SIGNAL_AGAIN_MS: u64 = 150;
/// When a join that a queue turned away may come again, at the earliest: some intervals of the queue's delay.
const JOIN_AGAIN_MS: u64 = 1_000;

/// What may come, and how much of it is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSettings {
    /// Limits by op and scope.
    pub rules: Rules,
    /// Cells to remember of addresses, and of users, beside those of connections that are there.
    pub cells: usize,
    /// Whose limits are the whole fleet's: this router allows its share of them.
    pub of_the_fleet: Vec<Scope>,
}

/// See the module.
#[derive(Debug)]
pub struct Guard {
    /// As they are asked: with this router's share of what is the fleet's.
    rules: ArcSwap<Rules>,
    whole: Mutex<Whole>,
    begun: Instant,
    router: Arc<Cell>,
    keys: Table,
    addresses: Table,
    users: Table,
}

/// What the rules in force are made from.
#[derive(Debug)]
struct Whole {
    rules: Rules,
    of_the_fleet: Vec<Scope>,
    share: Share,
}

impl Whole {
    fn in_force(&self) -> Arc<Rules> {
        Arc::new(self.rules.shared(&self.of_the_fleet, self.share))
    }
}

/// A refusal before it has words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// Which limit was reached.
    pub limit: Limit,
    check: Check,
    after_ms: u64,
}

impl Shed {
    fn of(check: &Check, full: Full) -> Self {
        let (limit, after_ms) = match (full, check.slot) {
            (Full::Rate(after_ns), _) => (Limit::Rate(check.scope), after_ns.div_ceil(1_000_000)),
            (Full::Places, Slot::Connect) => (Limit::AtOnce(check.scope), CONNECTION_AGAIN_MS),
            (Full::Places, _) => (Limit::AtOnce(check.scope), SIGNAL_AGAIN_MS),
        };
        Self { limit, check: *check, after_ms }
    }

    /// Which limit it was, what it allows, and when to come again.
    pub fn refusal(&self) -> Refusal {
        let Check { scope, slot, bound, of } = self.check;
        let at = format!("guard.ops.{}.{}", slot.name(), scope.name());
        let (code, why) = match (self.limit, bound.rate, bound.at_once) {
            (Limit::Rate(_), Some(rate), _) => (Code::RateLimited, format!("{at}: more than {rate}")),
            (_, _, most) => {
                let code = if slot == Slot::Connect { Code::TooManyConnections } else { Code::TooManyAtOnce };
                let why = match most.unwrap_or_default() {
                    0 if of > 1 => format!("{at}: this router has no place of it"),
                    most => format!("{at}: more than {most} at once"),
                };
                (code, why)
            }
        };
        let why = match of {
            1 => why,
            of => format!("{why}; a limit of the fleet, of which each of {of} routers allows its part"),
        };
        // what all together are too many of is nobody's own doing
        let code = if scope == Scope::Router { Code::Overloaded } else { code };
        code.because(why).retry_after_ms(self.after_ms)
    }
}

/// The refusal of what a queue turns away; not all come back at once.
pub(crate) fn queue_refusal(class: Class) -> Refusal {
    let (why, again) = match class {
        Class::Join => ("guard.queue_joins_ms: the room's shard is behind, and takes no new joins", JOIN_AGAIN_MS),
        _ => ("guard.queue_signals_ms: the room's shard is behind, and would be too late with this", SIGNAL_AGAIN_MS),
    };
    Code::Overloaded.because(why).retry_after_ms(again + fastrand::u64(0..=again))
}

/// A connection whose address is known and nothing else: what it has taken of what it may.
#[derive(Debug)]
pub struct AtTheDoor {
    address: Arc<Cell>,
    taken: Option<UnderWay>,
}

/// A connection that was let in: its scopes, and its own places until it ends.
#[derive(Debug)]
pub struct Entered {
    /// Whose limits hold for what it does.
    pub scopes: Arc<Scopes>,
    _taken: Option<UnderWay>,
}

/// How many cells there are, and how many were forgotten since this was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Cells now.
    pub cells: usize,
    /// Let go of while they still counted.
    pub forgotten: u64,
}

impl Guard {
    /// Nobody is known yet.
    pub fn new(settings: GuardSettings) -> Self {
        let GuardSettings { rules, cells, of_the_fleet } = settings;
        let table = || Table::new(cells);
        let whole = Whole { rules, of_the_fleet, share: Share::WHOLE };
        Self {
            rules: ArcSwap::from(whole.in_force()),
            whole: Mutex::new(whole),
            begun: Instant::now(),
            router: Arc::default(),
            keys: table(),
            addresses: table(),
            users: table(),
        }
    }

    /// Other limits, from now on; what was used up stays so.
    pub fn configure(&self, settings: GuardSettings) {
        let GuardSettings { rules, cells, of_the_fleet } = settings;
        let mut whole = self.whole();
        (whole.rules, whole.of_the_fleet) = (rules, of_the_fleet);
        self.rules.store(whole.in_force());
        drop(whole);
        for table in [&self.keys, &self.addresses, &self.users] {
            table.configure(cells);
        }
    }

    /// Which part of the fleet's limits this router allows from now on.
    pub fn set_share(&self, share: Share) {
        let mut whole = self.whole();
        if std::mem::replace(&mut whole.share, share) != share {
            self.rules.store(whole.in_force());
        }
    }

    /// Which part of the fleet's limits this router allows.
    pub fn share(&self) -> Share {
        self.whole().share
    }

    fn whole(&self) -> MutexGuard<'_, Whole> {
        // each of it is changed at once
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a connection of that address, before anything else is known of it.
    ///
    /// # Errors
    /// Which limit refuses it.
    pub fn knock(&self, address: IpAddr, at: Instant) -> Result<AtTheDoor, Shed> {
        let now_ns = self.nanos(at);
        let cell = self.addresses.cell(origin_of(address), now_ns);
        let scopes = Scopes::new([Some(self.router.clone()), None, Some(cell.clone()), None]);
        let taken = self.connect(&Arc::new(scopes), [Scope::Router, Scope::Address], now_ns)?;
        Ok(AtTheDoor { address: cell, taken })
    }

    /// Asks for it once its token has been verified: of that API key and identity.
    ///
    /// # Errors
    /// Which limit refuses it.
    pub fn enter(&self, door: AtTheDoor, (key, identity): (&str, &str), at: Instant) -> Result<Entered, Shed> {
        let now_ns = self.nanos(at);
        let AtTheDoor { address, taken } = door;
        let scopes = self.scopes(address, (key, identity), now_ns);
        let own = self.connect(&scopes, [Scope::Key, Scope::User], now_ns)?;
        // one for both: there are as many as connections
        let taken = match taken {
            Some(taken) => Some(taken.with(own, &scopes)),
            None => own,
        };
        Ok(Entered { scopes, _taken: taken })
    }

    /// The scopes of a connection that another router let in, and counts.
    pub(crate) fn relayed(&self, address: IpAddr, user: (&str, &str), at: Instant) -> Entered {
        let now_ns = self.nanos(at);
        let address = self.addresses.cell(origin_of(address), now_ns);
        Entered { scopes: self.scopes(address, user, now_ns), _taken: None }
    }

    /// Of a connection from that address, of that API key and identity.
    fn scopes(&self, address: Arc<Cell>, (key, identity): (&str, &str), now_ns: u64) -> Arc<Scopes> {
        let (of_key, of_user) = (self.keys.cell(key, now_ns), self.users.cell((key, identity), now_ns));
        Arc::new(Scopes::new([Some(self.router.clone()), Some(of_key), Some(address), Some(of_user)]))
    }

    /// Asks for a connection's places, of these scopes.
    fn connect(&self, scopes: &Arc<Scopes>, of: [Scope; 2], now_ns: u64) -> Result<Option<UnderWay>, Shed> {
        let rules = self.rules.load();
        let checks = rules.connect().iter().filter(|check| of.contains(&check.scope));
        UnderWay::take(scopes, checks, now_ns).map_err(|(check, full)| Shed::of(check, full))
    }

    /// Asks for one signal of a connection; what it answers is held until the signal has been handled.
    ///
    /// # Errors
    /// Which limit refuses it.
    #[inline]
    pub fn signal(&self, scopes: &Arc<Scopes>, op: OpKind, at: Instant) -> Result<Option<UnderWay>, Shed> {
        let rules = self.rules.load();
        let checks = rules.signal(op);
        if checks.is_empty() {
            return Ok(None);
        }
        UnderWay::take(scopes, checks, self.nanos(at)).map_err(|(check, full)| Shed::of(check, full))
    }

    /// Forgets what tells nothing any more, and says what is left, by scope. For a thread that has the time.
    pub fn tidy(&self, at: Instant) -> [(Scope, Remembered); 3] {
        let now_ns = self.nanos(at);
        [(Scope::Key, &self.keys), (Scope::Address, &self.addresses), (Scope::User, &self.users)].map(
            |(scope, table)| {
                table.tidy(now_ns);
                (scope, Remembered { cells: table.len(), forgotten: table.take_forgotten() })
            },
        )
    }

    /// Of a moment; never 0, which is no state's time.
    fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.begun)).saturating_add(1)
    }
}
