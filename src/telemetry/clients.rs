//! What clients say of themselves, bounded: of all SDK versions and scenarios the busiest few are told apart.
//!
//! A value gets a number when a join brings it; the drain says how many signals each number had and elects the
//! busiest. A client that says something else with every join only ever displaces other quiet values.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::catalog::{BUSIEST_MAX, OTHER};

/// Values that are watched at a time.
pub(super) const CANDIDATES: usize = 256;
/// The rank of all that are not among the busiest.
pub(super) const OTHER_CLIENT: u8 = BUSIEST_MAX as u8;
/// Longer values are not told apart.
const VALUE_BYTES_MAX: usize = 64;
/// How much of a score is left at the next election; elections are ten seconds apart, so it is halved in a minute.
const DECAY: f64 = 0.89;
/// How much busier a newcomer must be, so that two values of one size do not take turns.
const AHEAD: f64 = 1.25;
/// The share of all traffic that a newcomer must have, so that names do not change with every rare value: each change
/// is a new series in every Prometheus.
const SHARE_MIN: f64 = 0.01;

#[derive(Debug)]
struct Candidate {
    value: Box<str>,
    number: u32,
    score: f64,
    rank: u8,
}

#[derive(Debug, Default)]
struct State {
    candidates: Vec<Candidate>,
    /// Distinguishes the values that had one place after each other; a number is this and the place.
    generation: u32,
    /// The value of each rank, once one has it.
    named: [Option<Box<str>>; BUSIEST_MAX],
}

/// The values of one label.
#[derive(Debug)]
pub(super) struct Busiest {
    state: Mutex<State>,
    /// By place: the number there and its rank, so that a signal is ranked without the lock.
    ranks: Box<[AtomicU32]>,
}

/// Bits of a rank in [`Busiest::ranks`]; above them is the number's generation, 24 bits.
const RANK_BITS: u32 = 4;

impl Default for Busiest {
    fn default() -> Self {
        Self { state: Mutex::default(), ranks: (0..CANDIDATES).map(|_| AtomicU32::new(0)).collect() }
    }
}

