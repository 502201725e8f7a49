//! What the guard decides, and the words for it.

use std::time::Duration;

use crate::protocol::OpKind;

/// Whose requests count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of this router's.
    Router,
    /// Those of an API key.
    Key,
    /// Those of a client address (IPv6: of one /64).
    Address,
    /// Those of an identity under its API key.
    User,
}

impl Scope {
    /// All of them, the widest first.
    pub const ALL: [Self; 4] = [Self::Router, Self::Key, Self::Address, Self::User];

    /// The word for it in the configuration, in metrics, lines and refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Key => "key",
            Self::Address => "address",
            Self::User => "user",
        }
    }
}

/// Which limit a refusal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// More in a time than a scope may.
    Rate(Scope),
    /// More at once than a scope may.
    AtOnce(Scope),
    /// A shard's queue is so long that it takes no new joins.
    QueueOfJoins,
    /// It is so long that signals of those who are there are refused as well.
    QueueOfSignals,
    /// The signal's time was over before it was carried out.
    Deadline,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Rate(Scope::Router),
        Self::Rate(Scope::Key),
        Self::Rate(Scope::Address),
        Self::Rate(Scope::User),
        Self::AtOnce(Scope::Router),
        Self::AtOnce(Scope::Key),
        Self::AtOnce(Scope::Address),
        Self::AtOnce(Scope::User),
        Self::QueueOfJoins,
        Self::QueueOfSignals,
        Self::Deadline,
    ];

    /// Its place among [`ALL`](Self::ALL).
    pub const fn place(self) -> usize {
        match self {
            Self::Rate(scope) => scope as usize,
            Self::AtOnce(scope) => Scope::ALL.len() + scope as usize,
            Self::QueueOfJoins => 2 * Scope::ALL.len(),
            Self::QueueOfSignals => 2 * Scope::ALL.len() + 1,
            Self::Deadline => 2 * Scope::ALL.len() + 2,
        }
    }

    /// The word for it in metrics, lines and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate(Scope::Router) => "router_rate",
            Self::Rate(Scope::Key) => "key_rate",
            Self::Rate(Scope::Address) => "address_rate",
            Self::Rate(Scope::User) => "user_rate",
            Self::AtOnce(Scope::Router) => "router_at_once",
            Self::AtOnce(Scope::Key) => "key_at_once",
            Self::AtOnce(Scope::Address) => "address_at_once",
            Self::AtOnce(Scope::User) => "user_at_once",
            Self::QueueOfJoins => "queue_joins",
            Self::QueueOfSignals => "queue_signals",
            Self::Deadline => "deadline",
        }
    }
}

/// What was to be done when the guard refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// To connect.
    Connection,
    /// A signal of that kind.
    Signal(OpKind),
}

impl Asked {
    /// How many there are.
    pub const COUNT: usize = 1 + OpKind::ALL.len();

    /// Its place: a connection's is the first.
    pub const fn place(self) -> usize {
        match self {
            Self::Connection => 0,
            Self::Signal(op) => 1 + op as usize,
        }
    }

    /// The word for it in metrics and lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connect",
            Self::Signal(op) => op.name(),
        }
    }
}

/// What a shard turns away because its queue does not get shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pressure {
    /// Nothing.
    #[default]
    Calm,
    /// New joins.
    Joins,
    /// New joins, and signals that would wait too long.
    Signals,
}

impl Pressure {
    /// The word for it in lines and pages; the metric's number is its place.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Joins => "joins",
            Self::Signals => "signals",
        }
    }
}

/// Something that the guard did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// It refused a connection or a signal.
    Refused {
        /// What was to be done.
        asked: Asked,
        /// Which limit was reached.
        limit: Limit,
    },
    /// A shard's queue became too long, or short enough again.
    PressureChanged {
        /// The shard.
        shard: u16,
        /// What it turned away before.
        from: Pressure,
        /// What it turns away now.
        to: Pressure,
        /// The least that anything waited for it in the last tenth of a second.
        waited: Duration,
    },
    /// So many scopes are known that some were forgotten which had not been quiet yet: their limits begin anew.
    Forgotten {
        /// Of which kind.
        scope: Scope,
        /// How many, since this was told last.
        count: u64,
    },
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All pass.
    Closed,
    /// None passes.
    Open,
    /// A few pass, to see whether it is over.
    HalfOpen,
}

impl BreakerState {
    /// All of them; the metric's number of a state is its place.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word for it in metrics, lines and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// Why a breaker went to another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerReason {
    /// Too large a share of the last calls failed.
    Failures,
    /// Too large a share of the last calls was slow.
    Slow,
    /// It has been open for its time.
    Waited,
    /// A probe failed, was slow, or was never heard of again.
    ProbeFailed,
    /// All probes were answered in time.
    Probed,
}

impl BreakerReason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Failures, Self::Slow, Self::Waited, Self::ProbeFailed, Self::Probed];

    /// The word for it in metrics, lines and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Slow => "slow",
            Self::Waited => "waited",
            Self::ProbeFailed => "probe_failed",
            Self::Probed => "probed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_counted_stands_at_its_own_place() {
        for (place, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit.place(), place);
        }
        for (place, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(scope as usize, place);
        }
        let asked = OpKind::ALL.map(|op| Asked::Signal(op).place());
        assert_eq!((Asked::Connection.place(), asked[0], asked[asked.len() - 1] + 1), (0, 1, Asked::COUNT));
    }
}
