//! What was said, acknowledged and heard, by number: what is lost, doubled or out of order is counted, not estimated.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

/// Members of a room.
pub(crate) const SIZE: usize = 3;

/// Who says it to whom: the room, the sender in it, and the one it is for; absent: everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) room: usize,
    pub(crate) from: usize,
    pub(crate) to: Option<usize>,
}

impl Line {
    fn hears(&self, member: usize) -> bool {
        self.to.map_or(member != self.from, |to| member == to)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    None,
    Ok,
    Refused,
}

/// One message: when it was due to be sent, how it was answered, how often each member heard it.
#[derive(Debug)]
struct Said {
    due: Instant,
    answer: Answer,
    heard: [u8; SIZE],
}

#[derive(Debug, Default)]
struct Spoken {
    said: Vec<Said>,
    /// The highest number that each member heard.
    newest: [Option<usize>; SIZE],
}

/// How far each line was at some moment.
pub(crate) type Mark = BTreeMap<Line, usize>;

/// What went wrong, or did not, between two marks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    /// Acknowledged, and not heard by somebody who should have.
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
}

/// A session that ended.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) room: String,
    pub(crate) member: usize,
    pub(crate) why: String,
    pub(crate) at: Instant,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} m{} {}", self.room, self.member, self.why)
    }
}

/// A message that was heard: in which room, when it had been due, and how long after that.
type Heard = (usize, Instant, Duration);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: BTreeMap<Line, Spoken>,
    took: Vec<Heard>,
    /// Heard more than once, or by somebody whom it was not for.
    pub(crate) doubled: u64,
    /// Heard after something that was said later.
    pub(crate) disordered: u64,
    /// Sessions that ended.
    pub(crate) closed: Vec<Ended>,
    /// How many of them came back by a resume, and how many found their session gone.
    pub(crate) resumed: u64,
    pub(crate) gone: u64,
    /// When the last one of them came back.
    pub(crate) back: Option<Instant>,
}

impl Ledger {
    /// The number of the next message of a line, which is sent now.
    pub(crate) fn say(&mut self, line: Line, due: Instant) -> usize {
        let said = &mut self.lines.entry(line).or_default().said;
        said.push(Said { due, answer: Answer::None, heard: [0; SIZE] });
        said.len() - 1
    }

    pub(crate) fn answer(&mut self, line: Line, number: usize, ok: bool) {
        let said = self.lines.get_mut(&line).and_then(|spoken| spoken.said.get_mut(number)).unwrap();
        said.answer = if ok { Answer::Ok } else { Answer::Refused };
    }

    pub(crate) fn hear(&mut self, line: Line, number: usize, member: usize, now: Instant) {
        let spoken = self.lines.get_mut(&line).unwrap();
        let said = &mut spoken.said[number];
        said.heard[member] = said.heard[member].saturating_add(1);
        if said.heard[member] > 1 || !line.hears(member) {
            self.doubled += 1;
            return;
        }
        if spoken.newest[member].is_some_and(|newest| newest > number) {
            self.disordered += 1;
        }
        spoken.newest[member] = spoken.newest[member].max(Some(number));
        self.took.push((line.room, said.due, now.saturating_duration_since(said.due)));
    }

    pub(crate) fn mark(&self) -> Mark {
        self.lines.iter().map(|(line, spoken)| (*line, spoken.said.len())).collect()
    }

    /// Of what was said from one mark to another.
    pub(crate) fn counts(&self, from: &Mark, to: &Mark) -> Counts {
        let mut counts = Counts::default();
        for (line, end) in to {
            let begin = from.get(line).copied().unwrap_or(0);
            for said in &self.lines[line].said[begin..*end] {
                match said.answer {
                    Answer::None => counts.unanswered += 1,
                    Answer::Refused => counts.refused += 1,
                    Answer::Ok => {
                        counts.acknowledged += 1;
                        let missed = (0..SIZE).filter(|member| line.hears(*member) && said.heard[*member] == 0);
                        counts.lost += missed.count() as u64;
                    }
                }
            }
        }
        counts
    }

