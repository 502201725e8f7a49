//! Who comes into rooms: by any router, and on to the one that it is sent to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use signalbox::{
    load::client::{Client, ClientError, Position, Target, TargetSettings},
    protocol::{
        Code,
        v1::{self, client_frame::Op},
    },
};
use tokio::task::{JoinHandle, JoinSet};

use crate::{
    harness::{Router, Token, unix_now},
    load,
};

/// How often one who comes is sent on.
const SENT_ON_MAX: usize = 3;
/// A visit begins so often.
const VISIT_EVERY: Duration = Duration::from_millis(250);
/// Visits under way at once.
const VISITS_MAX: usize = 64;

/// Somebody with a token for any room.
#[derive(Clone)]
pub(crate) struct Identity {
    token: String,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        // as long as the whole table takes
        Self { token: Token::new("", name).claim("exp", unix_now() + 4 * 3_600).sign() }
    }
}

/// Where clients reach it.
pub(crate) fn url(router: &Router) -> String {
    format!("ws://{}/v1/signal", router.client)
}

/// Comes to the router at that URL, and to no other one.
pub(crate) async fn join_at(url: &str, room: &str, who: &Identity) -> Result<(Client, v1::Joined), ClientError> {
    let target = Target::resolve(&TargetSettings::websocket(url)).await?;
    let mut client = target.connect(&who.token, None).await?;
    let joined = client.join(v1::Join { room: room.to_owned(), ..v1::Join::default() }).await?;
    Ok((client, joined))
}

/// Comes to the router at that URL, and goes on to where it is sent.
pub(crate) async fn join(url: &str, room: &str, who: &Identity) -> Result<(Client, v1::Joined), ClientError> {
    let mut url = url.to_owned();
    for _ in 0..SENT_ON_MAX {
        match join_at(&url, room, who).await {
            Err(ClientError::Error(error)) if error.code == Code::RoomElsewhere.name() && !error.url.is_empty() => {
                url = error.url;
            }
            done => return done,
        }
    }
    join_at(&url, room, who).await
}

/// Comes back to the router at that URL, or to the one that it is sent to, as the session of that position; its requests are counted on
/// from the last one.
pub(crate) async fn resume(
    url: &str,
    who: &Identity,
    (position, last_id): (&Position, u64),
) -> Result<Client, ClientError> {
    let mut url = url.to_owned();
    for _ in 0..SENT_ON_MAX {
        let target = Target::resolve(&TargetSettings::websocket(&url)).await?;
        let mut client = target.connect(&who.token, None).await?;
        client.continue_ids_after(last_id);
        match client.resume(position.clone()).await {
            Ok(_) => return Ok(client),
            Err(ClientError::Error(error)) if error.code == Code::RoomElsewhere.name() && !error.url.is_empty() => {
                url = error.url;
            }
            Err(refusal) => return Err(refusal),
        }
    }
    Err(ClientError::Lost("sent on and on".to_owned()))
}

/// Goes, so that nothing of it lingers; whether it was still there.
pub(crate) async fn leave(mut client: Client) -> Result<(), ClientError> {
    client.request(Op::Leave(v1::Leave {})).await.map(drop)
}

/// What became of those who came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) joins: u64,
    /// By the reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Two came to one room by two routers, and did not meet.
    pub(crate) apart: u64,
    /// Who was closed before it left, by the reason.
    pub(crate) closed: BTreeMap<String, u64>,
    pub(crate) slowest: Duration,
}

/// A trickle of them: in turns somebody who comes for a moment into a room of the load, by the router that has it; and two
/// who meet in a new room, each by another router.
pub(crate) struct Visits {
    tally: Arc<Mutex<Tally>>,
    coming: JoinHandle<()>,
}

impl Visits {
    pub(crate) fn start(routers: &[Router]) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let visit = Visit {
            urls: routers.iter().map(url).collect(),
            guest: Identity::new("guest"),
            other: Identity::new("other"),
            tally: tally.clone(),
        };
        let coming = tokio::spawn(async move {
            let (mut ticks, mut under_way) = (tokio::time::interval(VISIT_EVERY), JoinSet::new());
            for number in 0.. {
                ticks.tick().await;
                while under_way.try_join_next().is_some() || under_way.len() >= VISITS_MAX {
                    if under_way.len() >= VISITS_MAX {
                        under_way.join_next().await;
                    }
                }
                under_way.spawn(visit.clone().make(number));
            }
        });
        Self { tally, coming }
    }

    /// What became of them since this was asked last.
    pub(crate) fn take(&self) -> Tally {
        std::mem::take(&mut self.tally.lock().unwrap())
    }
}

impl Drop for Visits {
    fn drop(&mut self) {
        self.coming.abort();
    }
}

#[derive(Clone)]
struct Visit {
    urls: Vec<String>,
    guest: Identity,
    other: Identity,
    tally: Arc<Mutex<Tally>>,
}

impl Visit {
    async fn make(self, number: usize) {
        let turn = number / 2;
        let (first, next) = (turn % self.urls.len(), (turn + 1) % self.urls.len());
        if number.is_multiple_of(2) {
            // the next one comes while this one is still there, so each is somebody else
            let guest = Identity::new(&format!("guest-{}", turn % VISITS_MAX));
            let room = load::room(first, turn / self.urls.len() % load::ROOMS);
            let client = self.comes(first, &room, &guest).await;
            return self.goes(client.map(|(client, _)| client)).await;
        }
        let room = format!("visit-{turn}");
        let guest = self.comes(first, &room, &self.guest).await;
        let other = self.comes(next, &room, &self.other).await;
        if let (Some(_), Some((_, joined))) = (&guest, &other)
            && joined.participants.is_empty()
        {
            self.tally.lock().unwrap().apart += 1;
        }
        for client in [guest, other] {
            self.goes(client.map(|(client, _)| client)).await;
        }
    }

    async fn comes(&self, by: usize, room: &str, who: &Identity) -> Option<(Client, v1::Joined)> {
        let begun = Instant::now();
        let joined = join(&self.urls[by], room, who).await;
        let mut tally = self.tally.lock().unwrap();
        tally.joins += 1;
        tally.slowest = tally.slowest.max(begun.elapsed());
        joined.inspect_err(|why| *tally.refused.entry(why.reason()).or_default() += 1).ok()
    }

    async fn goes(&self, client: Option<Client>) {
        if let Some(client) = client
            && let Err(why) = leave(client).await
        {
            *self.tally.lock().unwrap().closed.entry(why.reason()).or_default() += 1;
        }
    }
}
