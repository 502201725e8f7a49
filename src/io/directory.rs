//! Drives the directory with a real etcd: one task that carries out what `directory` decides, one for each call and stream.
//!
//! Nothing on the way of a signal asks it anything. What is known of the fleet is read by the ops port and told as figures
//! once a second; when etcd is away, that is all that happens.

mod etcd;
mod homes;
mod kept_share;
mod rules;
mod settings;

use std::{
    collections::HashMap,
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use etcd_client::{WatchRequestSender, WatchResponseStream};
use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep_until, timeout},
};

use self::etcd::{Done, Etcd};
use self::{
    homes::{Asked, Asking},
    kept_share::KeptShare,
    rules::Writer,
};
pub use self::{
    homes::{Homes, HomesDriver},
    rules::{FleetRules, WriteError},
    settings::DirectorySettings,
};
use super::{clock, guard::Guard, listener::Observe, media::Media, shard::Shards};
use crate::{
    directory::{
        Answer, Compared, Directory, Fault, Figures, FleetView, Heard, Home, Input, Load, Output, Place, RouterRecord,
        RulesStanding, Settings, record::RECORD_VERSION, rules_key,
    },
    event::{DirectoryFact, Event},
    guard::limits::Share,
    ids::RoomId,
    protocol::Refusal,
    telemetry::{DirectoryFigures, RoomsCompared, Telemetry},
};

/// Most routers of a fleet, and most media nodes of it that one router sees.
const RECORDS_MAX: usize = 10_000;
/// What streams have to say that waits to be heard; past it, streams wait, and etcd keeps it for them.
const HEARD_WAITING: usize = 64;
/// Figures are told, and it is looked who is there and which media nodes are registered, so often.
const FIGURES_EVERY: Duration = Duration::from_secs(1);
/// This router's rooms are held against their records so often: one call each time.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// What the ops port shows of the fleet; absent: this router has none.
#[derive(Clone, Default)]
pub struct Fleet {
    view: Arc<ArcSwapOption<FleetView>>,
    rules: FleetRules,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fleet").field(&self.view.load().as_ref().map(|view| view.routers.len())).finish()
    }
}

impl Fleet {
    /// As it was seen a second ago at most.
    pub fn view(&self) -> Option<Arc<FleetView>> {
        self.view.load_full()
    }

    /// The rules that it follows.
    pub fn rules(&self) -> &FleetRules {
        &self.rules
    }

    /// It is seen so from now on.
    pub fn show(&self, view: FleetView) {
        self.view.store(Some(Arc::new(view)));
    }
}

/// How far this router is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Stay,
    Drain,
    Leave,
}

/// A directory that is driven; dropped, it ends without a word, and etcd lets the lease end.
#[derive(Debug)]
pub struct DirectoryHandle {
    wanted: watch::Sender<Wanted>,
    /// Closed once the task has ended.
    ended: watch::Receiver<()>,
    longest: Duration,
}

impl DirectoryHandle {
    /// Starts it on the current runtime. Needs no etcd: one that is not there is tried on.
    pub fn start(settings: DirectorySettings, around: Around) -> Self {
        let (wanted, wants) = watch::channel(Wanted::Stay);
        let (alive, ended) = watch::channel(());
        // a call that is under way, and the one that gives the lease back
        let longest = settings.timeout * 2;
        let driver = Driver::new(settings, around, wants);
        tokio::spawn(async move {
            driver.run().await;
            drop(alive);
        });
        Self { wanted, ended, longest }
    }

    /// Says in the fleet that this router is about to end.
    pub fn drain(&self) {
        self.wanted.send_replace(Wanted::Drain);
    }

    /// Takes away what stands for this router; an etcd that does not answer does not hold it up.
    pub async fn finish(&self) {
        self.wanted.send_replace(Wanted::Leave);
        let mut ended = self.ended.clone();
        timeout(self.longest, async { while ended.changed().await.is_ok() {} }).await.ok();
    }
}

/// What a directory stands in.
pub struct Around {
    /// Takes note of what happens.
    pub observe: Observe,
    /// Shows figures, and says who is there.
    pub telemetry: Arc<Telemetry>,
    /// Whose registrations others should hear of, and who takes up theirs.
    pub media: Media,
    /// What the ops port shows.
    pub fleet: Fleet,
    /// Which allows this router's part of what is the fleet's.
    pub guard: Arc<Guard>,
    /// Who wants to know where rooms are, and the shards that have them; absent: rooms are this router's own business.
    pub rooms: Option<(HomesDriver, Shards)>,
    /// Of jitter.
    pub seed: u64,
}

