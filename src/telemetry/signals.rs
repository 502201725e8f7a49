//! The end of a signal, and of a push's way to a recipient: recorded always, looked at closer when it stands out.

use std::time::{Duration, Instant};

use super::{
    Telemetry,
    case::Case,
    clients::OTHER_CLIENT,
    recorder::{OTHER_REGION, Series, SignalSeries},
    slow::SlowSignal,
    tap::Ended,
    trace::{KeptTrace, Lost, Reasons, new_span, new_trace},
};
use crate::{
    event::{Delivery, Labels, Origin, Outcome, Signal, SpanId, SpanRef, Stage, TraceId, nanos},
    protocol::OpKind,
};

/// A signal or a delivery that stands out.
struct Standout<'a> {
    series: Series,
    /// What speaks for a trace of it.
    reasons: Reasons,
    /// Whether it is one of the slowest.
    slow: bool,
    parent: Option<SpanRef>,
    origin: &'a Origin<'a>,
    /// When it ended.
    at: Instant,
}

impl Telemetry {
    /// A signal begins with the last byte of its frame; absent when signals are not measured.
    pub fn begin(&self, op: OpKind, traceparent: &str, received: Instant) -> Option<Box<Signal>> {
        if !self.measures {
            return None;
        }
        let mut signal = Box::new(Signal::new(op, received));
        if !traceparent.is_empty() {
            match SpanRef::parse(traceparent) {
                Some(parent) => signal.parent = Some(Box::new(parent)),
                None => self.metrics.traceparents_invalid.increment(1),
            }
        }
        Some(signal)
    }

    /// What a push is measured from: a signal whose frame arrived then, and which was handled so long after.
    pub fn delivery(&self, op: OpKind, received: Instant, handled_after: Duration) -> Delivery {
        let handled_after_us = u32::try_from(handled_after.as_micros()).unwrap_or(u32::MAX);
        Delivery { op, received_ns: self.since_start(received), handled_after_us }
    }

    /// How long ago at that moment the signal's frame arrived that a push is measured from.
    pub(crate) fn age(&self, delivery: Delivery, at: Instant) -> Duration {
        Duration::from_nanos(self.since_start(at).saturating_sub(delivery.received_ns))
    }

    /// Whole seconds since the start, by the clock that does not step.
    fn second(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_secs()
    }

