//! The way between routers and etcd: how long a word takes, and whether it arrives.

use fastrand::Rng;

use super::plan::{At, Failure};

/// The usual way of a word, in microseconds.
const USUAL: std::ops::Range<At> = 200..4_000;
/// Now and then one takes longer.
const SLOW: std::ops::Range<At> = 20_000..400_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Network {
    rng: Rng,
    /// By router: what fails there.
    failing: Vec<Vec<Failure>>,
    /// By router: until when a word is on its way that takes long.
    slow: Vec<At>,
    /// When the last word of etcd to a router is there: words do not pass each other.
    last: Vec<At>,
}

impl Network {
    pub(crate) fn new(seed: u64, routers: usize) -> Self {
        let rng = Rng::with_seed(seed ^ 0x006e_6574_776f_726b);
        Self { rng, failing: vec![Vec::new(); routers], slow: vec![0; routers], last: vec![0; routers] }
    }

    fn way(&mut self, router: usize, now: At) -> At {
        let slow = self.rng.u8(0..50) == 0;
        let way = self.rng.u64(if slow { SLOW } else { USUAL });
        if slow {
            self.slow[router] = self.slow[router].max(now + way);
        }
        way
    }

    /// Whether all words of a router pass, and none takes long.
    pub(crate) fn is_well(&self, router: usize, now: At) -> bool {
        self.failing[router].is_empty() && now > self.slow[router]
    }

    pub(crate) fn fail(&mut self, router: usize, failure: Failure) {
        self.failing[router].push(failure);
    }

    pub(crate) fn mend(&mut self, router: usize, failure: Failure) {
        self.failing[router].retain(|failing| *failing != failure);
    }

    /// When a word of a router is at etcd; absent: it is lost.
    pub(crate) fn at_etcd(&mut self, router: usize, now: At) -> Option<At> {
        let passes = !self.failing[router].iter().any(|failing| matches!(failing, Failure::Cut { .. }));
        let way = self.way(router, now);
        passes.then_some(now + way)
    }

    /// When a word of etcd is at a router; absent: it is lost.
    pub(crate) fn at_router(&mut self, router: usize, now: At) -> Option<At> {
        let way = self.way(router, now);
        if !self.failing[router].is_empty() {
            return None;
        }
        self.last[router] = self.last[router].max(now + way);
        Some(self.last[router])
    }

    /// From one router to another a client takes so long.
    pub(crate) fn at_another(&mut self, now: At) -> At {
        now + self.rng.u64(5_000..60_000)
    }
}
