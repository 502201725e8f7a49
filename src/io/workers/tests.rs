use std::{
    sync::{Condvar, atomic::AtomicBool, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::yield_now};

use super::*;
use crate::{
    app,
    config::Config,
    event::{Event, Whereabouts},
};

const PATIENCE: Duration = Duration::from_secs(30);
const BOUND: Duration = Duration::from_millis(200);

/// A runtime as the router has it, and what its watchdog tells.
struct Bench {
    told: Arc<(Mutex<Vec<Event>>, Condvar)>,
    workers: Workers,
    _watchdog: Watchdog,
    // last: the watchdog does not see it end
    runtime: Runtime,
}

impl Bench {
    fn new(workers: usize) -> Self {
        let mut config = Config::default();
        config.server.workers = workers;
        let (runtime, workers) = app::runtime(&config).unwrap();
        let told = Arc::<(Mutex<Vec<Event>>, Condvar)>::default();
        let telling = told.clone();
        let observe = Arc::new(move |event| {
            telling.0.lock().unwrap().push(event);
            telling.1.notify_all();
        });
        let tell = Tell { observe, on_stall: Box::new(|_| ()) };
        let watchdog = Watchdog::start(workers.clone(), runtime.metrics(), BOUND, tell).unwrap();
        let bench = Self { told, workers, _watchdog: watchdog, runtime };
        // a worker is known from its first sleep on
        bench.seen();
        bench
    }

    /// Waits until the watchdog has told of so many things.
    fn told(&self, count: usize) -> Vec<Event> {
        let told = self.told.0.lock().unwrap();
        let (told, waited) = self.told.1.wait_timeout_while(told, PATIENCE, |told| told.len() < count).unwrap();
        assert!(!waited.timed_out(), "{told:?}");
        told.clone()
    }

    /// Waits until all workers have been seen, and what they look like then.
    fn seen(&self) -> Vec<Sight> {
        let since = Instant::now();
        loop {
            let sights = self.workers.sights(&self.runtime.metrics());
            if sights.len() == self.runtime.metrics().num_workers() {
                return sights;
            }
            assert!(since.elapsed() < PATIENCE, "{sights:?}");
            thread::yield_now();
        }
    }

    /// Keeps a worker inside one task until released; answers who it is, and then for how long it was away.
    fn hold(&self, hold: impl FnOnce(&mpsc::Receiver<()>) + Send + 'static) -> Held {
        let (release, released) = mpsc::channel();
        let (say, who) = mpsc::channel();
        let task = self.runtime.spawn(async move {
            let began = Instant::now();
            say.send((worker_index().unwrap(), this_tid())).unwrap();
            hold(&released);
            began.elapsed()
        });
        Held { who: who.recv_timeout(PATIENCE).unwrap(), release, task }
    }
}

struct Held {
    who: (usize, Option<u32>),
    release: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<Duration>,
}

/// Stalled and returned, of that worker and no other, for a time that can be true.
#[track_caller]
fn assert_stalled_once(told: &[Event], who: (usize, Option<u32>), away: Duration) -> Whereabouts {
    let [
        Event::WorkerStalled { worker, tid, stalled_for, place },
        Event::WorkerReturned { worker: returned, tid: of_tid, stalled_for: in_all },
    ] = told
    else {
        panic!("{told:?}")
    };
    assert_eq!(((*worker, *tid), (*returned, *of_tid)), (who, who));
    assert!(tid.is_some() && *stalled_for >= BOUND && in_all >= stalled_for, "{told:?}");
    // each end is seen at the next look; a look that came late counts for less than it was
    assert!(*in_all <= away + Duration::from_millis(200), "{told:?}, away for {away:?}");
    (**place).clone()
}

#[test]
fn a_worker_that_waits_inside_a_task_is_stalled_once_and_returns_once() {
    let bench = Bench::new(2);
    let held = bench.hold(|released| {
        released.recv().ok();
    });
    bench.told(1);
    drop(held.release);
    let away = bench.runtime.block_on(held.task).unwrap();
    let place = assert_stalled_once(&bench.told(2), held.who, away);
    assert_eq!(place.state, Some("sleeping"));
}

#[test]
fn a_worker_that_computes_without_end_is_stalled_as_well_also_when_it_is_the_only_one() {
    let bench = Bench::new(1);
    let spin = |released: &mpsc::Receiver<()>| {
        while released.try_recv() == Err(mpsc::TryRecvError::Empty) {
            std::hint::spin_loop();
        }
    };
    let held = bench.hold(spin);
    bench.told(1);
    drop(held.release);
    let away = bench.runtime.block_on(held.task).unwrap();
    let place = assert_stalled_once(&bench.told(2), held.who, away);
    assert_eq!((place.state, place.waits_in), (Some("running, or waiting for a CPU"), None));
}

#[test]
fn while_one_is_stalled_nobody_else_is_neither_idle_nor_busy_workers_nor_threads_for_what_blocks() {
    let bench = Bench::new(4);
    let over = Arc::new(AtomicBool::new(false));
    // a thread that blocks where blocking is allowed
    let (unblock, unblocked) = mpsc::channel::<()>();
    let (blocks, is_blocked) = mpsc::channel();
    let blocking = bench.runtime.spawn_blocking(move || {
        blocks.send(()).unwrap();
        unblocked.recv().ok();
    });
    is_blocked.recv_timeout(PATIENCE).unwrap();
    // tasks that keep a worker busy without ever sleeping, and say nothing of it
    let (polled, is_polled) = mpsc::channel();
    let ends = over.clone();
    bench.runtime.spawn(async move {
        polled.send(()).unwrap();
        while !ends.load(Relaxed) {
            let since = Instant::now();
            while since.elapsed() < Duration::from_micros(100) {
                std::hint::spin_loop();
            }
            yield_now().await;
        }
    });
    is_polled.recv_timeout(PATIENCE).unwrap();
    // one long task that says that it gets on
    let (steps, is_stepping) = mpsc::channel();
    let ends = over.clone();
    let stepping = bench.runtime.spawn(async move {
        steps.send(()).unwrap();
        while !ends.load(Relaxed) {
            step();
            thread::yield_now();
        }
    });
    is_stepping.recv_timeout(PATIENCE).unwrap();
    // all of these have been at it for longer than this one when it is told of
    let held = bench.hold(|released| {
        released.recv().ok();
    });
    assert_eq!(bench.told(1).len(), 1);
    drop(held.release);
    let away = bench.runtime.block_on(held.task).unwrap();
    assert_stalled_once(&bench.told(2), held.who, away);
    over.store(true, Relaxed);
    drop(unblock);
    bench.runtime.block_on(async { (stepping.await.unwrap(), blocking.await.unwrap()) });
}

#[test]
fn each_worker_has_its_number_and_a_thread_of_its_own() {
    let bench = Bench::new(3);
    let seen = bench.seen();
    assert_eq!(seen.iter().map(|sight| sight.worker).collect::<Vec<_>>(), [0, 1, 2]);
    let mut tids: Vec<_> = seen.iter().map(|sight| sight.tid.unwrap()).collect();
    tids.sort_unstable();
    tids.dedup();
    assert_eq!(tids.len(), 3);
}

#[test]
fn workers_that_have_ended_are_no_longer_there() {
    let bench = Bench::new(2);
    let (workers, metrics) = (bench.workers.clone(), bench.runtime.metrics());
    drop(bench);
    assert_eq!(workers.sights(&metrics), []);
}

#[test]
fn a_step_on_a_thread_that_is_not_watched_is_nothing() {
    thread::spawn(step).join().unwrap();
}

#[test]
fn the_runtimes_figures_say_who_is_busy_and_who_slept() {
    let bench = Bench::new(2);
    let began = Instant::now();
    let mut figures = Figures::new(bench.runtime.metrics(), began);
    let held = bench.hold(|released| {
        released.recv().ok();
    });
    // until nothing of what went before is in the reading: then the one is inside its task and the other asleep
    let since = Instant::now();
    let now = loop {
        let now = figures.read(Instant::now());
        let busy: Vec<_> = now.workers.iter().map(|worker| worker.busy_ratio).collect();
        if busy[held.who.0] == 1.0 && busy[1 - held.who.0] == 0.0 {
            break now;
        }
        assert!(since.elapsed() < PATIENCE, "{now:?}");
        thread::yield_now();
    };
    assert_eq!((now.workers.len(), now.alive_tasks), (2, 1));
    assert!(now.workers.iter().all(|worker| worker.parks > 0), "{now:?}");
    drop(held.release);
    bench.runtime.block_on(held.task).unwrap();
}
