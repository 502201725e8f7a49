//! A participant without a connection: it lost it, was closed or was advised to go, and comes back by resume, to the router that it
//! was sent to or to any of those that were named.

use std::{
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::participant::Participant;
use crate::{
    load::{
        client::{Client, ClientError, Position},
        measure::Measure,
        run::Run,
        tokens::Pass,
    },
    protocol::{
        Code,
        v1::{self, ClientFrame},
    },
};

/// How long a router is looked for that goes on with the session, or lets somebody in.
const AWAY_MAX: Duration = Duration::from_secs(20);
/// What one attempt may take of it.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// Between two attempts, milliseconds: all who were on a router that died come back at once otherwise.
const PAUSE_MS: RangeInclusive<u64> = 50..=500;

/// Where a participant was told to go.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// When it goes by itself; absent: when it is closed.
    pub(super) goes_at: Option<Instant>,
    /// Of the router that has its room; empty: any.
    url: String,
}

impl Sent {
    /// The server closes, and says where to go.
    pub(super) fn closed(&mut self, leave: v1::LeavePush) {
        self.url = leave.url;
    }

    /// It is to go, in a while.
    pub(super) fn advised(&mut self, advice: v1::Advice) {
        if let Some(v1::ReconnectAdvice { after_ms, url }) = advice.reconnect {
            (self.goes_at, self.url) = (Some(Instant::now() + Duration::from_millis(after_ms)), url);
        }
    }
}

/// What a participant had before it was away.
struct Before {
    position: Position,
    last_id: u64,
    url: String,
}

impl Participant {
    /// Comes back after an end that says so; any other one is the answer.
    pub(super) async fn follow(&mut self, end: ClientError) -> Result<(), ClientError> {
        if self.client.is_none() || !may_come_back(&end) {
            return Err(end);
        }
        self.move_on().await
    }

    /// Goes to another router, as it was told to or has to.
    pub(super) async fn move_on(&mut self) -> Result<(), ClientError> {
        self.run.counts.moved.fetch_add(1, Relaxed);
        self.moves += 1;
        if self.sent.goes_at.is_none() && self.sent.url.is_empty() {
            return self.reconnect(pause()).await;
        }
        self.reconnect(Duration::ZERO).await
    }

    /// Drops the connection without a word, stays away, comes back by resume and asks again what was not answered.
    pub(super) async fn reconnect(&mut self, away: Duration) -> Result<(), ClientError> {
        let Some(client) = self.client.take() else {
            return Err(ClientError::Lost("the participant is away".to_owned()));
        };
        let url = std::mem::take(&mut self.sent).url;
        let before = Before { position: client.position().clone(), last_id: client.last_id(), url };
        drop(client);
        let group = self.group.clone();
        let _away = group.away();
        let due = Instant::now() + away;
        tokio::time::sleep_until(due.into()).await;
        match self.resume(&before).await {
            Ok((client, resumed)) => self.is_back(client, &resumed, due),
            Err(refusal) if is_gone(&refusal) && !self.leaves => self.begin_anew(before.last_id).await?,
            Err(refusal) => return Err(refusal),
        }
        self.group.was_away(self.me, self.run.nanos(Instant::now()));
        self.take_kept();
        self.ask_again().await
    }

    /// Finds the router that goes on with the session.
    async fn resume(&self, before: &Before) -> Result<(Client, v1::Resumed), ClientError> {
        let until = Instant::now() + AWAY_MAX;
        for attempt in 0.. {
            self.run.counts.requests.fetch_add(1, Relaxed);
            let resuming = self.try_resume(before, attempt);
            let refusal = match tokio::time::timeout(ATTEMPT_MAX, resuming).await {
                Ok(Ok(back)) => return Ok(back),
                Ok(Err(refusal)) => refusal,
                Err(_) => ClientError::Silence,
            };
            if !may_come_back(&refusal) || Instant::now() >= until || self.run.stop.is_cancelled() {
                return Err(refusal);
            }
            self.run.tries_again(&refusal);
            tokio::time::sleep(pause_after(&refusal)).await;
        }
        Err(ClientError::Silence)
    }

    /// First where it was sent to, then by the routers that were named, in turns.
    async fn try_resume(&self, before: &Before, attempt: usize) -> Result<(Client, v1::Resumed), ClientError> {
        let routers = &self.run.routers;
        let mut way = match before.url.as_str() {
            url if attempt == 0 && !url.is_empty() => routers.way_to(url, self.number).await?,
            _ => routers.way(self.number + attempt),
        };
        loop {
            let mut client = way.connect(&self.pass.token).await?;
            client.continue_ids_after(before.last_id);
            match client.resume(before.position.clone()).await {
                Ok(resumed) => return Ok((client, resumed)),
                Err(refusal) => way.follow(refusal).await?,
            }
        }
    }

    fn is_back(&mut self, client: Client, resumed: &v1::Resumed, due: Instant) {
        self.run.record(self.number, Measure::Resume, self.run.nanos(due), Instant::now());
        let outcome = if resumed.recovered { &self.run.counts.resumed } else { &self.run.counts.snapshots };
        outcome.fetch_add(1, Relaxed);
        if let Some(snapshot) = &resumed.snapshot {
            self.told.joined(snapshot);
        }
        self.acknowledged = self.acknowledged.min(client.position().seq);
        self.client = Some(client);
    }

    /// Nobody has the session any more: it joins as somebody new.
    async fn begin_anew(&mut self, last_id: u64) -> Result<(), ClientError> {
        self.run.counts.sessions_lost.fetch_add(1, Relaxed);
        let (mut client, joined, _) = come_in(&self.run, self.number, &self.pass).await?;
        client.continue_ids_after(last_id);
        self.told.joined(&joined);
        // the tracks went with the session
        self.tracks.clear();
        self.pending.retain(|_, pending| pending.measure != Measure::Mute);
        self.acknowledged = 0;
        self.client = Some(client);
        Ok(())
    }

