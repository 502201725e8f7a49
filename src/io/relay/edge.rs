//! A link as its edge has it: made when a client first needs it, and gone when nobody has for a while.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::AHashMap;
use bytes::Bytes;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tonic::{Request, Status, Streaming, transport::Channel};

use super::{
    Frames, Shared,
    saying::{Said, Spoken},
    words::{self, Guest, micros},
};
use crate::{
    event::{Labels, RelayEnd, RelayFact, RelayOpening, RelaySide},
    ids::RouterId,
    io::{
        dialing::{Dial, Unmade, connect},
        finder::Elsewhere,
        outbound::{Attachment, Outbound, Seat, Unsent},
        workers,
    },
    protocol::{Code, RELAY_VERSION, Refusal, relay, relay::relay_client::RelayClient},
};

/// What clients have said that waits for the link to take it; past it they wait, and then are told so.
const SAID_WAITING: usize = 1_024;
/// Of these, of one client.
const FRAMES_WAITING: usize = 16;
/// How long a client waits for a place in the link's queue.
const PLACE_WAIT: Duration = Duration::from_millis(500);
/// Signs of life are asked for so often;
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// so many that did not come back, and the link counts as dead.
const UNANSWERED_MAX: usize = 3;
/// The way of what travels is half of the least of so many round trips.
const TRIPS: usize = 10;
/// A link that nobody used for so long ends.
const IDLE: Duration = Duration::from_secs(60);
/// How long a host may take to end a link that is ended here.
const PART_WAIT: Duration = Duration::from_millis(500);
/// A host that could not be reached is not tried again for so long.
pub(super) const REST: Duration = Duration::from_millis(500);
/// Clients of a link that was lost come back spread over so long.
const SPREAD_MS: u64 = 1_000;
/// The longest message of a host.
pub(super) const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Connecting,
    Up,
    Over,
    /// It never stood: nobody listens any more where one did.
    Nobody,
}

/// A client of this router.
#[derive(Debug)]
struct Client {
    outbound: Arc<Outbound>,
    labels: Labels,
    /// As in [`Carried`]: who waits for one when the link is over waits no longer.
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Clients {
    all: AHashMap<u64, Client>,
    /// Nobody enters any more.
    over: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    standing: watch::Sender<Standing>,
    said: mpsc::Sender<Said>,
    clients: Mutex<Clients>,
    given: AtomicU64,
    patience: Duration,
    frames: Arc<Frames>,
    /// Once it stands.
    channel: OnceLock<Channel>,
}

impl Link {
    fn clients_held(&self) -> MutexGuard<'_, Clients> {
        // one map and a mark, changed at once
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it stands, or not for ever.
    pub(super) async fn stands(&self) -> Result<(), RelayOpening> {
        match self.made().await {
            Some(Standing::Up) => Ok(()),
            _ => Err(RelayOpening::Unreachable),
        }
    }

    /// Waits as well; whether nobody listens at the other end.
    pub(super) async fn finds_nobody(&self) -> bool {
        self.made().await == Some(Standing::Nobody)
    }

    /// How far it is once it is more than begun; absent: it takes too long.
    async fn made(&self) -> Option<Standing> {
        let mut standing = self.standing.subscribe();
        let made = standing.wait_for(|standing| *standing != Standing::Connecting);
        timeout(self.patience, made).await.ok()?.ok().map(|standing| *standing)
    }

    /// A client's frames go by it from now on.
    pub(super) fn enter(
        self: &Arc<Self>,
        guest: &Guest,
        (outbound, labels): (&Arc<Outbound>, Labels),
        connections_max: usize,
    ) -> Result<Carried, RelayOpening> {
        let connection = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        let mut clients = self.clients_held();
        if clients.over {
            return Err(RelayOpening::Unreachable);
        }
        if clients.all.len() >= connections_max {
            return Err(RelayOpening::Full);
        }
        // under the lock: nothing is said of a connection before it is opened
        if self.said.try_send(Said::Open(connection, Box::new(guest.to_wire()))).is_err() {
            return Err(RelayOpening::Full);
        }
        let places = Arc::new(Semaphore::new(FRAMES_WAITING));
        clients.all.insert(connection, Client { outbound: outbound.clone(), labels, places: places.clone() });
        Ok(Carried { link: self.clone(), connection, places })
    }

