//! Somebody who is in a room comes once more under the same identity, by way of another router: a second tab, or a telephone, while
//! the first is still there. The newer one is a client of its own; the older one does not come back once it is told that it is over.

use fastrand::Rng;

use super::{
    client::State,
    plan::{Act, At, CALM, Failure, HEALED, MS, Plan, SECOND},
    world::{Event, World},
};

/// A coming of somebody who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Double {
    /// Whose identity it is.
    of: usize,
    /// Which client it is that comes.
    newer: usize,
    /// How many routers further than the older one's, less one.
    shift: usize,
    /// The older one's router is cut off for so long; whether the newer one comes to that, and the older one has moved away.
    apart: Option<(At, bool)>,
    /// It comes so much later.
    pause: At,
}

impl Plan {
    /// In every fourth world and in the largest, by the seed itself and by chance of its own: what else happens in a world does not depend on it.
    pub(crate) fn draw_doubles(&mut self) {
        let mut rng = Rng::with_seed(self.seed ^ 0x0064_6f75_626c);
        if ![5, 6].contains(&(self.seed % 8)) && self.routers < 100 {
            return;
        }
        let mut of: Vec<usize> = (0..self.clients.len()).collect();
        rng.shuffle(&mut of);
        for of in of.into_iter().take(rng.usize(1..=3)) {
            let newer = self.clients.len() + self.doubles.len();
            let at = rng.u64(CALM / 2..HEALED - 2 * SECOND);
            let apart = rng.bool().then(|| (rng.u64(SECOND / 2..3 * SECOND), rng.bool()));
            let (shift, pause) = (rng.usize(0..self.routers), rng.u64(0..SECOND));
            self.doubles.push(of);
            self.acts.push((at, Act::Double(Double { of, newer, shift, apart, pause })));
            self.draw_words_of(newer, at, &mut rng);
            if rng.u8(0..3) == 0 {
                let failure = Failure::Away { refuses: rng.bool() };
                self.acts.push((at.saturating_sub(rng.u64(0..SECOND)).max(CALM), Act::Fail(failure)));
                self.acts.push(((at + rng.u64(0..2 * SECOND)).max(CALM), Act::Mend(failure)));
            }
        }
    }

    /// What the newer one says, and when it is away for a moment.
    fn draw_words_of(&mut self, client: usize, since: At, rng: &mut Rng) {
        for _ in 0..rng.usize(1..=8) {
            let act = match rng.u8(0..4) {
                0 => Act::Cut { client, away: rng.u64(0..SECOND) },
                _ => Act::Say { client },
            };
            self.acts.push((rng.u64(since..HEALED), act));
        }
    }
}

impl World {
    /// Somebody who is in a room comes once more, if it is in there.
    pub(crate) fn double(&mut self, Double { of, newer, shift, apart, pause }: Double) {
        if self.clients[of].state != State::In {
            return;
        }
        let (home, routers) = (self.clients[of].router, self.hosts.len());
        let other = (home + 1 + shift % (routers - 1)) % routers;
        self.clients[of].newer = Some(newer);
        self.clients[newer].router = other;
        if let Some((long, moves)) = apart {
            let until = (self.now + long).min(HEALED);
            let failure = Failure::CutOff { router: home, by: other, until };
            self.at(self.now, Event::Act(Act::Fail(failure)));
            self.at(until, Event::Act(Act::Mend(failure)));
            if moves {
                self.clients[newer].router = home;
                self.cut(of, 2 * MS);
                self.clients[of].router = other;
            }
        }
        self.at(self.now + pause, Event::Act(Act::Join { client: newer }));
    }
}
