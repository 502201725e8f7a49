//! The admin API of any router about the rooms of all: a call about a room goes to the router that has it, a list is gathered.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{
    Relay,
    calls::{answer, ask, call, reply},
    edge::MESSAGE_BYTES_MAX,
    host::Host,
};
use crate::{
    ids::RouterId,
    io::{admin::RoomsHere, finder::Elsewhere},
    protocol::{Code, Refusal, relay, relay::relay_client::RelayClient, v1},
    router::{AdminCall, AdminReply},
};

/// How long another router may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Routers that are asked for their lists at a time.
const ASKED_AT_ONCE: usize = 16;

/// What became of a call to another router.
type Asked = Result<(Result<AdminReply, Refusal>, bool), NotAsked>;

/// Why there is no answer.
enum NotAsked {
    /// It was not asked.
    NoLink,
    /// It was, and did not answer.
    NoAnswer,
}

/// What several routers answered.
pub(crate) struct Gathered {
    /// Each answer, whose it is, and of a list whether others follow in it.
    answers: Vec<(RouterId, AdminReply, bool)>,
    /// Routers that did not answer, or not with all.
    pub(crate) missing: Vec<String>,
}

impl Gathered {
    /// Rooms by name, `limit` at most, with this router's `own`: as far as nothing is left out.
    pub(crate) fn rooms(&mut self, own: Vec<v1::RoomInfo>, limit: usize) -> Vec<v1::RoomInfo> {
        let lists = self.answers.drain(..).filter_map(|(_, reply, more)| match reply {
            AdminReply::Rooms(rooms) => Some((rooms, more)),
            _ => None,
        });
        merged([(own, false)].into_iter().chain(lists).collect(), limit)
    }

    /// A user's sessions by room, `limit` at most, with this router's `own`.
    pub(crate) fn sessions(&mut self, own: Vec<v1::UserSession>, limit: usize) -> Vec<v1::UserSession> {
        let others = self.answers.drain(..).flat_map(|(router, reply, _)| {
            let sessions = if let AdminReply::User(sessions) = reply { sessions } else { Vec::new() };
            sessions.into_iter().map(move |session| v1::UserSession { router: router.as_str().to_owned(), ..session })
        });
        let mut all: Vec<_> = own.into_iter().chain(others).collect();
        all.sort_by(|a, b| a.room.cmp(&b.room));
        all.truncate(limit);
        all
    }
}

impl Relay {
    /// Has the router that has a room carry out a call about it.
    pub(crate) async fn ask(&self, there: &Elsewhere, by: String, call: AdminCall) -> Result<AdminReply, Refusal> {
        match self.try_ask(there, by, call).await {
            Ok((reply, _)) => reply,
            Err(NotAsked::NoLink) => Err(there.refusal.clone()),
            Err(NotAsked::NoAnswer) => {
                let why = format!("router `{}` has this room and did not answer; it may have done it", there.router);
                Err(Code::RoomUnavailable.because(why).retry_after_ms(1_000))
            }
        }
    }

    async fn try_ask(&self, there: &Elsewhere, by: String, call: AdminCall) -> Asked {
        if there.relay_url.is_empty() {
            return Err(NotAsked::NoLink);
        }
        let link = self.link(there).map_err(|_| NotAsked::NoLink)?;
        link.stands().await.map_err(|_| NotAsked::NoLink)?;
        let channel = link.channel().ok_or(NotAsked::NoLink)?;
        let mut request = Request::new(ask(by, call));
        self.0.prove(&there.router, request.metadata_mut());
        let mut host = RelayClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        match timeout(ANSWER_WAIT, host.ask(request)).await {
            Ok(Ok(answered)) => reply(answered.into_inner()).ok_or(NotAsked::NoAnswer),
            Ok(Err(_)) | Err(_) => Err(NotAsked::NoAnswer),
        }
    }

    /// Asks all these routers the same.
    pub(crate) async fn gather(&self, others: Vec<Elsewhere>, by: &str, call: &AdminCall) -> Gathered {
        let asked = others.into_iter().map(|there| async move {
            let answered = self.try_ask(&there, by.to_owned(), call.clone()).await;
            (there.router, answered)
        });
        let mut gathered = Gathered { answers: Vec::new(), missing: Vec::new() };
        let mut answers = stream::iter(asked).buffer_unordered(ASKED_AT_ONCE);
        while let Some((router, answered)) = answers.next().await {
            match answered {
                Ok((Ok(reply), more)) => {
                    // of rooms, the others come with the next page
                    if more && matches!(reply, AdminReply::User(_)) {
                        gathered.missing.push(router.as_str().to_owned());
                    }
                    gathered.answers.push((router, reply, more));
                }
                _ => gathered.missing.push(router.as_str().to_owned()),
            }
        }
        gathered.missing.sort();
        gathered
    }
}

/// One list of several, each in order and with whether others follow in it: as far as nothing is left out.
fn merged(lists: Vec<(Vec<v1::RoomInfo>, bool)>, limit: usize) -> Vec<v1::RoomInfo> {
    let ends = lists.iter().filter(|(_, more)| *more).filter_map(|(rooms, _)| rooms.last());
    let end = ends.map(|room| room.name.clone()).min();
    let all = lists.into_iter().flat_map(|(rooms, _)| rooms);
    let known = all.filter(|room| end.as_ref().is_none_or(|end| room.name <= *end));
    // one that moves meanwhile may be told of twice
    let by_name: BTreeMap<String, v1::RoomInfo> = known.map(|room| (room.name.clone(), room)).collect();
    by_name.into_values().take(limit).collect()
}

impl Host {
    pub(super) async fn answer(
        &self,
        request: Request<relay::AdminAsk>,
    ) -> Result<Response<relay::AdminAnswer>, Status> {
        let relay::AdminAsk { by, call: asked } = request.into_inner();
        let asked = asked.ok_or_else(|| Status::invalid_argument("a call of a later version"))?;
        Ok(Response::new(answer(RoomsHere::of(&self.gateway).call_here(by, call(asked)).await)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(names: &[&str]) -> Vec<v1::RoomInfo> {
        names.iter().map(|name| v1::RoomInfo { name: (*name).to_owned(), ..Default::default() }).collect()
    }

    fn names(lists: Vec<(Vec<v1::RoomInfo>, bool)>, limit: usize) -> Vec<String> {
        merged(lists, limit).into_iter().map(|room| room.name).collect()
    }

    #[test]
    fn lists_are_one_in_order_and_a_room_that_moved_is_in_it_once() {
        let lists = || vec![(rooms(&["b", "d"]), false), (rooms(&["a", "c", "d"]), false), (rooms(&[]), false)];
        assert_eq!(names(lists(), 10), ["a", "b", "c", "d"]);
        assert_eq!(names(lists(), 3), ["a", "b", "c"]);
    }

    #[test]
    fn nothing_comes_behind_what_is_left_out_of_a_list() {
        let lists = vec![(rooms(&["a", "c"]), true), (rooms(&["b", "x"]), true), (rooms(&["bb", "d"]), false)];
        assert_eq!(names(lists, 10), ["a", "b", "bb", "c"]);
    }
}
