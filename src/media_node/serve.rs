//! `signalbox.v1.Media`: calls to the pump, and a stream to every router that watches.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::Stream;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

use super::{
    limits::Refusal,
    meter::Meter,
    node::{Command, Done, Totals},
    pump::Ask,
};
use crate::protocol::v1::{
    self, EndMediaRoomRequest, EndParticipantRequest, EndTrackRequest, FromNode, FromRouter, HealthRequest,
    MediaAnswerRequest, MediaCandidateRequest, MediaDone, MediaOfferReply, MediaOfferRequest, MediaReport,
    MuteMediaRequest, PutParticipantRequest, PutTrackRequest, SetPermissionsRequest, SubscribeMediaRequest,
};

/// The newest version of the contract.
pub(super) const PROTOCOL: u32 = 1;
/// Messages that wait for a router's stream.
const WAITING: usize = 64;
/// Reports more frequent than this would be load themselves.
const REPORT_LEAST: Duration = Duration::from_millis(100);

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Serve {
    pub(super) hello: v1::NodeHello,
    pub(super) asks: mpsc::Sender<Ask>,
    pub(super) pushes: broadcast::Sender<Arc<v1::MediaPush>>,
    pub(super) totals: Arc<Mutex<Totals>>,
    pub(super) draining: watch::Receiver<bool>,
    pub(super) watchers: TaskTracker,
    pub(super) end: CancellationToken,
    /// For `Health`: since the last time that anybody asked.
    pub(super) meter: Arc<Mutex<Meter>>,
}

impl Serve {
    async fn ask<T>(&self, request: Request<T>, command: fn(T) -> Command) -> Result<Done, Status> {
        let deadline = timeout_of(&request).map(|timeout| Instant::now() + timeout);
        let (reply, replied) = oneshot::channel();
        let ask = Ask { command: command(request.into_inner()), deadline, reply };
        let full = |error: mpsc::error::TrySendError<Ask>| match error {
            mpsc::error::TrySendError::Full(_) => {
                let most = self.asks.max_capacity();
                Refusal::Exhausted { limit: "calls_waiting_max", found: most + 1, most }
            }
            mpsc::error::TrySendError::Closed(_) => Refusal::Ending,
        };
        self.asks.try_send(ask).map_err(full)?;
        Ok(replied.await.map_err(|_| Refusal::Ending)??)
    }

    async fn done<T>(&self, request: Request<T>, command: fn(T) -> Command) -> Result<Response<MediaDone>, Status> {
        self.ask(request, command).await.map(|_| Response::new(MediaDone {}))
    }
}