    fn since_start(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.started))
    }

    pub(super) fn signal_ended(&self, signal: &Signal, outcome: Outcome, origin: &Origin<'_>, at: Instant) {
        let took = signal.timeline.total();
        let opened = signal.opens.as_ref().filter(|_| origin.room.is_none());
        let labels = opened.map_or(origin.labels, |opens| opens.labels);
        let (sdk_version, scenario) =
            (self.sdk_versions.rank(labels.sdk_version), self.scenarios.rank(labels.scenario));
        let series = SignalSeries {
            op: signal.op as u8,
            region: labels.region.min(OTHER_REGION),
            outcome: outcome.place() as u8,
            sdk_version: sdk_version.unwrap_or(OTHER_CLIENT),
            scenario: scenario.unwrap_or(OTHER_CLIENT),
        };
        // a number that is no longer watched must not count for the value that has its place now
        let watched = |number: u32, rank: Option<u8>| if rank.is_some() { number } else { 0 };
        let clients = (watched(labels.sdk_version, sdk_version), watched(labels.scenario, scenario));
        self.recorder_of_latency.signal(series, signal, clients, labels.variant);
        let sampled = signal.parent.as_ref().is_some_and(|parent| parent.sampled);
        let reasons = self.keeper.reasons((signal.op, series.region), outcome, took, sampled);
        let slow = self.slow.wants(signal.op, false, took);
        let kept = if slow || !reasons.is_empty() {
            let (series, parent) = (Series::Signal(series), signal.parent.as_deref().copied());
            let standout = Standout { series, reasons, slow, parent, origin, at };
            self.look_closer(standout, || self.case_of(signal, outcome, origin, labels))
        } else {
            None
        };
        if self.taps.any() {
            let trace = kept.map(|(trace, _)| trace).or(signal.parent.as_ref().map(|parent| parent.trace));
            self.taps.keep(|| Ended { case: self.case_of(signal, outcome, origin, labels), trace });
        }
        if let Some(code) = outcome.code() {
            self.signal_refused(signal.op, code, origin, opened.map(|opens| &opens.room), kept);
        }
    }

    pub(super) fn delivered(&self, deliveries: &[Delivery], others: u32, origin: &Origin<'_>, at: Instant) {
        if !self.measures {
            return;
        }
        let region = origin.labels.region.min(OTHER_REGION);
        let at_ns = self.since_start(at);
        let (longest, mut ops) = self.recorder_of_latency.deliveries(deliveries, others, region, at_ns);
        // one of them may stand out: only then each is looked at
        if ops.any(|op| self.keeper.is_slow(op, true, longest) || self.slow.wants(op, true, longest)) {
            self.look_at_deliveries(deliveries, region, origin, at);
        }
    }

    /// Of pushes that went out together, many may be slow, for one cause: the longest of them becomes a trace.
    #[cold]
    fn look_at_deliveries(&self, deliveries: &[Delivery], region: u8, origin: &Origin<'_>, at: Instant) {
        let at_ns = self.since_start(at);
        let took = |delivery: &Delivery| Duration::from_nanos(at_ns.saturating_sub(delivery.received_ns));
        let slow = deliveries.iter().enumerate().filter(|(_, of)| self.keeper.is_slow(of.op, true, took(of)));
        let longest = slow.max_by_key(|(_, of)| took(of)).map(|(place, _)| place);
        for (place, delivery) in deliveries.iter().enumerate() {
            let reasons = if longest == Some(place) { Reasons::SLOW } else { Reasons::NONE };
            let slow = self.slow.wants(delivery.op, true, took(delivery));
            if slow || !reasons.is_empty() {
                let series = Series::Delivery { op: delivery.op as u8, region };
                let standout = Standout { series, reasons, slow, parent: None, origin, at };
                self.look_closer(standout, || self.case_of_delivery(delivery, took(delivery), origin));
            }
        }
    }

    /// Keeps what stands out as a trace, as a slow signal, or both; answers the trace and its root span. What it is
    /// made of is gathered once there is a place for it.
    #[cold]
    fn look_closer(&self, standout: Standout<'_>, case: impl FnOnce() -> Case) -> Option<(TraceId, SpanId)> {
        let Standout { series, reasons, slow, parent, origin, at } = standout;
        let delivery = matches!(series, Series::Delivery { .. });
        let admitted = self.keeper.admit(reasons, delivery).unwrap_or_else(|lost| {
            self.traces_lost(lost, 1);
            None
        });
        let Some(reason) = admitted else {
            if slow {
                self.slow.keep(SlowSignal { case: case(), trace: None }, self.second(at));
            }
            return None;
        };
        let case = case();
        let (trace, span) = (parent.map_or_else(new_trace, |parent| parent.trace), new_span());
        if slow {
            self.slow.keep(SlowSignal { case: case.clone(), trace: Some(trace) }, self.second(at));
        }
        let kept = KeptTrace { reason, trace, span, parent, session_link: origin.trace, case, series };
        self.metrics.traces_kept.at(reason as usize).increment(1);
        self.trace_kept(&kept, at);
        self.keeper.keep(kept);
        Some((trace, span))
    }

    fn case_of(&self, signal: &Signal, outcome: Outcome, origin: &Origin<'_>, labels: Labels) -> Case {
        let opens = signal.opens.as_ref().map(|opens| &opens.room);
        let about = self.about(origin, labels);
        Case {
            op: signal.op,
            outcome,
            started: self.unix(signal.timeline.received()),
            took: signal.timeline.total(),
            stages: signal.timeline.stages().collect(),
            room: origin.room.or(opens).map(|room| room.as_str().to_owned()),
            shard: signal.shard,
            waiting: signal.waiting,
            ..about
        }
    }

    fn case_of_delivery(&self, delivery: &Delivery, took: Duration, origin: &Origin<'_>) -> Case {
        let handled = Duration::from_micros(delivery.handled_after_us.into());
        let stages = vec![(Stage::Handle, handled), (Stage::Flush, took.saturating_sub(handled))];
        let about = self.about(origin, origin.labels);
        let started = self.unix(self.started) + Duration::from_nanos(delivery.received_ns);
        Case { op: delivery.op, delivery: true, started, took, stages, ..about }
    }

    /// What is known of the connection.
    fn about(&self, origin: &Origin<'_>, labels: Labels) -> Case {
        Case {
            op: OpKind::Unknown,
            delivery: false,
            outcome: Outcome::Ok,
            started: Duration::ZERO,
            took: Duration::ZERO,
            stages: Vec::new(),
            room: origin.room.map(|room| room.as_str().to_owned()),
            session: origin.session.map(|session| session.as_str().to_owned()),
            peer_ip: origin.peer_ip,
            transport: origin.transport,
            region: self.region(labels.region).to_owned(),
            variant: self.variant_name(labels.variant),
            sdk_version: self.sdk_versions.value(labels.sdk_version),
            scenario: self.scenarios.value(labels.scenario),
            shard: None,
            waiting: 0,
        }
    }

    /// Traces that will not reach the collector.
    pub fn traces_lost(&self, why: Lost, count: u64) {
        self.metrics.traces_lost.at(why as usize).increment(count);
    }

    /// Up to so many traces that wait for the exporter, oldest first.
    pub fn fetch_traces(&self, most: usize) -> Vec<KeptTrace> {
        self.keeper.fetch(most)
    }

    /// The collector took these: from the next drain on, which has their latencies, exemplars may point at them.
    pub fn traces_exported(&self, traces: &[KeptTrace]) {
        self.metrics.traces_exported.increment(traces.len() as u64);
        let mut drained = self.drained();
        for KeptTrace { trace, span, case, series, .. } in traces {
            let at_unix_ms = (case.started + case.took).as_millis() as u64;
            let exemplar = super::latency::Exemplar { trace: *trace, span: *span, latency: case.took, at_unix_ms };
            drained.exemplars.push((*series, exemplar));
        }
    }

    /// The slowest of the hour before that moment, by op, slowest first.
    pub fn slow_signals(&self, at: Instant) -> Vec<SlowSignal> {
        self.slow.list(self.second(at))
    }
}
