//! What happens in a world, all of it drawn from its seed before it begins.

use fastrand::Rng;

use super::operators::Node;

pub(crate) use crate::schedule::{At, SECOND};

/// Nothing fails until then.
pub(crate) const CALM: At = 20 * SECOND;
/// Nothing begins to fail from then on.
pub(crate) const HEALED: At = 80 * SECOND;
/// Long enough for leases to end and everything to be found out: four of them.
pub(crate) const END: At = HEALED + 130 * SECOND;

/// A bug that is put into a world on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A record is written whatever stands there: its revision is ignored.
    IgnoredRevision,
    /// Who lost a room is not told.
    LostNotice,
    /// A record does not end with its router.
    NoLease,
    /// A room's record is told to stand, and does not: once in a while, as long as anything fails.
    DroppedRecord,
    /// One is told to be taken away, and stays: likewise.
    SwallowedDelete,
    /// Of rules, or of nodes, etcd does not tell every change.
    UntoldRules,
    UntoldNodes,
    /// Rules are written whatever stands there: the revision that an operator saw is ignored.
    BlindWrite,
    /// A router does not share anew when it sees another one, or counts itself twice.
    UnseenRouter,
    CountsItself,
}

impl Planted {
    pub(crate) const ALL: [Self; 5] =
        [Self::IgnoredRevision, Self::LostNotice, Self::NoLease, Self::DroppedRecord, Self::SwallowedDelete];
    /// Those that end well where routers hold their rooms against their records.
    pub(crate) const MENDED: [Self; 2] = [Self::DroppedRecord, Self::SwallowedDelete];
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Somebody comes to a router for a room; `founds`: to join it, else to resume.
    Come {
        router: usize,
        room: usize,
        founds: bool,
    },
    /// All leave a room.
    Leave {
        room: usize,
    },
    /// An operator at a router writes rules of that number, or takes away what stands there.
    Rules {
        router: usize,
        number: Option<u32>,
    },
    /// A media node registers with a router, as it is then, or is not registered there any more.
    Node {
        router: usize,
        node: Node,
    },
    NodeGone {
        router: usize,
        id: u8,
    },
    /// What fails.
    Fail(Failure),
    /// What failed is mended.
    Mend(Failure),
}

/// What fails for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing passes between a router and etcd; streams that broke are told (a reset) or not (half-open).
    Cut { router: usize, told: bool },
    /// What etcd says does not arrive, what it is asked does.
    Deaf { router: usize },
    /// etcd is killed.
    Down,
    /// etcd stands still, and then does what it was asked.
    Frozen,
    /// All but the newest revision is forgotten.
    Compacted,
    /// etcd is another one, with nothing in it.
    Wiped,
    /// A router is killed, and started anew.
    Killed { router: usize },
    /// A router drains, ends, and is started anew.
    Drained { router: usize },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) routers: usize,
    /// How fast each router's clock runs, in millionths.
    pub(crate) clocks: Vec<i32>,
    pub(crate) acts: Vec<(At, Act)>,
}

impl Plan {
    pub(crate) fn new(seed: u64, large: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let routers = if large { 100 } else { rng.usize(3..=5) };
        let rooms = rng.usize(2..=2 * routers.min(8));
        let clocks = (0..routers).map(|_| rng.i32(-10_000..=10_000)).collect();
        let mut acts = Vec::new();
        for _ in 0..rng.usize(20..=120) {
            let at = rng.u64(4 * SECOND..HEALED + 5 * SECOND);
            let (router, room, founds) = (rng.usize(0..routers), rng.usize(0..rooms), rng.u8(0..4) > 0);
            let act = if rng.u8(0..5) == 0 { Act::Leave { room } } else { Act::Come { router, room, founds } };
            acts.push((at, act));
        }
        for _ in 0..rng.usize(0..=5) {
            let failure = Self::failure(&mut rng, routers);
            let at = rng.u64(CALM..HEALED);
            acts.push((at, Act::Fail(failure)));
            acts.push((rng.u64(at..=HEALED), Act::Mend(failure)));
        }
        let mut plan = Self { seed, routers, clocks, acts };
        plan.draw_operators();
        // of one moment in the order that they were drawn
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    fn failure(rng: &mut Rng, routers: usize) -> Failure {
        let router = rng.usize(0..routers);
        match rng.u8(0..12) {
            0..3 => Failure::Cut { router, told: rng.bool() },
            3 => Failure::Deaf { router },
            4 | 5 => Failure::Down,
            6 => Failure::Frozen,
            7 => Failure::Compacted,
            8 => Failure::Wiped,
            9 | 10 => Failure::Killed { router },
            _ => Failure::Drained { router },
        }
    }
}
