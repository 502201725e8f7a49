//! The threads of this process that are sampled, and what they are called.
//!
//! There is one such table in a process because there is one set of timers in it. A thread enters on itself when it
//! begins and leaves on itself before it ends; its name stays until its last samples have been read.

use std::{
    cell::Cell,
    collections::BTreeMap,
    marker::PhantomData,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use nix::sys::pthread::{Pthread, pthread_self};

use super::sampler::{Name, ctimer_register, ctimer_unregister, signal};

/// Ended threads whose names are kept for their last samples; past them a name is lost, and its samples are of `other`.
const ENDED_MAX: usize = 4_096;

/// What threads are called that nobody entered, or whose name is lost.
pub(super) const OTHER: &str = "other";

static THREADS: Mutex<Table> = Mutex::new(Table { known: BTreeMap::new(), ended: Vec::new(), without_timer: 0 });

/// Grows whenever a sampler begins or goes on: threads that were there before it must get their timer from it.
static GENERATION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The generation in which this thread last asked for its timer; none: it is not sampled.
    static ASKED_IN: Cell<Option<u64>> = const { Cell::new(None) };
}

struct Table {
    known: BTreeMap<u32, Known>,
    /// In the order in which they ended.
    ended: Vec<u32>,
    /// Threads that the system gave no timer.
    without_timer: u64,
}

struct Known {
    name: Name,
    /// Absent: it has ended.
    thread: Option<Pthread>,
}

fn table() -> MutexGuard<'static, Table> {
    // every change is made as a whole
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread's number.
fn tid() -> u32 {
    nix::unistd::gettid().as_raw().unsigned_abs()
}

/// A thread that is sampled until this is dropped, on that same thread.
#[derive(Debug)]
#[must_use = "dropped, the thread is sampled no longer"]
pub struct Sampled {
    _on_its_own_thread: PhantomData<*const ()>,
}

impl Sampled {
    /// This thread, by that name.
    pub fn enter(name: &str) -> Self {
        enter(name);
        Self { _on_its_own_thread: PhantomData }
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        leave();
    }
}

/// This thread is sampled from now on; for threads whose beginning and end are told by hooks. Others use [`Sampled`].
pub fn enter(name: &str) {
    table().known.insert(tid(), Known { name: name.into(), thread: Some(pthread_self()) });
    register(GENERATION.load(Relaxed));
}

/// Gets this thread its timer, when a sampler has begun since it last asked; to be called now and then by threads that
/// live long. Costs two loads.
pub fn renew() {
    let generation = GENERATION.load(Relaxed);
    // a thread that ends has nothing to renew
    if ASKED_IN.try_with(Cell::get).ok().flatten().is_some_and(|asked| asked != generation) {
        register(generation);
    }
}

/// Every thread is to get its timer anew.
pub(super) fn renew_all() {
    GENERATION.fetch_add(1, Relaxed);
    renew();
}

fn register(generation: u64) {
    ASKED_IN.set(Some(generation));
    // a sampler that is switched off refuses as well, but not with an error of the system
    if ctimer_register().is_err_and(|error| error.raw_os_error().is_some()) {
        table().without_timer += 1;
    }
}

/// This thread is called otherwise from now on, what is not yet read included.
pub fn rename(name: &str) {
    if let Some(known) = table().known.get_mut(&tid()) {
        known.name = name.into();
    }
}

/// This thread is sampled no longer; it is about to end.
pub fn leave() {
    ASKED_IN.set(None);
    let tid = tid();
    let mut table = table();
    if let Some(known) = table.known.get_mut(&tid) {
        // from here on nobody signals it
        known.thread = None;
        table.ended.push(tid);
        let lost = table.ended.len().saturating_sub(ENDED_MAX);
        table.forget(lost);
    }
    drop(table);
    ctimer_unregister();
}

impl Table {
    /// The first of those that have ended, unless another thread has got the number.
    fn forget(&mut self, count: usize) {
        for tid in self.ended.drain(..count) {
            if self.known.get(&tid).is_some_and(|known| known.thread.is_none()) {
                self.known.remove(&tid);
            }
        }
    }
}

/// How many threads have ended so far and are still named: what to forget once their samples have been read.
pub(super) fn ended() -> usize {
    table().ended.len()
}

/// Forgets the names of so many that ended first.
pub(super) fn forget(count: usize) {
    let mut table = table();
    let count = count.min(table.ended.len());
    table.forget(count);
}

/// A thread's name.
pub(super) fn name_of(tid: u32) -> Option<Name> {
    table().known.get(&tid).map(|known| known.name.clone())
}

/// Asks a thread for a sample of its stack, blocked or not. It cannot end meanwhile: leaving needs the same lock.
pub(super) fn ask(tid: u32) -> bool {
    table().known.get(&tid).and_then(|known| known.thread).is_some_and(signal)
}

/// How many threads are entered and live.
pub(super) fn live() -> usize {
    table().known.values().filter(|known| known.thread.is_some()).count()
}

/// Live threads by name, and how many were refused a timer so far.
pub fn census() -> (BTreeMap<Arc<str>, usize>, u64) {
    let table = table();
    let mut names = BTreeMap::new();
    for known in table.known.values().filter(|known| known.thread.is_some()) {
        *names.entry(known.name.clone()).or_default() += 1;
    }
    (names, table.without_timer)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_has_its_name_until_its_last_samples_were_read() {
        let (say, hear) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let sampled = Sampled::enter("blocking");
            rename("worker-7");
            say.send(tid()).unwrap();
            drop(sampled);
        });
        let tid = hear.recv().unwrap();
        thread.join().unwrap();
        assert_eq!(name_of(tid).as_deref(), Some("worker-7"));
        assert!(!ask(tid), "who has left is not signalled");
        forget(ended());
        assert_eq!(name_of(tid), None);
    }

    #[test]
    fn threads_that_come_and_go_without_a_reader_leave_a_bounded_number_of_names() {
        for _ in 0..50 {
            std::thread::spawn(|| drop(Sampled::enter("short"))).join().unwrap();
        }
        assert!(ended() <= ENDED_MAX);
        assert!(table().known.len() <= ENDED_MAX + 64);
    }
}