impl Around {
    /// What the guard allows until etcd says among how many.
    fn begin_with(&self, kept: io::Result<Option<Share>>) {
        let kept = kept.unwrap_or_else(|error| {
            let fact = DirectoryFact::ShareNotKept { doing: "read", why: error.to_string() };
            (self.observe)(Event::Directory(fact));
            None
        });
        self.guard.set_share(kept.unwrap_or(Share::UNKNOWN));
    }
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

/// How a call ended.
type Ended = (u64, Duration, Result<Done, Fault>);

/// The task.
struct Driver {
    directory: Directory,
    etcd: Etcd,
    around: Around,
    /// Of the guard.
    kept: KeptShare,
    wants: watch::Receiver<Wanted>,
    /// How far this router follows the rules of the fleet.
    followed: watch::Receiver<RulesStanding>,
    calls: JoinSet<Ended>,
    streams: HashMap<u64, Stream>,
    /// Who asked where a room is, by question.
    asking: HashMap<u64, oneshot::Sender<Home>>,
    questions: u64,
    heard: mpsc::Receiver<(u64, Heard)>,
    says: mpsc::Sender<(u64, Heard)>,
}

/// A stream that is listened to.
struct Stream {
    asks: WatchRequestSender,
    listening: AbortHandle,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Driver {
    fn new(settings: DirectorySettings, around: Around, wants: watch::Receiver<Wanted>) -> Self {
        let own = RouterRecord {
            version: RECORD_VERSION,
            id: settings.router.clone(),
            incarnation: format!("{:016x}", around.seed),
            region: settings.region.clone(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            url: settings.url.clone(),
            ops_url: settings.ops_url.clone(),
            relay_url: settings.relay_url.clone(),
            started_unix: clock::since_epoch().as_secs(),
            draining: false,
            rules: Some(RulesStanding::default()),
            load: Load::default(),
            rest: serde_json::Map::new(),
        };
        let (prefix, lease) = (settings.prefix.clone(), settings.lease);
        let kept = KeptShare::new(settings.data_dir.clone());
        around.begin_with(kept.read());
        let one_router_a_room = around.rooms.is_some();
        let (records_max, compare_every, seed) = (RECORDS_MAX, COMPARE_EVERY, around.seed);
        let decides = Settings { prefix, own, lease, records_max, one_router_a_room, compare_every, seed };
        let (says, heard) = mpsc::channel(HEARD_WAITING);
        let (key, etcd, rules) = (rules_key(&settings.prefix), Etcd::new(settings), around.fleet.rules().clone());
        rules.open(Writer { etcd: etcd.clone(), key, observe: around.observe.clone(), runtime: Handle::current() });
        Self {
            directory: Directory::new(decides, Instant::now()),
            etcd,
            followed: rules.followed(),
            around,
            kept,
            wants,
            calls: JoinSet::new(),
            streams: HashMap::new(),
            asking: HashMap::new(),
            questions: 0,
            heard,
            says,
        }
    }

    /// Until this router has left, or its handle is dropped.
    async fn run(mut self) {
        let mut figures = interval(FIGURES_EVERY);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.directory.has_left() {
            let wake = self.directory.wake();
            let due = async {
                match wake {
                    Some(wake) => sleep_until(wake.into()).await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                () = due => Input::Tick,
                Some(ended) = self.calls.join_next() => match ended {
                    Ok(ended) => self.ended(ended),
                    // none panics and none is aborted but with all of them
                    Err(_) => return,
                },
                Some((stream, heard)) = self.heard.recv() => Input::Heard { stream, heard },
                input = of_rooms(self.around.rooms.as_mut().map(|(driver, _)| driver)) => match input {
                    OfRooms::Changed(changes) => Input::Rooms(changes),
                    OfRooms::Asked(Asked::Home(asking)) => self.asked(asking),
                    OfRooms::Asked(Asked::Refused(router)) => Input::Refused { router },
                },
                changed = self.wants.changed() => match (changed, *self.wants.borrow_and_update()) {
                    (Err(_), _) => return,
                    (Ok(()), Wanted::Stay) => Input::Tick,
                    (Ok(()), Wanted::Drain) => Input::Draining,
                    (Ok(()), Wanted::Leave) => Input::Leave,
                },
                Ok(()) = self.followed.changed() => Input::RulesTaken(*self.followed.borrow_and_update()),
                _ = figures.tick() => self.show(),
            };
            self.take(input);
        }
        self.show();
    }

    fn take(&mut self, input: Input) {
        for output in self.directory.handle(input, Instant::now()) {
            match output {
                Output::Observe(fact) => (self.around.observe)(Event::Directory(fact)),
                Output::Node(news) => self.around.media.adopt(news),
                // whoever waited longer than it may has gone on
                Output::Home { question, home } => drop(self.asking.remove(&question).map(|asked| asked.send(home))),
                Output::Kept { room, kept } => {
                    self.around.rooms.iter().for_each(|(driver, _)| driver.homes.keep(room.clone(), kept));
                }
                Output::Lost { room, router, url } => self.make_way(room, &Refusal::elsewhere(router.as_str(), &url)),
                Output::Rules(news) => self.around.fleet.rules().offer(news),
                Output::Place(Place { rank, of }) => self.allow(Share::new(rank, of)),
                Output::Call { ticket, call } => {
                    let (etcd, begun) = (self.etcd.clone(), Instant::now());
                    self.calls.spawn(async move {
                        let answer = etcd.call(call).await;
                        (ticket, begun.elapsed(), answer)
                    });
                }
                Output::Probe { stream } => self.probe(stream),
                Output::Close { stream } => drop(self.streams.remove(&stream)),
            }
        }
    }

    /// The disk may take its time.
    fn allow(&self, share: Share) {
        let (kept, guard, observe) = (self.kept.clone(), self.around.guard.clone(), self.around.observe.clone());
        guard.set_share(share);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = kept.write(&guard) {
                observe(Event::Directory(DirectoryFact::ShareNotKept { doing: "write", why: error.to_string() }));
            }
        });
    }

    fn asked(&mut self, Asking { room, founds, answer }: Asking) -> Input {
        self.questions += 1;
        self.asking.insert(self.questions, answer);
        Input::Asked { question: self.questions, room, founds }
    }

    /// A room of this router is another's.
    fn make_way(&self, room: RoomId, refusal: &Refusal) {
        if let Some((_, shards)) = &self.around.rooms {
            let (shards, refusal) = (shards.clone(), refusal.clone());
            // a shard that is behind holds up nothing else
            tokio::spawn(async move { shards.make_way(room, refusal).await });
        }
    }

    /// A stream is listened to from the moment that it stands.
    fn ended(&mut self, (ticket, took, done): Ended) -> Input {
        let answer = done.map(|done| match done {
            Done::Answer(answer) => answer,
            Done::Stream { stream, prefix } => {
                let (asks, tells) = stream.split();
                let listening = tokio::spawn(listen(ticket, prefix, tells, self.says.clone())).abort_handle();
                self.streams.insert(ticket, Stream { asks, listening });
                Answer::Watching
            }
        });
        Input::Answered { ticket, took, answer }
    }

    /// One that takes no question any more says by itself that it ended.
    fn probe(&mut self, stream: u64) {
        if let Some(Stream { asks, .. }) = self.streams.get_mut(&stream) {
            // there is room for a hundred questions, and whoever does not answer three is let go of: this never waits
            let asked = asks.request_progress();
            drop(asked.now_or_never());
        }
    }

    fn show(&mut self) -> Input {
        let now = Instant::now();
        self.around.telemetry.set_directory(figures(&self.directory.figures(now)));
        self.around.fleet.show(self.directory.shown(now));
        let counts = self.directory.counts_on_itself(now);
        self.around.rooms.iter().for_each(|(driver, _)| driver.homes.set_counts(counts));
        self.take(Input::Registered(self.around.media.registered()));
        let population = self.around.telemetry.population();
        let journal = self.around.telemetry.journal_figures().unwrap_or_default();
        Input::Loaded(Load {
            sessions: population.sessions,
            rooms: population.rooms,
            journal_writes: journal.writes as u64,
            journal_age_ms: u64::try_from(journal.age.as_millis()).unwrap_or(u64::MAX),
            ..Load::default()
        })
    }
}

/// What is said of rooms.
enum OfRooms {
    Changed(Vec<(RoomId, bool)>),
    Asked(Asked),
}

/// The next of it; of a router whose rooms are its own business, never.
async fn of_rooms(driver: Option<&mut HomesDriver>) -> OfRooms {
    let Some(HomesDriver { asked, homes }) = driver else { return std::future::pending().await };
    tokio::select! {
        changes = homes.changes_of_rooms() => OfRooms::Changed(changes),
        Some(asked) = asked.recv() => OfRooms::Asked(asked),
    }
}

/// Hands on what a stream says until it ends.
async fn listen(ticket: u64, prefix: String, mut tells: WatchResponseStream, says: mpsc::Sender<(u64, Heard)>) {
    loop {
        let Some(heard) = etcd::heard(&prefix, tells.message().await) else { continue };
        let over = matches!(heard, Heard::Ended { .. } | Heard::Compacted);
        if says.send((ticket, heard)).await.is_err() || over {
            return;
        }
    }
}

/// In telemetry's words.
fn rooms_compared(rooms: Option<(Compared, Duration)>) -> Option<RoomsCompared> {
    rooms.map(|(Compared { here, there, .. }, age)| RoomsCompared {
        age,
        digests: [here.digest, there.digest],
        alone: [here.alone, there.alone],
    })
}

/// The same.
fn figures(figures: &Figures) -> DirectoryFigures {
    let Figures { lease, lease_age, watch_lag, routers, unreadable, rooms_unwritten, rooms, digest, rules } = *figures;
    let (rules_revision, rules_refused) = (rules.revision, rules.refused);
    DirectoryFigures {
        lease,
        lease_age,
        watch_lag,
        routers,
        unreadable,
        rooms_unwritten,
        rooms: rooms_compared(rooms),
        digest,
        rules_revision,
        rules_refused,
    }
}
