//! Media nodes as this router's side of the wire sees them: who is known, whose stream stands, how far away each is, what
//! became of calls.
//!
//! Figures of a node are there from when it becomes known until it is gone, so that no series outlives its node. So many
//! nodes are told apart; of the rest, `other` has the worst.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{debug, info, trace, warn};

use super::{
    Telemetry,
    catalog::{self, Metric, NODES_TOLD_MAX, OTHER},
    handles::{Grid, Row, counter, gauge},
    quiet::Quiet,
};
use crate::{
    event::{BreakerReason, BreakerState, Called, MediaFact, MediaOp, NodeRefusal, nanos},
    ids::NodeId,
};

/// Places in [`catalog::REGISTRATIONS`] before those of refusals.
const NEW: usize = 0;
const RENEWED: usize = 1;
const CHANGED: usize = 2;
const LEAVING: usize = 3;
const REFUSALS: usize = 4;

/// What is told of media nodes.
pub(super) struct MediaHandles {
    nodes: Gauge,
    registrations: Row,
    gone: Row,
    streams_lost: Counter,
    calls: Grid,
    /// By call.
    call_ns: [AtomicU64; MediaOp::ALL.len()],
    breaker_changes: Grid,
    pushes_dropped: Counter,
    known: Mutex<BTreeMap<NodeId, Figures>>,
    refusals: [Quiet; NodeRefusal::ALL.len()],
    pushes: Quiet,
}

/// A node that is known.
#[derive(Debug, Default)]
struct Figures {
    up: bool,
    rtt: Option<Duration>,
    skew_seconds: Option<f64>,
    breaker: Option<BreakerState>,
    /// Lines about its stream, made and lost, and about its breaker, by state: a node that flaps would repeat each of them.
    made: Quiet,
    lost: Quiet,
    breaking: [Quiet; BreakerState::ALL.len()],
}