/// What the caller gives the call (gRPC's `grpc-timeout`: digits and a unit).
fn timeout_of<T>(request: &Request<T>) -> Option<Duration> {
    let text = request.metadata().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => number.checked_mul(3_600).map(Duration::from_secs),
        "M" => number.checked_mul(60).map(Duration::from_secs),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// The calls that answer nothing, beside what is written out.
macro_rules! media {
    ({ $($written:tt)* } $($name:ident($request:ty) => $command:ident;)*) => {
        #[tonic::async_trait]
        impl v1::media_server::Media for Serve {
            $($written)*

            $(
                async fn $name(&self, request: Request<$request>) -> Result<Response<MediaDone>, Status> {
                    self.done(request, Command::$command).await
                }
            )*
        }
    };
}

media! {
    {
        type WatchStream = Pin<Box<dyn Stream<Item = Result<FromNode, Status>> + Send>>;

        async fn watch(&self, request: Request<Streaming<FromRouter>>) -> Result<Response<Self::WatchStream>, Status> {
            let (say, said) = mpsc::channel(WAITING);
            let watcher = Watcher { serve: self.clone(), router: request.into_inner(), say, reports: None };
            self.watchers.spawn(watcher.run(self.pushes.subscribe()));
            Ok(Response::new(Box::pin(ReceiverStream::new(said))))
        }

        async fn offer(&self, request: Request<MediaOfferRequest>) -> Result<Response<MediaOfferReply>, Status> {
            let answer = match self.ask(request, Command::Offer).await? {
                Done::Answer(answer) => Some(answer),
                Done::Done => None,
            };
            Ok(Response::new(MediaOfferReply { answer }))
        }

        async fn health(&self, _: Request<HealthRequest>) -> Result<Response<MediaReport>, Status> {
            let draining = *self.draining.borrow();
            let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(Response::new(meter.report(&self.totals, draining)))
        }
    }

    put_participant(PutParticipantRequest) => PutParticipant;
    end_participant(EndParticipantRequest) => EndParticipant;
    set_permissions(SetPermissionsRequest) => SetPermissions;
    put_track(PutTrackRequest) => PutTrack;
    end_track(EndTrackRequest) => EndTrack;
    mute_track(MuteMediaRequest) => MuteTrack;
    subscribe(SubscribeMediaRequest) => Subscribe;
    answer(MediaAnswerRequest) => Answer;
    candidate(MediaCandidateRequest) => Candidate;
    end_room(EndMediaRoomRequest) => EndRoom;
}

/// One router's stream.
struct Watcher {
    serve: Serve,
    router: Streaming<FromRouter>,
    say: mpsc::Sender<Result<FromNode, Status>>,
    /// From the router's hello on.
    reports: Option<(tokio::time::Interval, Meter)>,
}

impl Watcher {
    /// Until the router hangs up, lags behind, or the node ends.
    async fn run(mut self, mut pushes: broadcast::Receiver<Arc<v1::MediaPush>>) {
        let hello = FromNode { hello: Some(self.serve.hello.clone()), ..FromNode::default() };
        let mut draining = self.serve.draining.clone();
        let end = self.serve.end.clone();
        let mut next = Ok(Some(hello));
        loop {
            match next {
                Ok(Some(message)) => {
                    if self.say.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(status) => {
                    self.say.send(Err(status)).await.ok();
                    return;
                }
            }
            next = tokio::select! {
                () = end.cancelled() => Err(Refusal::Ending.into()),
                heard = self.router.message() => match heard {
                    Ok(Some(message)) => self.heard(&message),
                    Ok(None) | Err(_) => return,
                },
                push = pushes.recv() => match push {
                    Ok(push) => Ok(Some(FromNode { push: Some((*push).clone()), ..FromNode::default() })),
                    Err(_) => Err(Status::resource_exhausted("the stream is read too slowly: open it anew")),
                },
                () = due(&mut self.reports) => Ok(self.report()),
                Ok(()) = draining.changed() => Ok(self.report()),
            };
        }
    }

    fn heard(&mut self, message: &FromRouter) -> Result<Option<FromNode>, Status> {
        if let Some(hello) = &message.hello {
            let every = Duration::from_millis(hello.report_ms).max(REPORT_LEAST);
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            self.reports = Some((ticks, Meter::new(&self.serve.totals)));
            return Ok(None);
        }
        if self.reports.is_none() {
            return Err(Refusal::invalid("hello", "has to be the first message").into());
        }
        match message.probe {
            Some(probe) => Ok(Some(FromNode { echo: Some(probe), ..FromNode::default() })),
            None => Err(Refusal::invalid("message", "holds neither hello nor probe").into()),
        }
    }

    fn report(&mut self) -> Option<FromNode> {
        let draining = *self.serve.draining.borrow();
        let (_, meter) = self.reports.as_mut()?;
        Some(FromNode { report: Some(meter.report(&self.serve.totals, draining)), ..FromNode::default() })
    }
}

async fn due(reports: &mut Option<(tokio::time::Interval, Meter)>) {
    match reports {
        Some((ticks, _)) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_timeout_is_read_in_each_unit() {
        let of = |text: &str| {
            let mut request = Request::new(());
            request.metadata_mut().insert("grpc-timeout", text.parse().unwrap());
            timeout_of(&request)
        };
        assert_eq!(of("150m"), Some(Duration::from_millis(150)));
        assert_eq!(of("2S"), Some(Duration::from_secs(2)));
        assert_eq!(of("1n"), Some(Duration::from_nanos(1)));
        assert_eq!((of("1u"), of("1M")), (Some(Duration::from_micros(1)), Some(Duration::from_secs(60))));
        for text in ["", "m", "5", "-1S", "99999999999999999999H", "5x"] {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(timeout_of(&Request::new(())), None);
    }
}
