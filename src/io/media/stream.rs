//! The stream to one node: made, kept, and made again when it is lost.
//!
//! The first word of each side is who it is. What answers at a node's address and is another node gets no traffic.
//! Probes measure the round trip; reports and pushes are handed on as they came, for the core to judge.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Shared, calling, line::Line, push, wanted::WORD_BYTES_MAX};
use crate::{
    event::{MediaFact, NodeRefusal},
    io::{
        clock,
        dialing::{Dial, connect},
        workers,
    },
    placement::{NodeFact, NodeLoad},
    protocol::{
        PROTOCOL_VERSION,
        v1::{self, media_client::MediaClient},
    },
};

/// Probes without an echo after which the stream counts as lost.
const UNANSWERED_MAX: usize = 3;
/// Between two attempts: this at first, then twice as long each time.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// And no longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A stream that stood for less counts as one more failed attempt, so that a node that flaps is not connected to in a rush.
const STOOD: Duration = Duration::from_secs(10);
/// Reports that come in less than a fourth of their time are passed over.
const REPORTS_EARLY: u32 = 4;

/// Why a stream is over.
enum Over {
    /// Another attempt may do.
    Lost(String),
    /// Something else than the node answers.
    Refused(NodeRefusal, String),
}

/// Keeps the stream until the node's line ends.
pub(super) async fn keep(shared: Arc<Shared>, line: Arc<Line>) {
    let mut pause = PAUSE_FIRST;
    loop {
        let begun = Instant::now();
        let over = tokio::select! {
            over = stand(&shared, &line) => over,
            () = line.ends.cancelled() => break,
            () = line.moved.notified() => {
                line.hang_up();
                pause = PAUSE_FIRST;
                continue;
            }
        };
        line.hang_up();
        tell(&shared, &line, over).await;
        if begun.elapsed() >= STOOD {
            pause = PAUSE_FIRST;
        }
        // spread, so that a node that comes back is not met by all routers at once
        let spread = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        tokio::select! {
            () = tokio::time::sleep(spread) => {}
            () = line.ends.cancelled() => break,
            () = line.moved.notified() => pause = PAUSE_FIRST,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    line.hang_up();
}

async fn tell(shared: &Shared, line: &Line, over: Over) {
    let node = line.id.clone();
    match over {
        Over::Lost(why) => {
            shared.observe(MediaFact::StreamDown { node: node.clone(), why });
            if line.is_leaving() {
                return shared.forget(&node, "left");
            }
            line.failed();
            shared.tell(NodeFact::Failed { node }).await;
        }
        Over::Refused(reason, why) => {
            shared.observe(MediaFact::Refused { node: Some(node.clone()), reason, why });
            if line.part() {
                shared.tell(NodeFact::Gone { node }).await;
            }
        }
    }
}

/// One connection, from its making to its end.
async fn stand(shared: &Arc<Shared>, line: &Arc<Line>) -> Over {
    match greet(shared, line).await {
        Ok((speaking, hearing)) => listen(shared, line, speaking, hearing).await,
        Err(over) => over,
    }
}

type Stood = (mpsc::Sender<v1::FromRouter>, Streaming<v1::FromNode>);

/// Connects, says hello and hears who answers.
async fn greet(shared: &Shared, line: &Line) -> Result<Stood, Over> {
    let settings = shared.settings.load_full();
    let dial =
        Dial { tls: settings.tls.as_ref(), tls_key: "media.node_tls.ca_file", patience: settings.connect_timeout };
    let channel = connect(&line.url(), &dial).await.map_err(|unmade| Over::Lost(unmade.why))?;
    // room for the hello and for the probes that may be unanswered
    let (speaking, spoken) = mpsc::channel(1 + UNANSWERED_MAX);
    let hello = v1::RouterHello {
        router: settings.router.clone(),
        region: settings.region.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        report_ms: settings.report.as_millis() as u64,
    };
    let hello = v1::FromRouter { hello: Some(hello), probe: None };
    speaking.try_send(hello).map_err(|_| Over::Lost("the stream cannot be written".to_owned()))?;
    let mut node = MediaClient::new(channel.clone()).max_decoding_message_size(settings.message_bytes);
    let first = async {
        let mut hearing = node.watch(ReceiverStream::new(spoken)).await?.into_inner();
        let first = hearing.message().await?;
        Ok::<_, Status>((hearing, first))
    };
    let patience = settings.connect_timeout;
    let (hearing, first) = tokio::time::timeout(patience, first)
        .await
        .map_err(|_| Over::Lost(format!("no hello within {patience:?}")))?
        .map_err(|status| ended(&status))?;
    let hello = first
        .and_then(|first| first.hello)
        .ok_or_else(|| Over::Refused(NodeRefusal::Garbage, "its first message is not a hello".to_owned()))?;
    if hello.id != line.id.as_str() {
        return Err(Over::Refused(
            NodeRefusal::Stranger,
            "what answers at its address says that it is another node".to_owned(),
        ));
    }
    // before the shards are told: they may call it at once
    line.connected(channel);
    let version = cut(&hello.version);
    shared.observe(MediaFact::StreamUp { node: line.id.clone(), version });
    let greeting = line.greet(&cut(&hello.incarnation));
    if greeting.anew {
        shared.tell(NodeFact::Gone { node: line.id.clone() }).await;
    }
    if let Some(info) = greeting.known {
        shared.tell(NodeFact::Known(info)).await;
    }
    Ok((speaking, hearing))
}

/// So much of a word as a line can hold.
fn cut(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(WORD_BYTES_MAX).collect()
}

/// In our words: nothing that the node wrote.
fn ended(status: &Status) -> Over {
    match status.code() {
        tonic::Code::Unimplemented => {
            Over::Refused(NodeRefusal::Garbage, "it does not serve signalbox.v1.Media".to_owned())
        }
        code => Over::Lost(format!("the stream ended ({code:?})")),
    }
}

/// Probes that wait for their echo.
#[derive(Default)]
struct Probes {
    sent: u64,
    unanswered: VecDeque<(u64, Instant)>,
}

impl Probes {
    /// The next one; none: too many were not answered.
    fn next(&mut self, now: Instant) -> Option<v1::Probe> {
        if self.unanswered.len() >= UNANSWERED_MAX {
            return None;
        }
        self.sent += 1;
        self.unanswered.push_back((self.sent, now));
        Some(v1::Probe { number: self.sent })
    }

    /// How long that one took; none: it was not asked, or was answered already. Those before it are not waited for any more.
    fn echoed(&mut self, number: u64, now: Instant) -> Option<Duration> {
        let at = self.unanswered.iter().position(|(sent, _)| *sent == number)?;
        let (_, sent) = self.unanswered.drain(..=at).next_back()?;
        Some(now.saturating_duration_since(sent))
    }
}

/// What was heard on one stream.
struct Heard {
    probes: Probes,
    rtt: Duration,
    reported: Option<Instant>,
}

/// Until the stream is over.
async fn listen(
    shared: &Arc<Shared>,
    line: &Arc<Line>,
    speaking: mpsc::Sender<v1::FromRouter>,
    mut hearing: Streaming<v1::FromNode>,
) -> Over {
    let mut heard = Heard { probes: Probes::default(), rtt: Duration::ZERO, reported: None };
    let every = shared.settings.load().probe;
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let Some(probe) = heard.probes.next(Instant::now()) else {
                    return Over::Lost(format!("{UNANSWERED_MAX} probes were not answered"));
                };
                let probe = v1::FromRouter { hello: None, probe: Some(probe) };
                if speaking.try_send(probe).is_err() {
                    return Over::Lost("the stream takes nothing more".to_owned());
                }
                // beside the stream, whose echoes it must not hold up
                shared.tasks.spawn(calling::probe(shared.clone(), line.clone(), every));
            }
            message = hearing.message() => match message {
                Ok(Some(message)) => {
                    workers::step();
                    if let Err(over) = hear(shared, line, &mut heard, message).await {
                        return over;
                    }
                }
                Ok(None) => return Over::Lost("the node ended the stream".to_owned()),
                Err(status) => return ended(&status),
            },
        }
    }
}