    /// For calls beside the stream; absent: it does not stand.
    pub(super) fn channel(&self) -> Option<Channel> {
        self.channel.get().filter(|_| self.is_up()).cloned()
    }

    pub(super) fn connections(&self) -> usize {
        self.clients_held().all.len()
    }

    pub(super) fn clients(&self) -> Vec<Arc<Outbound>> {
        self.clients_held().all.values().map(|client| client.outbound.clone()).collect()
    }

    pub(super) fn is_up(&self) -> bool {
        *self.standing.borrow() == Standing::Up
    }
}

/// A connection whose frames go over a link; dropped, the host hears that it is over.
#[derive(Debug)]
pub(crate) struct Carried {
    link: Arc<Link>,
    connection: u64,
    /// Of frames that the link has not taken yet: who says more than it carries waits, and nobody else.
    places: Arc<Semaphore>,
}

impl Carried {
    /// Hands a frame on that arrived then.
    ///
    /// # Errors
    /// The link has no place for it, or is over.
    pub(crate) async fn frame(&self, bytes: &[u8], received: Instant) -> Result<(), Refusal> {
        self.link.frames.to_host.fetch_add(1, Ordering::Relaxed);
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            // boxed, as below
            Err(_) => Box::pin(self.places.clone().acquire_owned()).await.map_err(|_| lost())?,
        };
        let said = Said::Frame(self.connection, Bytes::copy_from_slice(bytes), received, place);
        match self.link.said.try_send(said) {
            Ok(()) => Ok(()),
            // boxed: it is rare, and its future would otherwise be part of every connection's task
            Err(mpsc::error::TrySendError::Full(said)) => Box::pin(self.link.said.send_timeout(said, PLACE_WAIT))
                .await
                .map_err(|_| Code::Overloaded.because("the link to the room's router is full").retry_after_ms(1_000)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(lost()),
        }
    }

    /// The connection is over.
    pub(crate) fn end(self, code: Code) {
        self.say_lost(code);
    }

