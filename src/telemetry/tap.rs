//! Taps into the stream of signals that end: each open one gets every signal, up to a bound, until it is closed.
//!
//! While none is open a signal pays one relaxed load. What is kept is what the list of slow signals shows; no payload.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{Telemetry, case::Case};
use crate::event::TraceId;

/// Readers at one time, those included that still hold what they got.
pub const TAPS_MAX: usize = 4;
/// Signals that one reader gets; those after it are counted. About half a KiB each, shared by the readers.
pub const TAPPED_MAX: usize = 50_000;

/// Why there is no tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TapRefused {
    /// Signals are not measured, hence not told.
    #[error("signals are not measured here: telemetry.measure is false")]
    NotMeasured,
    /// There are [`TAPS_MAX`] already.
    #[error("{TAPS_MAX} others are at it, which is as many as there may be")]
    Full,
}

/// A signal that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// What happened.
    pub case: Case,
    /// Its trace: as kept here, else as its client named it.
    pub trace: Option<TraceId>,
}

/// What a tap got.
#[derive(Debug)]
pub struct Tapped {
    /// In the order in which they ended, as far as threads agree on one.
    pub cases: Vec<Arc<Ended>>,
    /// How many ended after there was no more place.
    pub left_out: u64,
    /// As long as they are held, there is one reader less.
    _place: Place,
}

/// An open tap; dropped, it is closed, and what it got is gone.
#[derive(Debug)]
pub struct Tap(Place);

impl Tap {
    /// Closes it; answers what it got.
    pub fn close(self) -> Tapped {
        let Place { taps, number } = &self.0;
        let reader = taps.remove(*number).unwrap_or_default();
        Tapped { cases: reader.cases, left_out: reader.left_out, _place: self.0 }
    }
}

/// One of the [`TAPS_MAX`].
struct Place {
    taps: Arc<Taps>,
    number: u64,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.number).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taps.remove(self.number);
        self.taps.lock().taken -= 1;
    }
}

/// All taps of one router.
#[derive(Debug)]
pub(super) struct Taps {
    /// Whether there is a reader.
    open: AtomicBool,
    readers: Mutex<Readers>,
    tapped_max: usize,
}

#[derive(Debug, Default)]
struct Readers {
    open: Vec<Reader>,
    /// Places, of open ones and of those that hold what they got.
    taken: usize,
    opened: u64,
}

#[derive(Debug, Default)]
struct Reader {
    number: u64,
    cases: Vec<Arc<Ended>>,
    left_out: u64,
}

impl Default for Taps {
    fn default() -> Self {
        Self { open: AtomicBool::new(false), readers: Mutex::default(), tapped_max: TAPPED_MAX }
    }
}