impl MediaHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            nodes: gauge(recorder, &catalog::MEDIA_NODES, &[]),
            registrations: Row::new(recorder, &catalog::MEDIA_REGISTRATIONS),
            gone: Row::new(recorder, &catalog::MEDIA_NODES_GONE),
            streams_lost: counter(recorder, &catalog::MEDIA_STREAMS_LOST, &[]),
            calls: Grid::new(recorder, &catalog::MEDIA_CALLS),
            call_ns: Default::default(),
            breaker_changes: Grid::new(recorder, &catalog::MEDIA_BREAKER_CHANGES),
            pushes_dropped: counter(recorder, &catalog::MEDIA_PUSHES_DROPPED, &[]),
            known: Mutex::default(),
            refusals: Default::default(),
            pushes: Quiet::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<NodeId, Figures>> {
        // no code that can panic runs under this lock
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    pub(super) fn media(&self, fact: &MediaFact, at: Instant) {
        let media = &self.metrics.media;
        match fact {
            MediaFact::Known { node, region, variant, control_url, by } => {
                media.known().insert(node.clone(), Figures::default());
                self.count_nodes();
                if *by == "registration" {
                    media.registrations.at(NEW).increment(1);
                }
                info!(target: "signalbox", %node, region, variant, control_url, by, "media node known");
            }
            MediaFact::Renewed { node } => {
                media.registrations.at(RENEWED).increment(1);
                trace!(target: "signalbox", %node, "media node registered again");
            }
            MediaFact::Changed { node } => {
                media.registrations.at(CHANGED).increment(1);
                info!(target: "signalbox", %node, "media node changed");
            }
            MediaFact::Leaving { node } => {
                media.registrations.at(LEAVING).increment(1);
                info!(target: "signalbox", %node, "media node is about to go");
            }
            MediaFact::Gone { node, why } => {
                media.known().remove(node);
                self.count_nodes();
                media.gone.of(why).increment(1);
                info!(target: "signalbox", %node, why, "media node gone");
            }
            MediaFact::Refused { node, reason, why } => self.node_refused(node.as_ref(), *reason, why, at),
            MediaFact::StreamUp { node, version } => self.stream_up(node, version, at),
            MediaFact::StreamDown { node, why } => self.stream_down(node, why, at),
            MediaFact::Measured { node, rtt } => {
                if let Some(figures) = media.known().get_mut(node) {
                    figures.rtt = Some(*rtt);
                }
                trace!(target: "signalbox", %node, rtt_us = rtt.as_micros() as u64, "media node measured");
            }
            MediaFact::Skewed { node, seconds } => {
                if let Some(figures) = media.known().get_mut(node) {
                    figures.skew_seconds = Some(*seconds);
                }
                trace!(target: "signalbox", %node, seconds, "media node's clock");
            }
            MediaFact::CallEnded { node, op, outcome, took } => self.call_ended(node, *op, *outcome, *took),
            MediaFact::BreakerChanged { node, from: _, to, reason, open_for } => {
                self.breaker_changed(node, (*to, *reason, *open_for), at);
            }
            MediaFact::PushDropped { node, why } => {
                media.pushes_dropped.increment(1);
                if let Some(held_back) = self.admit(&media.pushes, at) {
                    warn!(target: "signalbox", %node, why, held_back, "media node's push dropped");
                }
            }
        }
    }

    fn count_nodes(&self) {
        let media = &self.metrics.media;
        media.nodes.set(media.known().len() as f64);
    }

    fn node_refused(&self, node: Option<&NodeId>, reason: NodeRefusal, why: &str, at: Instant) {
        let media = &self.metrics.media;
        media.registrations.at(REFUSALS + reason as usize).increment(1);
        // what answers there is not the node, or speaks something else; whoever registered falsely changes nothing of it
        if matches!(reason, NodeRefusal::Stranger | NodeRefusal::Garbage)
            && let Some(node) = node
            && let Some(figures) = media.known().get_mut(node)
        {
            figures.up = false;
        }
        if let Some(held_back) = self.admit(&media.refusals[reason as usize], at) {
            let (node, reason) = (node.map(NodeId::as_str), reason.name());
            warn!(target: "signalbox", node, reason, why, held_back, "media node refused");
        }
    }

    fn stream_up(&self, node: &NodeId, version: &str, at: Instant) {
        let admitted = self.metrics.media.known().get_mut(node).map(|figures| {
            figures.up = true;
            self.admit(&figures.made, at)
        });
        match admitted {
            Some(Some(held_back)) => info!(target: "signalbox", %node, version, held_back, "media node connected"),
            Some(None) | None => debug!(target: "signalbox", %node, version, "media node connected"),
        }
    }

    /// A stream that was lost is a line; that it cannot be made again is the same fact.
    fn stream_down(&self, node: &NodeId, why: &str, at: Instant) {
        let media = &self.metrics.media;
        media.streams_lost.increment(1);
        let admitted = media.known().get_mut(node).and_then(|figures| {
            let was_up = std::mem::take(&mut figures.up);
            was_up.then(|| self.admit(&figures.lost, at)).flatten()
        });
        match admitted {
            Some(held_back) => warn!(target: "signalbox", %node, why, held_back, "media node's stream lost"),
            None => debug!(target: "signalbox", %node, why, "media node's stream lost"),
        }
    }

    fn call_ended(&self, node: &NodeId, op: MediaOp, outcome: Called, took: Duration) {
        let media = &self.metrics.media;
        media.calls.at(op as usize, outcome as usize).increment(1);
        media.call_ns[op as usize].fetch_add(nanos(took), Relaxed);
        let (call, took_ms) = (op.name(), took.as_secs_f64() * 1e3);
        match outcome {
            Called::Done => trace!(target: "signalbox", %node, call, took_ms, "media call ended"),
            _ => debug!(target: "signalbox", %node, call, outcome = outcome.name(), took_ms, "media call ended"),
        }
    }

    fn breaker_changed(
        &self,
        node: &NodeId,
        (to, reason, open_for): (BreakerState, BreakerReason, Duration),
        at: Instant,
    ) {
        let media = &self.metrics.media;
        media.breaker_changes.at(to as usize, reason as usize).increment(1);
        let admitted = media.known().get_mut(node).and_then(|figures| {
            figures.breaker = Some(to);
            self.admit(&figures.breaking[to as usize], at)
        });
        let (to, reason, open_ms) = (to.name(), reason.name(), open_for.as_millis() as u64);
        match admitted {
            Some(held_back) => {
                warn!(target: "signalbox", %node, to, reason, open_ms, held_back, "media node's breaker changed");
            }
            None => debug!(target: "signalbox", %node, to, reason, open_ms, "media node's breaker changed"),
        }
    }

    /// What repeated lines about nodes held back.
    pub(super) fn settle_media(&self, told: impl Fn(&Quiet, &str, &str)) {
        let media = &self.metrics.media;
        for (quiet, reason) in media.refusals.iter().zip(NodeRefusal::ALL) {
            told(quiet, "media node refused", reason.name());
        }
        told(&media.pushes, "media node's push dropped", "");
        for (node, figures) in media.known().iter() {
            told(&figures.made, "media node connected", node.as_str());
            told(&figures.lost, "media node's stream lost", node.as_str());
            figures.breaking.iter().for_each(|quiet| told(quiet, "media node's breaker changed", node.as_str()));
        }
    }

    /// Seconds that calls took, by call.
    pub(super) fn media_call_seconds(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let taken = MediaOp::ALL.iter().zip(&self.metrics.media.call_ns);
        taken.map(|(op, ns)| (op.name(), ns.load(Relaxed) as f64 / 1e9))
    }

    /// The gauges of nodes: metric, node, value. Those past the bound are one, which has the worst of each.
    pub(super) fn media_gauges(&self) -> Vec<(&'static Metric, String, f64)> {
        let known = self.metrics.media.known();
        let (mut told, mut rest) = (Vec::new(), [None; GAUGES.len()]);
        for (place, (node, figures)) in known.iter().enumerate() {
            for (at, (metric, value, worse)) in GAUGES.iter().enumerate() {
                let Some(value) = value(figures) else { continue };
                if place < NODES_TOLD_MAX {
                    told.push((*metric, node.to_string(), value));
                } else if rest[at].is_none_or(|before| worse(value, before)) {
                    rest[at] = Some(value);
                }
            }
        }
        let rest =
            GAUGES.iter().zip(rest).filter_map(|((metric, ..), value)| Some((*metric, OTHER.to_owned(), value?)));
        told.extend(rest);
        told
    }
}