async fn hear(shared: &Shared, line: &Line, heard: &mut Heard, message: v1::FromNode) -> Result<(), Over> {
    match message {
        v1::FromNode { echo: Some(echo), hello: None, report: None, push: None } => {
            // an echo of nothing tells nothing
            if let Some(rtt) = heard.probes.echoed(echo.number, Instant::now()) {
                heard.rtt = rtt;
                shared.observe(MediaFact::Measured { node: line.id.clone(), rtt });
                shared.tell(NodeFact::RoundTrip { node: line.id.clone(), rtt }).await;
            }
        }
        v1::FromNode { report: Some(report), hello: None, echo: None, push: None } => {
            hear_report(shared, line, heard, &report).await;
        }
        v1::FromNode { push: Some(push), hello: None, echo: None, report: None } => {
            push::hand_on(shared, line, push).await;
        }
        _ => {
            let why = "a message of its stream is not exactly one of echo, report and push".to_owned();
            return Err(Over::Refused(NodeRefusal::Garbage, why));
        }
    }
    Ok(())
}

/// Hands a report on as it came: the core judges its numbers.
async fn hear_report(shared: &Shared, line: &Line, heard: &mut Heard, report: &v1::MediaReport) {
    let now = Instant::now();
    let early = shared.settings.load().report / REPORTS_EARLY;
    if heard.reported.is_some_and(|before| now.saturating_duration_since(before) < early) {
        return;
    }
    heard.reported = Some(now);
    let load = NodeLoad {
        cpu_percent: report.cpu_percent,
        memory_percent: report.memory_percent,
        loss: report.loss,
        draining: report.draining,
    };
    let here_ms = clock::unix_ms() as f64 - heard.rtt.as_secs_f64() * 500.0;
    let seconds = (report.sent_at_ms as f64 - here_ms) / 1_000.0;
    shared.observe(MediaFact::Skewed { node: line.id.clone(), seconds });
    shared.tell(NodeFact::Reported { node: line.id.clone(), load: line.reported(load) }).await;
    if line.is_leaving() && report.rooms == 0 {
        shared.forget(&line.id, "left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_answers_its_probe_once_and_those_before_it() {
        let (mut probes, now) = (Probes::default(), Instant::now());
        let later = |ms| now + Duration::from_millis(ms);
        for expected in 1..=3 {
            assert_eq!(probes.next(later(expected)).map(|probe| probe.number), Some(expected));
        }
        assert_eq!(probes.next(now), None, "three are not answered");
        assert_eq!(probes.echoed(9, later(9)), None, "never asked");
        assert_eq!(probes.echoed(2, later(7)), Some(Duration::from_millis(5)));
        assert_eq!((probes.echoed(2, later(8)), probes.echoed(1, later(8))), (None, None));
        assert_eq!(probes.echoed(3, now), Some(Duration::ZERO), "a clock never runs backwards");
        assert!(probes.next(now).is_some() && probes.unanswered.len() == 1);
    }

    #[test]
    fn what_a_node_calls_its_version_fits_into_a_line() {
        assert_eq!(cut("sfu/1.2\n\u{1b}[31m"), "sfu/1.2[31m");
        assert_eq!(cut(&"x".repeat(1_000)).len(), WORD_BYTES_MAX);
    }
}
