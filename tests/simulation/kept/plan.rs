//! What happens in a world, all of it drawn from its seed before it begins.

use fastrand::Rng;

use super::doubles::Double;

pub(crate) use crate::schedule::{At, SECOND};

pub(crate) const MS: At = 1_000;
/// Nothing fails until then.
pub(crate) const CALM: At = SECOND;
/// Nothing begins to fail from then on, and nobody says anything more,
pub(crate) const HEALED: At = 9 * SECOND;
/// but for one last word in each room, when everything has been found out.
pub(crate) const LAST_WORD: At = HEALED + 9 * SECOND;
/// Long enough for that to be written.
pub(crate) const END: At = LAST_WORD + 2 * SECOND;

/// A bug that is put into a world on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A write that did not arrive counts as one that stands.
    LostGap,
    /// One entry of a write does not arrive with the others.
    SkippedEntry,
    /// What is written once more, because there was no answer, is appended once more.
    FlushedTwice,
    /// Who writes under an older fence is not refused.
    IgnoredFence,
    /// A call that comes after a later one is not refused.
    IgnoredOrder,
    /// Routers gather for longer than they say.
    WrittenLate,
    /// What is to be kept first is acknowledged at once.
    EarlyOk,
    /// What a journal has brought it brings once more, over what was written since.
    BroughtTwice,
    /// A router that is killed loses its disk.
    LostDisk,
    /// What a router had of a room that another one has is not put beside it.
    ForgottenBranch,
    /// Who is replaced is not told.
    UntoldReplaced,
    /// Who comes once more is taken for somebody else.
    StrangeTwin,
    /// What is said to one alone passes what its router told it before.
    EarlyPush,
}

impl Planted {
    pub(crate) const ALL: [Self; 13] = [
        Self::LostGap,
        Self::SkippedEntry,
        Self::FlushedTwice,
        Self::IgnoredFence,
        Self::IgnoredOrder,
        Self::WrittenLate,
        Self::EarlyOk,
        Self::BroughtTwice,
        Self::LostDisk,
        Self::ForgottenBranch,
        Self::UntoldReplaced,
        Self::StrangeTwin,
        Self::EarlyPush,
    ];
}

/// Where what is said to a room stands before it is acknowledged: `redis.ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// In the room.
    Local,
    /// Where rooms are kept, or in its router's journal.
    Disk,
    /// Where rooms are kept.
    Remote,
}

impl Ack {
    /// By the seed itself: what else happens in a world does not depend on it.
    const fn new(seed: u64) -> Self {
        match seed % 7 {
            0 | 1 => Self::Disk,
            4 | 5 => Self::Remote,
            _ => Self::Local,
        }
    }
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A client that is in no room joins its own.
    Join { client: usize },
    /// It says something to the room.
    Say { client: usize },
    /// It says something to another client of the room.
    Tell { client: usize, to: usize },
    /// It repeats its latest request but so many.
    Repeat { client: usize, back: usize },
    /// Its connection is lost; it comes back after that time.
    Cut { client: usize, away: At },
    /// It leaves for good.
    Leave { client: usize },
    /// One who is in its room comes once more, as another client.
    Double(Double),
    /// What fails.
    Fail(Failure),
    /// What failed is mended.
    Mend(Failure),
    /// A replica of Redis hears nothing from here on.
    Behind,
    /// Somebody says the last word in each room.
    LastWord,
}

/// What fails for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Redis is away: it refuses, or says nothing.
    Away { refuses: bool },
    /// Redis has forgotten everything.
    Flushed,
    /// The replica that is behind takes over.
    Failover,
    /// Calls of a router, or their answers, are lost or late.
    Lossy { router: usize },
    /// A router is killed, and started anew.
    Killed { router: usize },
    /// A router drains for so long, ends, and is started anew.
    Drained { router: usize, window: At },
    /// The directory takes a router that lives for one that does not, and gives its room to another; it hears of it so much later.
    Doubted { room: usize, by: usize, heard_after: At },
    /// The directory does not answer a router.
    Blind { router: usize },
    /// A router hears neither of the directory nor of Redis until then; clients of its rooms come to another, which takes them over.
    CutOff { router: usize, by: usize, until: At },
}

/// How many routers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Two to five.
    Usual,
    /// Twenty.
    Large,
    /// A hundred, with rooms on many of them.
    Huge,
}

/// What is set in a world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Of a room's history.
    pub(crate) events: usize,
    /// How long a dropped member keeps its place.
    pub(crate) linger: At,
    /// Changes are gathered for that long.
    pub(crate) gather: At,
    /// A room is written at least so often.
    pub(crate) refresh: At,
    /// How long a router may take to hand a room over.
    pub(crate) handover: At,
    pub(crate) ack: Ack,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) routers: usize,
    pub(crate) rooms: usize,
    /// By client: its room.
    pub(crate) clients: Vec<usize>,
    /// Clients that come after those: of which of them each is the newer session.
    pub(crate) doubles: Vec<usize>,
    /// By router: how fast its clock runs, in millionths, and how far its calendar is off, in milliseconds.
    pub(crate) clocks: Vec<(i32, u64)>,
    pub(crate) settings: Settings,
    pub(crate) acts: Vec<(At, Act)>,
}