impl Taps {
    /// Whether anybody wants signals.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.open.load(Relaxed)
    }

    fn open(self: &Arc<Self>) -> Result<Tap, TapRefused> {
        let mut readers = self.lock();
        if readers.taken >= TAPS_MAX {
            return Err(TapRefused::Full);
        }
        readers.taken += 1;
        readers.opened += 1;
        let number = readers.opened;
        readers.open.push(Reader { number, ..Reader::default() });
        self.open.store(true, Relaxed);
        Ok(Tap(Place { taps: self.clone(), number }))
    }

    /// Gives one to whoever has a place for it; it is made only then.
    #[cold]
    pub(super) fn keep(&self, ended: impl FnOnce() -> Ended) {
        let mut readers = self.lock();
        let (has_place, full): (Vec<_>, Vec<_>) =
            readers.open.iter_mut().partition(|reader| reader.cases.len() < self.tapped_max);
        full.into_iter().for_each(|reader| reader.left_out += 1);
        if has_place.is_empty() {
            return;
        }
        let ended = Arc::new(ended());
        has_place.into_iter().for_each(|reader| reader.cases.push(ended.clone()));
    }

    fn remove(&self, number: u64) -> Option<Reader> {
        let mut readers = self.lock();
        let place = readers.open.iter().position(|reader| reader.number == number)?;
        let reader = readers.open.swap_remove(place);
        self.open.store(!readers.open.is_empty(), Relaxed);
        Some(reader)
    }

    fn lock(&self) -> MutexGuard<'_, Readers> {
        // a signal whose making panics is lost, and nothing is half done
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    /// From now on, the signals that end.
    ///
    /// # Errors
    /// There are [`TAPS_MAX`] readers, or signals are not measured.
    pub fn tap(&self) -> Result<Tap, TapRefused> {
        if !self.measures {
            return Err(TapRefused::NotMeasured);
        }
        self.taps.open()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicU64,
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        event::{Event, Opens, Origin, Outcome, Signal, SpanRef, Stage},
        protocol::{Code, OpKind, v1},
        telemetry::tests::{UNIX, settings, telemetry},
    };

    fn taps(tapped_max: usize) -> Arc<Taps> {
        Arc::new(Taps { tapped_max, ..Taps::default() })
    }

    fn ended(op: OpKind) -> Ended {
        Ended { case: Case::of(op), trace: None }
    }

    fn ops(tapped: &Tapped) -> Vec<OpKind> {
        tapped.cases.iter().map(|ended| ended.case.op).collect()
    }

    #[test]
    fn each_reader_gets_what_ended_between_its_opening_and_its_close() {
        let taps = taps(10);
        let first = taps.open().unwrap();
        taps.keep(|| ended(OpKind::Join));
        let second = taps.open().unwrap();
        taps.keep(|| ended(OpKind::Send));
        let first = first.close();
        taps.keep(|| ended(OpKind::Leave));
        let second = second.close();
        assert_eq!((ops(&first), first.left_out), (vec![OpKind::Join, OpKind::Send], 0));
        assert_eq!((ops(&second), second.left_out), (vec![OpKind::Send, OpKind::Leave], 0));
        assert!(Arc::ptr_eq(&first.cases[1], &second.cases[0]), "they share what both got");
    }

    #[test]
    fn a_full_reader_counts_what_it_has_no_place_for_and_nothing_is_made_for_it() {
        let taps = taps(2);
        let early = taps.open().unwrap();
        taps.keep(|| ended(OpKind::Join));
        let late = taps.open().unwrap();
        taps.keep(|| ended(OpKind::Send));
        taps.keep(|| ended(OpKind::Ping));
        taps.keep(|| panic!("nobody has a place"));
        let (early, late) = (early.close(), late.close());
        assert_eq!((ops(&early), early.left_out), (vec![OpKind::Join, OpKind::Send], 2));
        assert_eq!((ops(&late), late.left_out), (vec![OpKind::Send, OpKind::Ping], 1));
    }

    #[test]
    fn a_reader_that_is_dropped_closes_and_the_last_one_makes_it_free_again() {
        let taps = taps(2);
        assert!(!taps.any());
        let [first, second] = [taps.open().unwrap(), taps.open().unwrap()];
        drop(first);
        assert!(taps.any());
        drop(second);
        assert!(!taps.any());
        let left = taps.lock();
        assert_eq!((left.open.len(), left.taken), (0, 0));
        drop(left);
        taps.keep(|| panic!("nobody is there"));
    }

    #[test]
    fn no_more_than_four_at_a_time_and_who_holds_what_it_got_counts() {
        let taps = taps(2);
        let mut open: Vec<_> = (0..TAPS_MAX).map(|_| taps.open().unwrap()).collect();
        let refused = taps.open().unwrap_err();
        assert_eq!(refused, TapRefused::Full);
        assert!(refused.to_string().contains("4 others"), "{refused}");
        let held = open.pop().map(Tap::close);
        assert_eq!(taps.open().unwrap_err(), TapRefused::Full);
        drop(held);
        assert!(taps.open().is_ok());
    }

    #[test]
    fn signals_that_end_on_many_threads_are_each_given_or_counted() {
        let (taps, made) = (taps(1_000), AtomicU64::new(0));
        let tap = taps.open().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        taps.keep(|| {
                            made.fetch_add(1, Relaxed);
                            ended(OpKind::Send)
                        });
                    }
                });
            }
        });
        let tapped = tap.close();
        assert_eq!((tapped.cases.len(), tapped.left_out, made.load(Relaxed)), (1_000, 1_000, 1_000));
    }

    #[test]
    fn a_tap_tells_of_a_signal_what_is_known_of_it_and_of_its_trace() {
        let (received, parent) = (Instant::now(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
        let telemetry = telemetry(received);
        let untapped = || Box::new(Signal::new(OpKind::Ping, received));
        let end = |signal: Box<Signal>, outcome: Outcome| {
            telemetry.observe_from(&Event::SignalEnded { signal, outcome }, &Origin::default(), received);
        };
        end(untapped(), Outcome::Ok);
        let tap = telemetry.tap().unwrap();
        let mut join = Box::new(Signal::new(OpKind::Join, received));
        let labels = telemetry.labels(&v1::Join { region: "sz".to_owned(), ..v1::Join::default() });
        join.opens = Some(Box::new(Opens { room: "r".into(), labels }));
        join.parent = SpanRef::parse(parent).map(Box::new);
        join.timeline.end(Stage::Decode, received + Duration::from_millis(1));
        join.timeline.end(Stage::Handle, received + Duration::from_millis(3));
        end(join, Outcome::Ok);
        end(Box::new(Signal::new(OpKind::Send, received)), Outcome::Refused(Code::BadRequest));
        let tapped = tap.close();
        end(untapped(), Outcome::Ok);

        assert_eq!(ops(&tapped), [OpKind::Join, OpKind::Send]);
        let Ended { case, trace } = &*tapped.cases[0];
        assert_eq!((case.room.as_deref(), &*case.region, case.started), (Some("r"), "sz", UNIX));
        assert_eq!(case.stages, [(Stage::Decode, Duration::from_millis(1)), (Stage::Handle, Duration::from_millis(2))]);
        assert_eq!(trace.map(|trace| trace.to_string()).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let kept = telemetry.fetch_traces(10);
        assert_eq!(tapped.cases[1].trace, Some(kept[0].trace), "a refusal is kept as a trace, and that is told");
    }

    #[test]
    fn a_router_that_does_not_measure_says_so() {
        let unmeasured = Telemetry::new(crate::telemetry::Settings { measures: false, ..settings(Instant::now()) });
        let refused = unmeasured.tap().unwrap_err();
        assert!(refused.to_string().contains("telemetry.measure"), "{refused}");
    }
}
