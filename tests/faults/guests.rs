//! Who comes for one fault alone: rooms of one name on two routers, and clients whose router gets no link to that of their room.

use std::time::{Duration, Instant};

use signalbox::{
    load::client::ClientError,
    protocol::{Code, v1, v1::client_frame::Op},
};

use crate::{
    apart::{Outcome, Pairs},
    comers::{self, Identity},
    fault::Fault,
    fleet::Fleet,
    load,
};

/// A router that has no link to [`LINKED_BY_FEW`]: none of its members and visitors is in a room there,
pub(crate) const UNLINKED: usize = 1;
/// where the load has no room whose members are connected elsewhere, and visitors come by the one other router.
pub(crate) const LINKED_BY_FEW: usize = 2;
/// How many come while there is no link, one after the other,
const COMERS: usize = 16;
/// in such steps: some find that the router was just tried, some have it tried.
const COMES_EVERY: Duration = Duration::from_millis(200);
/// For a link to be made again.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) enum Guests {
    Nobody,
    Pairs(Pairs),
    Unlinked(Outcome),
}

impl Guests {
    /// Who has to be there before it.
    pub(crate) async fn before(fault: Fault, fleet: &Fleet, run: usize) -> Self {
        match fault {
            _ if fault.has_two_of_one_name() => Self::Pairs(Pairs::before(fleet, run).await),
            Fault::LinksRefused => Self::Unlinked(Outcome::default()),
            _ => Self::Nobody,
        }
    }

    /// While it lasts.
    pub(crate) async fn meanwhile(&mut self, fleet: &Fleet) {
        match self {
            Self::Nobody => {}
            Self::Pairs(pairs) => pairs.meanwhile(fleet).await,
            Self::Unlinked(outcome) => sent_on(fleet, outcome).await,
        }
    }

    /// What became of them once it is over.
    pub(crate) async fn after(self, fleet: &Fleet) -> Option<Outcome> {
        match self {
            Self::Nobody => None,
            Self::Pairs(pairs) => Some(pairs.after(fleet).await),
            Self::Unlinked(mut outcome) => {
                if let Err(why) = linked_again(fleet).await {
                    outcome.complaints.push(why);
                }
                Some(outcome)
            }
        }
    }
}

/// Each is told where its room is, and takes part in it there.
async fn sent_on(fleet: &Fleet, outcome: &mut Outcome) {
    let [by, there] = [UNLINKED, LINKED_BY_FEW].map(|number| comers::url(&fleet.routers[number]));
    for number in 0..COMERS {
        tokio::time::sleep(COMES_EVERY).await;
        let (room, who) = (load::room(LINKED_BY_FEW, number % load::ROOMS), Identity::new(&format!("sent-{number}")));
        let sent = match comers::join_at(&by, &room, &who).await {
            Err(ClientError::Error(error)) if error.code == Code::RoomElsewhere.name() => error.url,
            Err(why) => {
                outcome.complaints.push(format!("{room}: refused: {why}"));
                continue;
            }
            Ok(_) => {
                outcome.complaints.push(format!("{room}: carried without a link"));
                continue;
            }
        };
        if sent != there {
            outcome.complaints.push(format!("{room}: sent to `{sent}`"));
            continue;
        }
        let taken_part = async {
            let (mut client, _) = comers::join_at(&sent, &room, &who).await?;
            client.request(Op::Ping(v1::Ping::default())).await?;
            comers::leave(client).await
        };
        match taken_part.await {
            Ok(()) => outcome.sent_on += 1,
            Err(why) => outcome.complaints.push(format!("{room}: not let in where it was sent: {why}")),
        }
    }
}

/// Who comes now is carried.
async fn linked_again(fleet: &Fleet) -> Result<(), String> {
    let (by, room, who) =
        (comers::url(&fleet.routers[UNLINKED]), load::room(LINKED_BY_FEW, 0), Identity::new("carried"));
    let since = Instant::now();
    loop {
        match comers::join_at(&by, &room, &who).await {
            Ok((client, _)) => {
                return comers::leave(client).await.map_err(|why| format!("{room}: carried, and then {why}"));
            }
            Err(why) if since.elapsed() > PATIENCE => return Err(format!("{room}: there is no link again: {why}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
