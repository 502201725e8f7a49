use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Channel, Server},
};

use super::*;
use crate::{
    media_node::{MediaNode, Settings},
    protocol::v1::{
        EndMediaRoomRequest, EndParticipantRequest, EndTrackRequest, FromNode, FromRouter, HealthRequest,
        MediaAnswerRequest, MediaCandidateRequest, MediaDone, MediaOfferReply, MediaOfferRequest, MediaReport,
        MuteMediaRequest, NodeHello, PutParticipantRequest, PutTrackRequest, SetPermissionsRequest,
        SubscribeMediaRequest,
        media_client::MediaClient,
        media_server::{Media, MediaServer},
    },
};

/// A node that is wrong.
#[derive(Clone)]
struct Wrong {
    /// A good one, to which it passes on what it does not leave out. Absent: it says yes to everything.
    behind: Option<MediaClient<Channel>>,
    leaves_out: &'static [&'static str],
}

type Messages = Pin<Box<dyn Stream<Item = Result<FromNode, Status>> + Send>>;

macro_rules! wrong {
    ($($name:ident($request:ty) -> $reply:ty;)*) => {
        #[tonic::async_trait]
        impl Media for Wrong {
            type WatchStream = Messages;

            async fn watch(&self, request: Request<Streaming<FromRouter>>) -> Result<Response<Messages>, Status> {
                let mut messages = request.into_inner();
                let Some(mut node) = self.behind.clone() else {
                    let hello = FromNode { hello: Some(NodeHello::default()), ..FromNode::default() };
                    let silence = stream::poll_fn(move |cx| messages.poll_next_unpin(cx).map(|_| None));
                    return Ok(Response::new(Box::pin(stream::iter([Ok(hello)]).chain(silence))));
                };
                let (say, said) = tokio::sync::mpsc::channel(8);
                tokio::spawn(async move {
                    while let Ok(Some(message)) = messages.message().await {
                        say.send(message).await.ok();
                    }
                });
                Ok(Response::new(Box::pin(node.watch(ReceiverStream::new(said)).await?.into_inner())))
            }

            $(
                async fn $name(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                    match self.behind.clone() {
                        Some(mut node) if !self.leaves_out.contains(&stringify!($name)) => {
                            node.$name(request.into_inner()).await
                        }
                        _ => Ok(Response::new(<$reply>::default())),
                    }
                }
            )*
        }
    };
}

wrong! {
    put_participant(PutParticipantRequest) -> MediaDone;
    end_participant(EndParticipantRequest) -> MediaDone;
    set_permissions(SetPermissionsRequest) -> MediaDone;
    put_track(PutTrackRequest) -> MediaDone;
    end_track(EndTrackRequest) -> MediaDone;
    mute_track(MuteMediaRequest) -> MediaDone;
    subscribe(SubscribeMediaRequest) -> MediaDone;
    answer(MediaAnswerRequest) -> MediaDone;
    candidate(MediaCandidateRequest) -> MediaDone;
    end_room(EndMediaRoomRequest) -> MediaDone;
    offer(MediaOfferRequest) -> MediaOfferReply;
    health(HealthRequest) -> MediaReport;
}

impl Wrong {
    async fn judged(self, options: &Options) -> Report {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Server::builder().add_service(MediaServer::new(self));
        let served = tokio::spawn(served.serve_with_incoming(TcpListenerStream::new(listener)));
        let report = check(Endpoint::from_shared(url).unwrap(), options).await.unwrap();
        served.abort();
        report
    }
}

/// A busy machine is no defect of the node.
fn patient() -> Options {
    let second = Duration::from_secs(1);
    Options { deadline: 10 * second, patience: 20 * second, ..Options::default() }
}

fn names(report: &Report, result: Kept) -> Vec<&'static str> {
    report.rules.iter().filter(|outcome| outcome.result == result).map(|outcome| outcome.rule).collect()
}

#[tokio::test]
async fn the_reference_node_keeps_every_rule() {
    let node = MediaNode::start(Settings::local("m1", "sh")).await.unwrap();
    let endpoint = Endpoint::from_shared(node.control_url().to_owned()).unwrap();
    let report = check(endpoint, &patient()).await.unwrap();
    assert!(report.passed, "{report:#?}");
    assert_eq!((report.node.as_str(), report.rules.len()), ("m1", RULES.len()));
    node.end().await;
}

#[tokio::test]
async fn a_node_that_leaves_something_out_fails_by_that_and_nothing_else() {
    let node = MediaNode::start(Settings::local("m1", "sh")).await.unwrap();
    let channel = Endpoint::from_shared(node.control_url().to_owned()).unwrap().connect().await.unwrap();
    let behind = Some(MediaClient::new(channel));
    let leaves_out = &["mute_track", "end_track", "subscribe"];
    let report = Wrong { behind, leaves_out }.judged(&patient()).await;
    assert_eq!(
        names(&report, Kept::Failed),
        ["unknown_participant", "mute", "unsubscribe", "end_track"],
        "{report:#?}"
    );
    let why = |rule| report.of(rule).unwrap().why.clone().unwrap();
    assert!(why("mute").contains("frames of a-cam came after it should have stopped"), "{}", why("mute"));
    assert!(why("unknown_participant").contains("Subscribe: expected NotFound, got OK"));
    assert!(!report.passed && names(&report, Kept::NotReached).is_empty());
    node.end().await;
}

#[tokio::test]
async fn a_node_that_says_yes_to_everything_is_found_out() {
    let hasty = Options { patience: Duration::from_millis(300), ..Options::default() };
    let report = Wrong { behind: None, leaves_out: &[] }.judged(&hasty).await;
    assert_eq!(names(&report, Kept::Failed), ["hello"], "{report:#?}");
    assert_eq!(report.of("hello").unwrap().why.as_deref(), Some("its hello has no id"));
    assert_eq!(names(&report, Kept::NotReached).len(), RULES.len() - 1);
}