    /// When the lost ones of them were due.
    pub(crate) fn lost(&self, from: &Mark, to: &Mark) -> Vec<Instant> {
        let spoken =
            to.iter().map(|(line, end)| (line, &self.lines[line].said[from.get(line).copied().unwrap_or(0)..*end]));
        let is_lost = |line: &Line, said: &Said| {
            said.answer == Answer::Ok && (0..SIZE).any(|member| line.hears(member) && said.heard[member] == 0)
        };
        spoken.flat_map(|(line, said)| said.iter().filter(|said| is_lost(line, said)).map(|said| said.due)).collect()
    }

    /// How many of those whose session ended are not back yet.
    pub(crate) fn away(&self) -> u64 {
        self.closed.len() as u64 - self.resumed - self.gone
    }

    /// How many were heard since these were forgotten.
    pub(crate) fn heard(&self) -> usize {
        self.took.len()
    }

    /// Of the latencies, not of the counts.
    pub(crate) fn forget(&mut self) {
        self.took.clear();
    }

    /// Of what was due in that time, in those rooms; absent: nothing was heard of it.
    pub(crate) fn p99(&self, rooms: Range<usize>, from: Instant, to: Instant) -> Option<Duration> {
        let due = |(room, due, took): &Heard| (rooms.contains(room) && *due >= from && *due < to).then_some(*took);
        let mut took: Vec<_> = self.took.iter().filter_map(due).collect();
        took.sort_unstable();
        took.get((took.len() * 99).div_ceil(100).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Line = Line { room: 0, from: 0, to: None };
    const ONE: Line = Line { room: 0, from: 0, to: Some(1) };

    /// What becomes of it when two of three messages to the room, and one to a member, are heard as they should be.
    fn spoken() -> (Ledger, Instant) {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        for (line, number) in [(ALL, 0), (ALL, 1), (ONE, 0)] {
            assert_eq!(ledger.say(line, now), number);
            ledger.answer(line, number, true);
            let members = (0..SIZE).filter(|member| line.hears(*member)).collect::<Vec<_>>();
            members.into_iter().for_each(|member| ledger.hear(line, number, member, now));
        }
        (ledger, now)
    }

    fn counts(ledger: &Ledger) -> Counts {
        ledger.counts(&Mark::new(), &ledger.mark())
    }

    #[test]
    fn what_arrives_as_it_should_is_no_complaint() {
        let (ledger, _) = spoken();
        assert_eq!(counts(&ledger), Counts { acknowledged: 3, ..Counts::default() });
        assert_eq!((ledger.doubled, ledger.disordered, ledger.heard()), (0, 0, 5));
    }

    #[test]
    fn a_message_that_one_member_misses_is_lost_once_it_is_acknowledged() {
        let (mut ledger, now) = spoken();
        let before = ledger.mark();
        let number = ledger.say(ALL, now);
        ledger.hear(ALL, number, 1, now);
        assert_eq!(counts(&ledger).unanswered, 1);
        ledger.answer(ALL, number, true);
        assert_eq!(counts(&ledger).lost, 1);
        assert_eq!(ledger.lost(&Mark::new(), &ledger.mark()), [now]);
        assert_eq!(ledger.counts(&Mark::new(), &before).lost, 0);
        ledger.answer(ALL, number, false);
        assert_eq!(counts(&ledger), Counts { acknowledged: 3, refused: 1, ..Counts::default() });
    }

    #[test]
    fn twice_the_wrong_one_and_the_wrong_order_are_told_apart() {
        let (mut ledger, now) = spoken();
        ledger.hear(ALL, 1, 2, now);
        assert_eq!((ledger.doubled, ledger.disordered), (1, 0));
        ledger.hear(ONE, 0, 2, now);
        assert_eq!((ledger.doubled, ledger.disordered), (2, 0), "it was for another one");
        let (first, second) = (ledger.say(ONE, now), ledger.say(ONE, now));
        ledger.hear(ONE, second, 1, now);
        ledger.hear(ONE, first, 1, now);
        assert_eq!((ledger.doubled, ledger.disordered), (2, 1));
    }

    #[test]
    fn the_99th_of_a_hundred_is_found_within_its_time() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        for took in 1..=100 {
            let number = ledger.say(ONE, now);
            ledger.hear(ONE, number, 1, now + Duration::from_millis(took));
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(ledger.p99(0..1, now, later), Some(Duration::from_millis(99)));
        assert_eq!(ledger.p99(0..1, later, later + Duration::from_secs(1)), None);
        assert_eq!(ledger.p99(1..2, now, later), None);
    }
}