impl Busiest {
    /// The number of a value; 0 of one that is empty, too long, not printable ASCII, or the word for all others.
    pub(super) fn number(&self, value: &str) -> u32 {
        let fit = (1..=VALUE_BYTES_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
        if !fit || value == OTHER {
            return 0;
        }
        let mut state = self.lock();
        if let Some(known) = state.candidates.iter_mut().find(|candidate| *candidate.value == *value) {
            known.score += 1.0;
            return known.number;
        }
        let place = if state.candidates.len() < CANDIDATES { state.candidates.len() } else { quietest(&state) };
        state.generation += 1;
        let number = state.generation.wrapping_mul(CANDIDATES as u32) | place as u32;
        // the first ones are named at once
        let rank = state.named.iter().position(Option::is_none).map_or(OTHER_CLIENT, |rank| rank as u8);
        if let Some(named) = state.named.get_mut(usize::from(rank)) {
            *named = Some(value.into());
        }
        let candidate = Candidate { value: value.into(), number, score: 1.0, rank };
        self.publish(&candidate, place);
        match state.candidates.get_mut(place) {
            Some(taken) => *taken = candidate,
            None => state.candidates.push(candidate),
        }
        number
    }

    /// The rank of a number among the busiest, else [`OTHER_CLIENT`]; absent: it is no longer watched.
    pub(super) fn rank(&self, number: u32) -> Option<u8> {
        let at = self.ranks[number as usize % CANDIDATES].load(Relaxed);
        let same = at >> RANK_BITS == generation_of(number) && number != 0;
        same.then_some((at & ((1 << RANK_BITS) - 1)) as u8)
    }

    /// The value of a number, while it is watched.
    pub(super) fn value(&self, number: u32) -> Option<String> {
        let state = self.lock();
        let candidate = state.candidates.get(number as usize % CANDIDATES)?;
        (candidate.number == number).then(|| candidate.value.to_string())
    }

    /// The value of a rank, or the word for all others when none has it.
    pub(super) fn name(&self, rank: u8) -> String {
        let state = self.lock();
        let named = state.named.get(usize::from(rank)).and_then(Option::as_deref);
        named.unwrap_or(OTHER).to_owned()
    }

    /// Takes what was seen of each place since the last election, and answers the ranks that changed hands.
    pub(super) fn elect(&self, seen: &[u64; CANDIDATES]) -> Vec<u8> {
        let mut state = self.lock();
        for (candidate, seen) in state.candidates.iter_mut().zip(seen) {
            candidate.score = candidate.score * DECAY + *seen as f64;
        }
        let mut changed = Vec::new();
        while let Some((winner, loser)) = challenge(&state.candidates) {
            let rank = std::mem::replace(&mut state.candidates[loser].rank, OTHER_CLIENT);
            state.candidates[winner].rank = rank;
            state.named[usize::from(rank)] = Some(state.candidates[winner].value.clone());
            self.publish(&state.candidates[loser], loser);
            self.publish(&state.candidates[winner], winner);
            changed.push(rank);
        }
        changed
    }

    fn publish(&self, candidate: &Candidate, place: usize) {
        let at = generation_of(candidate.number) << RANK_BITS | u32::from(candidate.rank);
        self.ranks[place].store(at, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // nothing that can panic half-way runs under this lock
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number is its generation and, in its lowest byte, its place.
const fn generation_of(number: u32) -> u32 {
    number / CANDIDATES as u32
}

/// The unnamed candidate with the lowest score; named ones keep their place until they lose their rank.
fn quietest(state: &State) -> usize {
    let unnamed = state.candidates.iter().enumerate().filter(|(_, candidate)| candidate.rank == OTHER_CLIENT);
    let quietest = unnamed.min_by(|(_, a), (_, b)| a.score.total_cmp(&b.score));
    quietest.map_or(CANDIDATES - 1, |(place, _)| place)
}

/// The busiest unnamed candidate and the quietest named one, when the first is clearly ahead.
fn challenge(candidates: &[Candidate]) -> Option<(usize, usize)> {
    let by_score = |a: &(usize, &Candidate), b: &(usize, &Candidate)| a.1.score.total_cmp(&b.1.score);
    let of = |named: bool| {
        candidates.iter().enumerate().filter(move |(_, candidate)| (candidate.rank != OTHER_CLIENT) == named)
    };
    let (winner, busiest) = of(false).max_by(by_score)?;
    let (loser, quietest) = of(true).min_by(by_score)?;
    let all: f64 = candidates.iter().map(|candidate| candidate.score).sum();
    (busiest.score > (quietest.score * AHEAD).max(all * SHARE_MIN)).then_some((winner, loser))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(of: &[(u32, u64)]) -> [u64; CANDIDATES] {
        let mut seen = [0; CANDIDATES];
        of.iter().for_each(|(number, count)| seen[*number as usize % CANDIDATES] += count);
        seen
    }

    #[test]
    fn the_first_values_are_named_and_what_is_no_value_is_other() {
        let busiest = Busiest::default();
        let number = busiest.number("web/1");
        assert_eq!((busiest.rank(number), busiest.name(0)), (Some(0), "web/1".to_owned()));
        assert_eq!(busiest.number("web/1"), number);
        assert_eq!(busiest.value(number), Some("web/1".to_owned()));
        for none in ["", "other", "with space", "tab\t", "ünicode", &"x".repeat(65)] {
            assert_eq!(busiest.number(none), 0, "{none}");
        }
        assert_eq!((busiest.rank(0), busiest.value(0)), (None, None));
        assert_eq!([1, OTHER_CLIENT, u8::MAX].map(|rank| busiest.name(rank)), ["other"; 3]);
    }

    #[test]
    fn a_busier_value_takes_the_place_of_the_quietest_one_and_a_slightly_busier_one_does_not() {
        let busiest = Busiest::default();
        let named: Vec<u32> = (0..BUSIEST_MAX).map(|at| busiest.number(&format!("v{at}"))).collect();
        let late = busiest.number("late");
        assert_eq!(busiest.rank(late), Some(OTHER_CLIENT));
        let all: Vec<_> = named.iter().map(|number| (*number, 100)).chain([(late, 120)]).collect();
        assert!(busiest.elect(&seen(&all)).is_empty());
        let changed = busiest.elect(&seen(&[(named[3], 0), (late, 500), (named[0], 90)]));
        assert_eq!(changed.len(), 1);
        assert_eq!(busiest.name(changed[0]), "late");
        assert_eq!(busiest.rank(late), Some(changed[0]));
        assert_eq!(named.iter().filter(|number| busiest.rank(**number) == Some(OTHER_CLIENT)).count(), 1);
    }

    #[test]
    fn a_new_value_with_every_join_displaces_only_quiet_ones_and_nothing_grows() {
        let busiest = Busiest::default();
        let web = busiest.number("web/1");
        let (mut early, mut changes) = (0, 0);
        for round in 0..3_000 {
            let number = busiest.number(&format!("junk/{round}"));
            early = if round == 20 { number } else { early };
            if round % 100 == 0 {
                changes += busiest.elect(&seen(&[(web, 1_000), (number, 1)])).len();
            }
        }
        assert_eq!((busiest.rank(web), busiest.value(web)), (Some(0), Some("web/1".to_owned())));
        assert_eq!((busiest.lock().candidates.len(), changes), (CANDIDATES, 0));
        // its place is somebody else's now
        assert_eq!((busiest.rank(early), busiest.value(early)), (None, None));
    }
}
