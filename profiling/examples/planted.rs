//! A process whose profile is known beforehand: to see what a profile says of it, and to test that it says so.
//!
//! Two threads are busy all the time. One spends three fifths of its CPU time in `planted_hot` and two fifths in
//! `planted_warm`; in the other two loops are inlined into one function, `two_loops`, which share it as three to one.
//! Further threads come and go, or panic, as it is asked to.

use std::{
    hint::black_box,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Parser;
use signalbox::{
    config::{self, InForce, Sources},
    io::{
        directory::Fleet,
        finder::RoomFinder,
        guard::QueueSettings,
        listener::{LimitSettings, Limits, ListenerSettings, ProxyProtocol},
        ops::{Ops, OpsSettings, Shown, State},
        profiling::{Driven, Profiling},
        shard::{ShardSettings, Shards, Surroundings},
        workers::{OnStall, Tell, Watchdog, Workers},
    },
    profiler::{
        self, Counts, Profiler, Settings,
        captures::{Bounds, CaptureSettings, Captures, PaceSettings, Router},
        threads::{Sampled, census},
    },
    telemetry::{self, Telemetry},
};

/// A process whose profile is known beforehand.
#[derive(Debug, Parser)]
struct Args {
    /// Ends by itself after that many seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Threads that come and go, one after the other.
    #[arg(long, default_value_t = 0)]
    threads: u32,
    /// For how many milliseconds each of these is busy.
    #[arg(long, default_value_t = 1)]
    busy_ms: u64,
    /// How many of these there are at a time.
    #[arg(long, default_value_t = 1)]
    at_a_time: u32,
    /// Each of these panics at its end.
    #[arg(long)]
    panic: bool,
    /// A worker of a runtime waits in one task for that many milliseconds.
    #[arg(long)]
    stall_ms: Option<u64>,
    /// No thread is busy all the time.
    #[arg(long)]
    quiet: bool,
    /// A third thread is busy in `planted_new` after that many seconds.
    #[arg(long)]
    new_after: Option<u64>,
}

fn main() {
    let args = Args::parse();
    profiler::with_environment().expect("this program can be executed anew");
    let profiler = Profiler::start(Settings::default());
    let telemetry = Arc::new(Telemetry::new(telemetry_settings()));
    let captures = Arc::new(Captures::open(capture_settings()).0);
    let driven = Driven {
        profiler: profiler.clone(),
        captures: captures.clone(),
        telemetry: telemetry.clone(),
        inboxes: Box::new(|| 0),
    };
    let profiling = Profiling::start(driven).expect("threads");
    let state = Arc::new(State::new(Instant::now()));
    let config = Arc::new(configuration());
    let shards = without_shards(&telemetry);
    let fleet = Fleet::default();
    let shown = Shown { telemetry, state, profiler: profiler.clone(), captures, faults: None, shards, config, fleet };
    let ops = Ops::start(ops_settings(), shown).expect("a free port");
    let _stalling = args.stall_ms.map(|ms| stall(Duration::from_millis(ms), profiling.on_stall()));
    say(&format!("listening ops={}", ops.local_addr()));
    let end = Instant::now() + Duration::from_secs(args.seconds);
    plant(&args, end);
    std::panic::set_hook(Box::new(|_| ()));
    come_and_go(&args);
    if args.threads > 0 {
        profiler.collect();
        say(&worth(&profiler.figures().counts));
    }
    thread::sleep(end.saturating_duration_since(Instant::now()));
}

/// Turns of a round. Rounds are of uneven length: the system looks at a thread's time only at its ticks, and with rounds
/// of one length that happen to be in step with these the samples would fall on the same few places of each round.
const ROUND: std::ops::Range<u64> = 25_000..175_000;

/// There are no rooms here.
fn without_shards(telemetry: &Arc<Telemetry>) -> Shards {
    let settings = ShardSettings { inbox_bound: 1, timeout: Duration::from_secs(1), queues: QueueSettings::default() };
    let around =
        Surroundings { telemetry: telemetry.clone(), faults: None, media: None, finder: RoomFinder::default() };
    Shards::start(Vec::new(), settings, &around)
}

/// The threads that are busy until the end.
fn plant(args: &Args, end: Instant) {
    if !args.quiet {
        spawn("shared", move || {
            let mut uneven = fastrand::Rng::with_seed(1);
            while Instant::now() < end {
                shared(uneven.u64(ROUND));
            }
        });
        spawn("inlined", move || {
            let mut uneven = fastrand::Rng::with_seed(2);
            while Instant::now() < end {
                black_box(two_loops(uneven.u64(ROUND) * 2));
            }
        });
    }
    if let Some(seconds) = args.new_after {
        spawn("new", move || {
            thread::sleep(Duration::from_secs(seconds));
            while Instant::now() < end {
                black_box(planted_new(300_000));
            }
        });
    }
}

/// Threads that come and go.
fn come_and_go(args: &Args) {
    let mut left = args.threads;
    while left > 0 {
        let batch = args.at_a_time.min(left);
        let threads: Vec<_> = (0..batch).map(|_| short(args)).collect();
        for thread in threads {
            thread.join().ok();
        }
        left -= batch;
    }
}

/// What became of their samples.
fn worth(counts: &Counts) -> String {
    let Counts { raised, kept, lost, .. } = counts;
    let (live, refused) = census();
    format!("gone raised={raised} kept={kept} lost={lost} live={} refused={refused}", live.values().sum::<usize>())
}

/// A thread that is busy for a moment.
fn short(args: &Args) -> thread::JoinHandle<()> {
    let (busy, panics) = (Duration::from_millis(args.busy_ms), args.panic);
    thread::spawn(move || {
        let _sampled = Sampled::enter("short");
        let until = Instant::now() + busy;
        while Instant::now() < until {
            black_box(two_loops(20_000));
        }
        assert!(!panics, "of the test");
    })
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) {
    let body = move || {
        let _sampled = Sampled::enter(name);
        work();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread");
}

// The loops call nothing in any build: who is interrupted in the first instructions of a function is seen without its
// caller, which would make these shares smaller than they are.

/// Turns of both, three to two.
#[inline(never)]
fn shared(turns: u64) {
    black_box(planted_hot(turns * 3));
    black_box(planted_warm(turns * 2));
}

#[inline(never)]
fn planted_hot(turns: u64) -> u64 {
    let (mut sum, mut turn) = (1_u64, 0);
    while turn < turns {
        sum = ((sum ^ turn) << 1) | (sum >> 63);
        turn += 1;
    }
    black_box(sum)
}

#[inline(never)]
fn planted_warm(turns: u64) -> u64 {
    let (mut sum, mut turn) = (3_u64, 0);
    while turn < turns {
        sum = ((sum ^ turn) << 1) | (sum >> 63);
        turn += 1;
    }
    black_box(sum)
}

#[inline(never)]
fn planted_new(turns: u64) -> u64 {
    let (mut sum, mut turn) = (11_u64, 0);
    while turn < turns {
        sum = ((sum ^ turn) << 1) | (sum >> 63);
        turn += 1;
    }
    black_box(sum)
}

/// Two loops of one function: only exact addresses tell them apart.
#[inline(never)]
fn two_loops(turns: u64) -> u64 {
    let first = first_loop(turns * 3);
    let second = second_loop(turns);
    black_box(first ^ second)
}

#[inline(always)]
fn first_loop(turns: u64) -> u64 {
    let (mut sum, mut turn) = (5_u64, 0);
    while turn < turns {
        sum = ((sum ^ turn) << 1) | (sum >> 63);
        turn += 1;
    }
    black_box(sum)
}

#[inline(always)]
fn second_loop(turns: u64) -> u64 {
    let (mut sum, mut turn) = (7_u64, 0);
    while turn < turns {
        sum = ((sum ^ turn) << 1) | (sum >> 63);
        turn += 1;
    }
    black_box(sum)
}

/// A runtime whose worker does not come back from a task, and its watchdog.
fn stall(length: Duration, on_stall: OnStall) -> (tokio::runtime::Runtime, Watchdog) {
    let workers = Workers::default();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = workers.attach(builder.worker_threads(1).enable_all()).build().expect("a runtime");
    let tell = Tell { observe: Arc::new(|_| ()), on_stall };
    let watchdog =
        Watchdog::start(workers, runtime.handle().metrics(), Duration::from_millis(200), tell).expect("a thread");
    runtime.spawn(async move {
        // a worker is known from its first sleep on
        tokio::time::sleep(Duration::from_millis(100)).await;
        planted_wait(length);
    });
    (runtime, watchdog)
}

#[inline(never)]
fn planted_wait(length: Duration) {
    thread::sleep(length);
    black_box(length);
}

fn capture_settings() -> CaptureSettings {
    CaptureSettings {
        router: Router { id: "planted".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        folder: None,
        bounds: Bounds { captures: 4, bytes: 16 << 20 },
        pace: PaceSettings::default(),
    }
}

fn configuration() -> InForce {
    let sources = Sources { dev: true, ..Sources::default() };
    let loaded = config::load(&sources).expect("what --dev sets is good");
    InForce::new(sources, loaded)
}

fn telemetry_settings() -> telemetry::Settings {
    telemetry::Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance_id: "planted".to_owned(),
        shards: 1,
        inbox_bound: 1,
        region: "default".to_owned(),
        regions: Vec::new(),
        measures: false,
        traces_waiting_max: 0,
        head_rate: 0.0,
        config_hash: 0,
        started: Instant::now(),
        started_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    }
}

fn ops_settings() -> OpsSettings {
    let limits = LimitSettings { connections_max: 256, connections_per_address_max: 256, handshakes_max: 64 };
    OpsSettings {
        listener: ListenerSettings {
            name: "ops",
            addresses: vec![([127, 0, 0, 1], 0).into()],
            tls: None,
            tls_poll: Duration::from_secs(60),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            handshake_timeout: Duration::from_secs(5),
            limits: Limits::new(limits),
            observe: Arc::new(|_| ()),
        },
        token_file: None,
        header_timeout: Duration::from_secs(5),
    }
}

/// A line on standard output.
#[allow(clippy::print_stdout)] // a program of its own, whose output is its purpose
fn say(line: &str) {
    println!("{line}");
}