    fn say_lost(&self, code: Code) {
        if self.link.clients_held().all.remove(&self.connection).is_none() {
            return;
        }
        let said = Said::Lost(self.connection, code);
        if let Err(mpsc::error::TrySendError::Full(said)) = self.link.said.try_send(said) {
            let link = self.link.clone();
            // forgetting it would leak its session
            tokio::spawn(async move { link.said.send(said).await.ok() });
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.say_lost(Code::ConnectionLost);
    }
}

/// To the client of a link that was lost.
fn lost() -> Refusal {
    let why = "the way to the router that has the room was lost; resume";
    Code::RoomUnavailable.because(why).retry_after_ms(fastrand::u64(0..=SPREAD_MS))
}

/// A link to that router, which is being made.
pub(super) fn begin(shared: &Arc<Shared>, there: &Elsewhere) -> Arc<Link> {
    let (said, hears) = mpsc::channel(SAID_WAITING);
    let link = Arc::new(Link {
        standing: watch::Sender::new(Standing::Connecting),
        said,
        clients: Mutex::default(),
        given: AtomicU64::new(0),
        patience: shared.settings.connect_timeout,
        frames: shared.frames.clone(),
        channel: OnceLock::new(),
    });
    let keeping = keep(shared.clone(), link.clone(), there.clone(), hears);
    shared.tasks.spawn(keeping);
    link
}

/// Why a link is over, for programs and for people.
type Over = (RelayEnd, String);

/// Makes the link, keeps it, and tells its clients when it is over.
async fn keep(shared: Arc<Shared>, link: Arc<Link>, there: Elsewhere, hears: mpsc::Receiver<Said>) {
    let round_trip_us = Arc::<AtomicU32>::default();
    let spoken = Spoken::new(&shared, hears, round_trip_us.clone());
    let reached = reach(&shared, &there).await;
    let nobody = reached.as_ref().is_err_and(|unmade| unmade.nobody) && shared.found_nobody(&there);
    let greeted = match reached {
        Ok(channel) => greet(&shared, (&there, &link), channel, spoken).await,
        Err(Unmade { why, .. }) => Err((RelayEnd::Unreachable, why)),
    };
    let (over, rest) = match greeted {
        Err(over) => (over, REST),
        Ok(hearing) => {
            shared.reached(&there);
            link.standing.send_replace(Standing::Up);
            shared.observe(RelayFact::LinkUp { side: RelaySide::Edge, router: there.router.clone() });
            let trips = VecDeque::with_capacity(TRIPS);
            let mut listening = Listening { shared: &shared, link: &link, router: &there.router, trips, round_trip_us };
            (listening.listen(hearing).await, Duration::ZERO)
        }
    };
    link.standing.send_replace(if nobody { Standing::Nobody } else { Standing::Over });
    let left = {
        let mut clients = link.clients_held();
        clients.over = true;
        std::mem::take(&mut clients.all)
    };
    let (end, why) = over;
    let (side, router, connections) = (RelaySide::Edge, there.router.clone(), left.len());
    shared.observe(RelayFact::LinkDown { side, router, end, connections, why });
    for client in left.into_values() {
        client.outbound.close(lost());
        // HTTP/2 may hold what was said a while longer, and with it the places
        client.places.close();
    }
    tokio::select! {
        () = sleep(rest) => {}
        () = shared.closing.cancelled() => {}
    }
    let mut links = shared.links();
    // one that ended unused may have another in its place
    if links.get(&there.router).is_some_and(|standing| Arc::ptr_eq(standing, &link)) {
        links.remove(&there.router);
    }
}

async fn reach(shared: &Shared, there: &Elsewhere) -> Result<Channel, Unmade> {
    let settings = &shared.settings;
    let dial = Dial { tls: settings.tls.as_ref(), tls_key: "relay.ca_file", patience: settings.connect_timeout };
    connect(&there.relay_url, &dial).await
}

/// Says hello and hears who answers.
async fn greet(
    shared: &Shared,
    (there, link): (&Elsewhere, &Link),
    channel: Channel,
    spoken: Spoken,
) -> Result<Streaming<relay::FromHost>, Over> {
    let patience = shared.settings.connect_timeout;
    let mut request = Request::new(spoken);
    shared.prove(&there.router, request.metadata_mut());
    let mut host = RelayClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let first = async {
        let mut hearing = host.carry(request).await?.into_inner();
        let first = hearing.message().await?;
        Ok::<_, Status>((hearing, first))
    };
    let (hearing, first) = timeout(patience, first)
        .await
        .map_err(|_| (RelayEnd::Unreachable, format!("no hello within {patience:?}")))?
        .map_err(|status| ended(&status))?;
    let refused = |why: &str| (RelayEnd::Refused, why.to_owned());
    let hello = first.and_then(|first| first.hello).ok_or_else(|| refused("its first message is not a hello"))?;
    if hello.router != there.router.as_str() {
        return Err(refused("what answers at its address says that it is another router"));
    }
    if hello.protocol != RELAY_VERSION {
        return Err(refused("it speaks another version of the protocol between routers"));
    }
    // once a link
    link.channel.set(channel).ok();
    Ok(hearing)
}

/// In our words: nothing that the other side wrote.
fn ended(status: &Status) -> Over {
    let refused = |why: &str| (RelayEnd::Refused, why.to_owned());
    match status.code() {
        tonic::Code::Unauthenticated => {
            refused("it does not accept the proof: is resume.secret the same there, and the clock?")
        }
        tonic::Code::FailedPrecondition => refused("it speaks another version of the protocol between routers"),
        tonic::Code::Unimplemented => refused("what answers at its address is no router's relay.listen"),
        code => (RelayEnd::Lost, format!("the stream ended ({code:?})")),
    }
}

/// Hears what the host says.
struct Listening<'a> {
    shared: &'a Shared,
    link: &'a Link,
    router: &'a RouterId,
    /// The latest ones.
    trips: VecDeque<u32>,
    /// The least of them: what waits in a link's queues has its wait counted already.
    round_trip_us: Arc<AtomicU32>,
}

impl Listening<'_> {
    async fn listen(&mut self, mut hearing: Streaming<relay::FromHost>) -> Over {
        let mut ticks = interval(PROBE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sent, mut unanswered) = (0, VecDeque::with_capacity(UNANSWERED_MAX));
        let (mut used, mut heard_of) = (Instant::now(), true);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    if unanswered.len() >= UNANSWERED_MAX {
                        return (RelayEnd::Silent, format!("{UNANSWERED_MAX} signs of life did not come back"));
                    }
                    if !self.nobody_is_left() {
                        used = Instant::now();
                    } else if used.elapsed() >= IDLE && self.ends_unused() {
                        return self.part(hearing, RelayEnd::Idle, "nobody used it for a minute").await;
                    }
                    sent += 1;
                    // in the order of all else: a queue that does not move is no life. When it has no place, it is full of others'
                    // words, and moves as long as these are answered
                    if self.link.said.try_send(Said::Probe(sent)).is_ok() || !heard_of {
                        unanswered.push_back((sent, Instant::now()));
                    }
                    heard_of = false;
                }
                message = hearing.message() => match message {
                    Ok(Some(message)) => {
                        workers::step();
                        heard_of = true;
                        let heard = Instant::now();
                        for item in message.items {
                            if let Some(echo) = &item.echo {
                                self.echoed(&mut unanswered, echo.number, heard);
                            } else {
                                self.hear(item, heard);
                            }
                        }
                    }
                    Ok(None) => return (RelayEnd::Closed, "the other router ended it".to_owned()),
                    Err(status) => return ended(&status),
                },
                () = self.shared.closing.cancelled() => {
                    return self.part(hearing, RelayEnd::Closed, "this router ends").await;
                }
            }
        }
    }

    /// Ends it in a way that the host cannot take for a loss.
    async fn part(&self, mut hearing: Streaming<relay::FromHost>, end: RelayEnd, why: &str) -> Over {
        let parting = async {
            self.link.said.send(Said::End).await.ok();
            while let Ok(Some(_)) = hearing.message().await {}
        };
        timeout(PART_WAIT, parting).await.ok();
        (end, why.to_owned())
    }

    fn nobody_is_left(&self) -> bool {
        self.link.clients_held().all.is_empty()
    }

    /// Whether it can end: nobody has entered since it was looked. Who comes from now on has another one made.
    fn ends_unused(&self) -> bool {
        let mut links = self.shared.links();
        let mut clients = self.link.clients_held();
        clients.over = clients.all.is_empty();
        if clients.over {
            links.remove(self.router);
        }
        clients.over
    }

    fn echoed(&mut self, unanswered: &mut VecDeque<(u64, Instant)>, number: u64, heard: Instant) {
        // an echo of nothing tells nothing
        let Some(at) = unanswered.iter().position(|(sent, _)| *sent == number) else { return };
        let Some((_, sent)) = unanswered.drain(..=at).next_back() else { return };
        let took = heard.saturating_duration_since(sent);
        if self.trips.len() >= TRIPS {
            self.trips.pop_front();
        }
        self.trips.push_back(micros(took));
        self.round_trip_us.store(self.trips.iter().copied().min().unwrap_or_default(), Ordering::Relaxed);
        self.shared.observe(RelayFact::RoundTrip { router: self.router.clone(), took });
    }

    fn hear(&self, item: relay::HostItem, heard: Instant) {
        let clients = self.link.clients_held();
        let one = item.connections.first().and_then(|connection| clients.all.get(connection));
        match item {
            relay::HostItem { push: Some(push), connections, .. } => {
                let known = connections.iter().filter_map(|connection| clients.all.get(connection));
                let pushed = known.map(|client| self.push(client, &push, heard)).count();
                self.link.frames.to_client.fetch_add(pushed as u64, Ordering::Relaxed);
            }
            relay::HostItem { attached: Some(attached), .. } => {
                let Some(client) = one else { return };
                let mut labels = client.labels;
                if !attached.region.is_empty() {
                    labels.region = self.shared.telemetry.region_labels(&attached.region).region;
                }
                let (session, room) = (attached.session.into(), attached.room.into());
                client.outbound.attach(Seat { session, room, labels });
            }
            relay::HostItem { detached: true, .. } => {
                one.iter().for_each(|client| client.outbound.set_attachment(Attachment::None));
            }
            relay::HostItem { closed: Some(closed), .. } => {
                let refusal = words::refusal(closed);
                one.iter().for_each(|client| client.outbound.close(refusal.clone()));
            }
            // of a later version
            _ => {}
        }
    }

    fn push(&self, client: &Client, push: &relay::Push, heard: Instant) {
        let mark = words::mark(push, &self.shared.telemetry, heard);
        let unsent = match push.exempt {
            true => client.outbound.push_exempt(push.frame.clone(), mark),
            false => client.outbound.push(push.frame.clone(), mark),
        };
        // as in a shard: the room does not wait for one that reads slowly. One that closes is being told so
        if let Err(Unsent::Full(_)) = unsent {
            client.outbound.close(Code::SlowReader.refuse());
        }
    }
}