    /// Says again what was not answered, under the ids that it had. Should the connection break meanwhile, whoever reads next follows.
    async fn ask_again(&mut self) -> Result<(), ClientError> {
        let again: Vec<_> = self.pending.iter().map(|(id, pending)| (*id, pending.op.clone())).collect();
        for (id, op) in again {
            let frame = ClientFrame { id: Some(id), traceparent: String::new(), op: Some(op) };
            if self.client()?.send(frame).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Joins; a router that is gone, or goes, is none: then by another one. What a router sheds is tried again when it said. Whether
/// it had to be tried again comes with it.
pub(super) async fn come_in(
    run: &Arc<Run>,
    number: usize,
    pass: &Pass,
) -> Result<(Client, v1::Joined, bool), ClientError> {
    let until = Instant::now() + AWAY_MAX;
    let mut attempt = 0;
    loop {
        match run.join_by(run.routers.way(number + attempt), pass).await {
            Ok((client, joined)) => return Ok((client, joined, attempt > 0)),
            Err(refusal) => {
                let again = is_leaving(&refusal) || is_shed(&refusal);
                if !again || Instant::now() >= until || run.stop.is_cancelled() {
                    return Err(refusal);
                }
                run.tries_again(&refusal);
                attempt += 1;
                tokio::time::sleep(pause_after(&refusal)).await;
            }
        }
    }
}

fn pause() -> Duration {
    Duration::from_millis(fastrand::u64(PAUSE_MS))
}

/// As long as the router says that sheds, a little longer than it says at least; else any.
fn pause_after(refusal: &ClientError) -> Duration {
    let says = match refusal {
        ClientError::Refused { error, .. } | ClientError::Error(error) if is_shed(refusal) => error.retry_after_ms,
        _ => None,
    };
    says.map_or(Duration::ZERO, Duration::from_millis) + pause()
}

fn code_of(error: &ClientError) -> Option<Code> {
    match error {
        ClientError::Refused { error, .. } | ClientError::Error(error) => Code::by_name(&error.code),
        ClientError::Closed { number, .. } => Code::by_number(*number),
        _ => None,
    }
}

/// Whether the session may be there still, at this router or another one.
fn may_come_back(end: &ClientError) -> bool {
    match end {
        ClientError::Lost(_) | ClientError::Handshake(_) | ClientError::Silence => true,
        end => code_of(end).is_some_and(Code::reconnect),
    }
}

/// Whether it is only that router that does not let anybody in.
fn is_leaving(refusal: &ClientError) -> bool {
    match refusal {
        ClientError::Lost(_) | ClientError::Handshake(_) => true,
        refusal => matches!(code_of(refusal), Some(Code::Draining | Code::NotReady | Code::RoomElsewhere)),
    }
}

/// Whether the router has too much to do, and would let in who comes again in a while.
fn is_shed(refusal: &ClientError) -> bool {
    code_of(refusal) == Some(Code::Overloaded)
}

/// Whether no router has the session any more.
pub(super) fn is_gone(refusal: &ClientError) -> bool {
    code_of(refusal) == Some(Code::SessionGone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_codes_says_who_comes_back() {
        let closed = |code: Code| ClientError::Closed { number: code.number(), reason: String::new() };
        for code in [Code::RoomElsewhere, Code::Draining, Code::SlowReader, Code::ConnectionLost] {
            assert!(may_come_back(&closed(code)), "{code:?}");
        }
        for code in [Code::Replaced, Code::Removed, Code::RoomDeleted, Code::Left, Code::SessionGone] {
            assert!(!may_come_back(&closed(code)), "{code:?}");
        }
        assert!(may_come_back(&ClientError::Lost("reset".to_owned())));
        assert!(!may_come_back(&ClientError::Closed { number: 1_002, reason: String::new() }));
        assert!(!may_come_back(&ClientError::Unreadable("no frame".to_owned())));
    }

    #[test]
    fn only_what_another_router_would_answer_otherwise_is_asked_of_another_one() {
        let refused = |code: Code| ClientError::Error(code.refuse().to_wire());
        assert!(is_leaving(&refused(Code::Draining)) && is_leaving(&refused(Code::RoomElsewhere)));
        assert!(!is_leaving(&refused(Code::RoomFull)) && !is_leaving(&refused(Code::Unauthenticated)));
        assert!(is_gone(&refused(Code::SessionGone)) && !is_gone(&refused(Code::Draining)));
    }

    #[test]
    fn what_is_shed_is_tried_again_when_the_router_said() {
        let shed = ClientError::Error(Code::Overloaded.refuse().retry_after_ms(3_000).to_wire());
        assert!(is_shed(&shed) && !is_leaving(&shed));
        assert!((3_050..=3_500).contains(&pause_after(&shed).as_millis()));
        // another router is asked without waiting for this one
        let drains = ClientError::Error(Code::Draining.refuse().retry_after_ms(3_000).to_wire());
        assert!(!is_shed(&drains) && pause_after(&drains) <= Duration::from_millis(500));
    }

    #[test]
    fn advice_about_a_token_sends_nobody_away() {
        let mut sent = Sent::default();
        sent.advised(v1::Advice { token: Some(v1::TokenAdvice { expires_in_ms: 1 }), reconnect: None });
        assert!(sent.goes_at.is_none());
        let reconnect = Some(v1::ReconnectAdvice { after_ms: 5, url: "ws://r2".to_owned() });
        sent.advised(v1::Advice { token: None, reconnect });
        assert!(sent.goes_at.is_some() && sent.url == "ws://r2");
    }
}
