//! Rooms of one name on two routers that do not hear of each other: once they do, one of each makes way.

use std::time::Duration;

use signalbox::{
    load::client::{Client, ClientError},
    protocol::{Code, v1::server_frame::Body},
};
use tokio::time::Instant;

use crate::{
    comers::{self, Identity},
    fleet::Fleet,
};

/// Of each kind.
const PAIRS: usize = 3;
/// For a room to make way once the routers see each other again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who is in rooms of one name, one at the first router and one at the second, which do not hear of each other.
pub(crate) struct Pairs {
    alice: Identity,
    bob: Identity,
    run: usize,
    /// By name.
    there: Vec<(String, Client)>,
    both: Vec<(String, [Client; 2])>,
}

/// How they came together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Of rooms that the first router had before, and of those that were made at both meanwhile: how many it gave up, and how many the
    /// second one did.
    pub(crate) had: [usize; 2],
    pub(crate) made: [usize; 2],
    /// Who was told where its room is, and got in there.
    pub(crate) sent_on: usize,
    pub(crate) complaints: Vec<String>,
}

impl Outcome {
    /// How many rooms made way.
    pub(crate) fn made_way(&self) -> usize {
        self.had.iter().chain(&self.made).sum()
    }
}

impl Pairs {
    /// Somebody is in rooms of the first router, as all of the fleet knows.
    pub(crate) async fn before(fleet: &Fleet, run: usize) -> Self {
        let (alice, bob) = (Identity::new("alice"), Identity::new("bob"));
        let mut there = Vec::new();
        for number in 0..PAIRS {
            let name = format!("had-{run}-{number}");
            let (client, _) = comers::join(&comers::url(&fleet.routers[0]), &name, &alice).await.unwrap();
            there.push((name, client));
        }
        Self { alice, bob, run, there, both: Vec::new() }
    }

    /// While they do not, the same rooms are asked for at the second router, and some new ones at both.
    pub(crate) async fn meanwhile(&mut self, fleet: &Fleet) {
        let urls = [0, 1].map(|number| comers::url(&fleet.routers[number]));
        for (name, client) in self.there.drain(..) {
            let since = Instant::now();
            // until the first router has been silent for long enough, the second one sends there
            let other = loop {
                match comers::join_at(&urls[1], &name, &self.bob).await {
                    Ok((other, _)) => break other,
                    Err(why) => assert!(since.elapsed() < PATIENCE, "{name} is not made elsewhere: {why}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            self.both.push((name, [client, other]));
        }
        for number in 0..PAIRS {
            let name = format!("made-{}-{number}", self.run);
            let (client, _) = comers::join_at(&urls[0], &name, &self.alice).await.unwrap();
            let (other, _) = comers::join_at(&urls[1], &name, &self.bob).await.unwrap();
            self.both.push((name, [client, other]));
        }
    }

    /// One of each makes way with the URL of the other, and whoever follows it meets who is there.
    pub(crate) async fn after(self, fleet: &Fleet) -> Outcome {
        let urls = [0, 1].map(|number| comers::url(&fleet.routers[number]));
        let mut outcome = Outcome::default();
        for (name, [mut alice, mut bob]) in self.both {
            let first = async {
                tokio::select! {
                    end = end(&mut alice) => (0, end),
                    end = end(&mut bob) => (1, end),
                }
            };
            let Ok((loser, (why, url))) = tokio::time::timeout(PATIENCE, first).await else {
                outcome.complaints.push(format!("{name}: neither makes way"));
                continue;
            };
            let sent = matches!(why, ClientError::Closed { number, .. } if number == Code::RoomElsewhere.number());
            if !sent || url != urls[1 - loser] {
                outcome.complaints.push(format!("{name}: {why}, sent to `{url}`"));
                continue;
            }
            let who = [&self.alice, &self.bob][loser];
            match comers::join_at(&url, &name, who).await {
                Ok((client, joined)) => {
                    outcome.sent_on += 1;
                    if joined.participants.len() != 1 {
                        outcome.complaints.push(format!("{name}: nobody is met at {url}"));
                    }
                    comers::leave(client).await.ok();
                }
                Err(why) => outcome.complaints.push(format!("{name}: not let in at {url}: {why}")),
            }
            let stays = if loser == 0 { bob } else { alice };
            if let Err(why) = comers::leave(stays).await {
                outcome.complaints.push(format!("{name}: who stays is closed as well: {why}"));
            }
            let counts = if name.starts_with("had") { &mut outcome.had } else { &mut outcome.made };
            counts[loser] += 1;
        }
        outcome
    }
}

/// How a session ends, and where it is sent.
async fn end(client: &mut Client) -> (ClientError, String) {
    let mut url = String::new();
    loop {
        match client.next_frame().await {
            Ok(frame) => {
                if let Some(Body::Leave(leave)) = frame.body {
                    url = leave.url;
                }
            }
            Err(why) => return (why, url),
        }
    }
}