/// A gauge of nodes: what it says of one, and whether a value is worse than another.
type OfNode = (&'static Metric, fn(&Figures) -> Option<f64>, fn(f64, f64) -> bool);

const GAUGES: [OfNode; 4] = [
    (&catalog::MEDIA_NODE_UP, |f| Some(if f.up { 1.0 } else { 0.0 }), |new, before| new < before),
    (&catalog::MEDIA_RTT, |f| f.rtt.map(|rtt| rtt.as_secs_f64()), |new, before| new > before),
    (&catalog::MEDIA_CLOCK_SKEW, |f| f.skew_seconds, |new, before| new.abs() > before.abs()),
    (
        &catalog::MEDIA_BREAKER_STATE,
        |f| Some(f.breaker.unwrap_or(BreakerState::Closed) as usize as f64),
        // open is worse than half open, which is worse than closed: their order is another
        |new, before| severity(new) > severity(before),
    ),
];

fn severity(state: f64) -> u8 {
    match BreakerState::ALL.get(state as usize) {
        Some(BreakerState::Open) => 2,
        Some(BreakerState::HalfOpen) => 1,
        Some(BreakerState::Closed) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::telemetry;
    use super::*;

    fn known(telemetry: &Telemetry, node: &str) {
        let fact = MediaFact::Known {
            node: node.into(),
            region: "sh".into(),
            variant: "default".into(),
            control_url: "http://n:1".into(),
            by: "registration",
        };
        telemetry.media(&fact, telemetry.started);
    }

    fn gauges(telemetry: &Telemetry, of: &Metric) -> Vec<(String, f64)> {
        let all = telemetry.media_gauges().into_iter();
        all.filter(|(metric, ..)| metric.name == of.name).map(|(_, node, value)| (node, value)).collect()
    }

    #[test]
    fn a_nodes_figures_go_with_it_and_nobody_elses_are_made() {
        let telemetry = telemetry(Instant::now());
        known(&telemetry, "a");
        let measured = |node: &str| MediaFact::Measured { node: node.into(), rtt: Duration::from_millis(3) };
        telemetry.media(&measured("a"), telemetry.started);
        telemetry.media(&measured("stranger"), telemetry.started);
        assert_eq!(gauges(&telemetry, &catalog::MEDIA_RTT), [("a".to_owned(), 0.003)]);
        assert_eq!(gauges(&telemetry, &catalog::MEDIA_CLOCK_SKEW), [], "nothing was reported yet");
        telemetry.media(&MediaFact::Gone { node: "a".into(), why: "silent" }, telemetry.started);
        assert_eq!(telemetry.media_gauges(), []);
    }

    #[test]
    fn past_the_bound_the_worst_of_the_rest_is_told_as_other() {
        let telemetry = telemetry(Instant::now());
        let skewed = |n: usize, seconds| MediaFact::Skewed { node: format!("n{n:04}").into(), seconds };
        for n in 0..NODES_TOLD_MAX + 3 {
            known(&telemetry, &format!("n{n:04}"));
            telemetry.media(
                &MediaFact::StreamUp { node: format!("n{n:04}").into(), version: "1".into() },
                telemetry.started,
            );
        }
        for (beyond, seconds) in [(0, 0.5), (1, -7.0), (2, 1.0)] {
            telemetry.media(&skewed(NODES_TOLD_MAX + beyond, seconds), telemetry.started);
        }
        let up = gauges(&telemetry, &catalog::MEDIA_NODE_UP);
        assert_eq!((up.len(), up.last()), (NODES_TOLD_MAX + 1, Some(&("other".to_owned(), 1.0))));
        let down = MediaFact::StreamDown { node: format!("n{:04}", NODES_TOLD_MAX + 1).into(), why: "lost".into() };
        telemetry.media(&down, telemetry.started);
        assert_eq!(gauges(&telemetry, &catalog::MEDIA_NODE_UP).last(), Some(&("other".to_owned(), 0.0)));
        assert_eq!(gauges(&telemetry, &catalog::MEDIA_CLOCK_SKEW), [("other".to_owned(), -7.0)]);
        let open = MediaFact::BreakerChanged {
            node: format!("n{:04}", NODES_TOLD_MAX + 2).into(),
            from: BreakerState::Closed,
            to: BreakerState::Open,
            reason: BreakerReason::Failures,
            open_for: Duration::from_secs(1),
        };
        telemetry.media(&open, telemetry.started);
        let state = gauges(&telemetry, &catalog::MEDIA_BREAKER_STATE);
        assert_eq!(state.last(), Some(&("other".to_owned(), BreakerState::Open as usize as f64)));
    }

    #[test]
    fn a_stream_that_cannot_be_made_again_is_one_line() {
        let telemetry = telemetry(Instant::now());
        let down = MediaFact::StreamDown { node: "a".into(), why: "refused".into() };
        let lines = super::super::logs::capture("info", || {
            known(&telemetry, "a");
            let up = MediaFact::StreamUp { node: "a".into(), version: "1".into() };
            telemetry.media(&up, telemetry.started);
            (0..50).for_each(|n| telemetry.media(&down, telemetry.started + Duration::from_secs(n)));
        });
        let said: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
        assert_eq!(said, ["media node known", "media node connected", "media node's stream lost"]);
    }
}
