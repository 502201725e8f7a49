//! The runtime's threads: which of them are its workers, whether each sleeps, and whether it gets on.
//!
//! Told by the runtime's hooks and by our own tasks, on the threads themselves; read by the [`Watchdog`]. Knows
//! nothing of what the tasks do. The profiler is told as well, in `Thread::begin`, `Workers::seat` and `Workers::end`,
//! which run on that thread.

mod figures;
mod place;
#[cfg(test)]
mod tests;
mod watch;
mod watchdog;

use std::{
    cell::OnceCell,
    fmt, fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::runtime::{Builder, RuntimeMetrics, worker_index};

pub(super) use figures::Figures;
use watch::Sight;
pub use watchdog::{OnStall, Stall, Tell, Watchdog};

use crate::profiler::threads;

/// The worker threads of one runtime.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    /// Who is each worker now, by its number in the runtime.
    seats: Arc<Mutex<Vec<Option<Arc<Thread>>>>>,
}

/// One thread of the runtime, a worker or one for what blocks.
struct Thread {
    /// As the system numbers it; absent where there is no `/proc`.
    tid: Option<u32>,
    /// Its number among the workers. It has one from its first sleep on, moments after the start: the runtime has no
    /// earlier sign that tells its workers from its other threads.
    worker: AtomicUsize,
    sleeps: AtomicBool,
    /// How often it slept or woke, or a task of ours said that it gets on. Written by the thread itself only.
    steps: AtomicU64,
}

const NO_WORKER: usize = usize::MAX;

thread_local! {
    /// This thread, when it is one of a runtime that is watched.
    static HERE: OnceCell<Arc<Thread>> = const { OnceCell::new() };
}

/// The thread gets on: said by tasks that may take long in one go. Costs one store, and on threads that are not
/// watched nothing.
pub(super) fn step() {
    // a task that is dropped while its thread ends has nothing to say any more
    HERE.try_with(|here| here.get().map(|thread| thread.step())).ok();
}

impl Workers {
    /// Lets the threads of a runtime to be built tell of themselves, and the runtime measure what it can.
    pub fn attach<'a>(&self, builder: &'a mut Builder) -> &'a mut Builder {
        #[cfg(tokio_unstable)]
        figures::measure_polls(builder);
        let (sleeping, ending) = (self.clone(), self.clone());
        builder
            .on_thread_start(|| HERE.with(|here| drop(here.set(Arc::new(Thread::begin())))))
            .on_thread_park(move || here(|thread| sleeping.sleep(thread)))
            .on_thread_unpark(|| here(|thread| thread.wake()))
            .on_thread_stop(move || here(|thread| ending.end(thread)))
    }

    /// The thread is about to sleep.
    fn sleep(&self, thread: &Arc<Thread>) {
        threads::renew();
        if let Some(worker) = worker_index()
            && thread.worker.load(Relaxed) != worker
        {
            self.seat(thread, worker);
        }
        thread.sleeps.store(true, Relaxed);
        thread.step();
    }

    /// A thread takes a worker's place. Whoever had it before is no worker any more.
    fn seat(&self, thread: &Arc<Thread>, worker: usize) {
        thread.worker.store(worker, Relaxed);
        threads::rename(&format!("worker-{worker}"));
        let mut seats = self.seats();
        if seats.len() <= worker {
            seats.resize(worker + 1, None);
        }
        seats[worker] = Some(thread.clone());
    }

    /// The thread is about to end.
    fn end(&self, thread: &Arc<Thread>) {
        threads::leave();
        if let Some(seat) = self.seats().get_mut(thread.worker.load(Relaxed))
            && seat.as_ref().is_some_and(|seated| Arc::ptr_eq(seated, thread))
        {
            *seat = None;
        }
    }

    /// How each worker stands now. `runtime` says how far it has got with tasks that are not ours: it counts each
    /// round of some sixty polls.
    fn sights(&self, runtime: &RuntimeMetrics) -> Vec<Sight> {
        let rounds = |worker: usize| {
            if worker >= runtime.num_workers() {
                return 0;
            }
            let busy = runtime.worker_total_busy_duration(worker).as_nanos() as u64;
            busy.wrapping_add(runtime.worker_park_unpark_count(worker))
        };
        let sight = |(worker, seat): (usize, &Option<Arc<Thread>>)| {
            let thread = seat.as_ref()?;
            let got_to = thread.steps.load(Relaxed).wrapping_add(rounds(worker));
            Some(Sight { worker, tid: thread.tid, sleeps: thread.sleeps.load(Relaxed), got_to })
        };
        self.seats().iter().enumerate().filter_map(sight).collect()
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Option<Arc<Thread>>>> {
        // a seat is given or taken as a whole
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does something with this thread, when it is watched.
fn here(with: impl FnOnce(&Arc<Thread>)) {
    HERE.try_with(|here| here.get().map(with)).ok();
}

impl Thread {
    /// This thread, which has just begun. What blocks is all that a thread does that never becomes a worker.
    fn begin() -> Self {
        threads::enter("blocking");
        Self {
            tid: this_tid(),
            worker: AtomicUsize::new(NO_WORKER),
            sleeps: AtomicBool::new(false),
            steps: AtomicU64::new(0),
        }
    }

    fn wake(&self) {
        self.sleeps.store(false, Relaxed);
        self.step();
    }

    fn step(&self) {
        // the only writer: no read-modify-write is needed
        self.steps.store(self.steps.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("tid", &self.tid).field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// The link leads to `PID/task/TID` (proc(5)).
fn this_tid() -> Option<u32> {
    fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok()
}