impl Plan {
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x006b_6570_7421);
        let routers = match size {
            Size::Usual => rng.usize(2..=5),
            Size::Large => 20,
            Size::Huge => 100,
        };
        let times = if size == Size::Huge { 8 } else { 1 };
        let rooms = times * rng.usize(1..=3);
        let clients: Vec<usize> = (0..rooms).flat_map(|room| vec![room; rng.usize(2..=4)]).collect();
        let clocks = (0..routers).map(|_| (rng.i32(-10_000..=10_000), rng.u64(0..4_000))).collect();
        let settings = Settings {
            events: if rng.u8(0..4) == 0 { rng.usize(5..40) } else { 1_000 },
            linger: rng.u64(4..=6) * SECOND,
            gather: if rng.bool() { 20 * MS } else { rng.u64(1..=80) * MS },
            refresh: 4 * SECOND,
            handover: if rng.bool() { 250 * MS } else { rng.u64(0..=500) * MS },
            ack: Ack::new(seed),
        };
        let mut plan = Self { seed, routers, rooms, clients, clocks, settings, doubles: Vec::new(), acts: Vec::new() };
        plan.draw_clients(times, &mut rng);
        plan.draw_failures(times, &mut rng);
        plan.draw_kill();
        plan.draw_partitions();
        plan.draw_doubles();
        plan.acts.push((LAST_WORD, Act::LastWord));
        // of one moment in the order that they were drawn
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    fn draw_clients(&mut self, times: usize, rng: &mut Rng) {
        let clients = self.clients.len();
        for client in 0..clients {
            self.acts.push((rng.u64(0..SECOND / 2), Act::Join { client }));
        }
        for _ in 0..times * rng.usize(20..=100) {
            let (client, at) = (rng.usize(0..clients), rng.u64(SECOND / 2..HEALED));
            let act = match rng.u8(0..20) {
                0..11 => Act::Say { client },
                11..14 => Act::Tell { client, to: rng.usize(0..clients) },
                14 | 15 => Act::Repeat { client, back: rng.usize(0..4) },
                16..19 => Act::Cut { client, away: rng.u64(0..3 * SECOND) },
                _ if rng.u8(0..6) == 0 => Act::Leave { client },
                _ => Act::Join { client },
            };
            self.acts.push((at, act));
        }
        // some say much in a row; in a few worlds one says more than goes into a write
        for _ in 0..rng.usize(0..=3) {
            let (client, begun) = (rng.usize(0..clients), rng.u64(SECOND..HEALED - SECOND));
            let (pause, many) = (rng.u64(1..60) * MS, rng.u64(3..=20));
            let (pause, many) = if rng.u8(0..100) == 0 { (MS, 700) } else { (pause, many) };
            for number in 0..many {
                self.acts.push((begun + number * pause, Act::Say { client }));
            }
        }
    }

    fn draw_failures(&mut self, times: usize, rng: &mut Rng) {
        // over all the time, or one on top of the other
        let begun = rng.u64(CALM..HEALED - 2 * SECOND);
        let (from, to) = if rng.bool() { (CALM, HEALED) } else { (begun, begun + 3 * SECOND / 2) };
        for _ in 0..times * rng.usize(0..=6) {
            let failure = self.failure(rng);
            let at = rng.u64(from..to);
            if failure == Failure::Failover {
                self.acts.push((at.saturating_sub(rng.u64(0..400 * MS)), Act::Behind));
            }
            self.acts.push((at, Act::Fail(failure)));
            self.acts.push((rng.u64(at..=HEALED).min(at + 4 * SECOND), Act::Mend(failure)));
        }
    }

    /// Where there are journals, a router is often killed while Redis is away. By chance of its own, as [`Ack`].
    fn draw_kill(&mut self) {
        let mut rng = Rng::with_seed(self.seed ^ 0x006b_696c_6c21);
        if self.settings.ack != Ack::Disk || rng.u8(0..3) == 0 {
            return;
        }
        let (router, refuses, at) = (rng.usize(0..self.routers), rng.bool(), rng.u64(2 * SECOND..5 * SECOND));
        let (killed, back) = (at + rng.u64(300 * MS..SECOND), at + rng.u64(SECOND..2 * SECOND));
        let again = killed + rng.u64(50 * MS..SECOND);
        self.acts.push((at, Act::Fail(Failure::Away { refuses })));
        self.acts.push((killed, Act::Fail(Failure::Killed { router })));
        self.acts.push((back, Act::Mend(Failure::Away { refuses })));
        self.acts.push((again, Act::Mend(Failure::Killed { router })));
    }

    /// Drawn apart, so that the other failures of a seed stay what they are.
    fn draw_partitions(&mut self) {
        let mut rng = Rng::with_seed(self.seed ^ 0x6272_616e_6368);
        if rng.u8(0..3) > 0 {
            return;
        }
        for _ in 0..rng.usize(1..=2) {
            let router = rng.usize(0..self.routers);
            let by = (router + rng.usize(1..self.routers)) % self.routers;
            let at = rng.u64(CALM..HEALED - 2 * SECOND);
            let until = (at + rng.u64(SECOND / 2..3 * SECOND)).min(HEALED);
            let failure = Failure::CutOff { router, by, until };
            self.acts.push((at, Act::Fail(failure)));
            self.acts.push((until, Act::Mend(failure)));
        }
    }

    fn failure(&self, rng: &mut Rng) -> Failure {
        let (router, room) = (rng.usize(0..self.routers), rng.usize(0..self.rooms));
        match rng.u8(0..18) {
            0..3 => Failure::Away { refuses: rng.bool() },
            3 => Failure::Flushed,
            4 | 5 => Failure::Failover,
            6..9 => Failure::Lossy { router },
            9..12 => Failure::Killed { router },
            12..14 => Failure::Drained { router, window: rng.u64(0..2 * SECOND) },
            14..17 => {
                let heard_after = if rng.bool() { rng.u64(0..60 * MS) } else { rng.u64(0..3 * SECOND) };
                Failure::Doubted { room, by: router, heard_after }
            }
            _ => Failure::Blind { router },
        }
    }
}
