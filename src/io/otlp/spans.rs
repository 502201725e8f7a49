//! From a kept trace to its spans: one short tree a signal, never a span the length of a session.
//!
//! The root is the whole way; under it stand the stages, end to end, as their lengths are known and their gaps are
//! none. Attributes are OpenTelemetry's where it has a word, else ours under `signalbox.`. Carries no payload.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanLinks};

use crate::{
    event::{Outcome, Stage},
    telemetry::{case::Case, trace::KeptTrace},
};

/// The root and what is under it, in this order.
pub(super) fn of(kept: &KeptTrace, scope: &InstrumentationScope) -> Vec<SpanData> {
    let tree = Tree { trace: kept.trace.bits().into(), scope };
    let started = UNIX_EPOCH + kept.case.started;
    let root = tree.root(kept, started);
    let id = root.span_context.span_id();
    let mut spans = vec![root];
    tree.stages(&kept.case, (id, started), &mut spans);
    spans
}

/// What all spans of a trace share.
struct Tree<'a> {
    trace: TraceId,
    scope: &'a InstrumentationScope,
}

impl Tree<'_> {
    fn root(&self, kept: &KeptTrace, started: SystemTime) -> SpanData {
        let case = &kept.case;
        // a delivery asks for no answer and its recipient works on it later: it is produced, not served
        let (kind, way) = if case.delivery { (SpanKind::Producer, "deliver") } else { (SpanKind::Server, "signal") };
        let mut root = self.span(format!("{way} {}", case.op.name()), kind, (started, case.took));
        root.span_context = self.context(kept.span.bits().into());
        root.attributes = attributes(kept);
        if let Some(parent) = kept.parent {
            root.parent_span_id = parent.span.bits().into();
            root.parent_span_is_remote = true;
        }
        if let Some((trace, span)) = kept.session_link {
            let (trace, span) = (trace.bits().into(), span.bits().into());
            let session = SpanContext::new(trace, span, TraceFlags::default(), false, TraceState::NONE);
            root.links.links.push(Link::with_context(session));
        }
        root.status = match case.outcome {
            Outcome::Ok => Status::Unset,
            Outcome::Refused(code) => Status::error(code.name()),
            Outcome::Gone => Status::error(Outcome::Gone.name()),
        };
        root
    }

    /// Those with a stamp from the end of the one before; calls from the beginning of `handle`, which they are part of
    /// and during which they are not told apart.
    fn stages(&self, case: &Case, (root, started): (SpanId, SystemTime), spans: &mut Vec<SpanData>) {
        let is_call = |stage| matches!(stage, Stage::Media | Stage::Directory | Stage::Fabric);
        let calls: Vec<_> = case.stages.iter().copied().filter(|(stage, _)| is_call(*stage)).collect();
        let called: Duration = calls.iter().map(|(_, took)| *took).sum();
        let mut handle = (root, started);
        let mut since = started;
        for (stage, took) in case.stages.iter().copied().filter(|(stage, _)| !is_call(*stage)) {
            let took = if stage == Stage::Handle { took + called } else { took };
            let mut span = self.span(stage.name(), SpanKind::Internal, (since, took));
            span.parent_span_id = root;
            if stage == Stage::Handle {
                handle = (span.span_context.span_id(), since);
            }
            spans.push(span);
            since += took;
        }
        let (parent, mut since) = handle;
        for (stage, took) in calls {
            let mut span = self.span(stage.name(), SpanKind::Client, (since, took));
            span.parent_span_id = parent;
            spans.push(span);
            since += took;
        }
    }

    /// Under a new id, with nothing said yet.
    fn span(
        &self,
        name: impl Into<std::borrow::Cow<'static, str>>,
        span_kind: SpanKind,
        (start_time, took): (SystemTime, Duration),
    ) -> SpanData {
        SpanData {
            // never 0, which would be no span
            span_context: self.context(fastrand::u64(1..).into()),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind,
            name: name.into(),
            start_time,
            end_time: start_time + took,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn context(&self, span: SpanId) -> SpanContext {
        SpanContext::new(self.trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
    }
}

fn attributes(kept: &KeptTrace) -> Vec<KeyValue> {
    let case = &kept.case;
    let mut attributes = vec![
        KeyValue::new("signalbox.op", case.op.name()),
        KeyValue::new("signalbox.outcome", case.outcome.name()),
        KeyValue::new("signalbox.kept", kept.reason.name()),
        KeyValue::new("signalbox.region", case.region.clone()),
        KeyValue::new("signalbox.variant", case.variant.clone()),
    ];
    if !case.delivery {
        attributes.push(KeyValue::new("signalbox.inbox.waiting", i64::from(case.waiting)));
    }
    let texts = [
        ("signalbox.room.id", &case.room),
        ("session.id", &case.session),
        ("signalbox.sdk_version", &case.sdk_version),
        ("signalbox.scenario", &case.scenario),
    ];
    let texts = texts.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value.clone()?)));
    attributes.extend(texts);
    attributes.extend(case.peer_ip.map(|ip| KeyValue::new("client.address", ip.to_string())));
    attributes.extend(case.shard.map(|shard| KeyValue::new("signalbox.shard", i64::from(shard))));
    attributes.extend(transport(case.transport));
    if case.delivery {
        attributes.extend([
            KeyValue::new("messaging.system", "signalbox"),
            KeyValue::new("messaging.operation.name", "deliver"),
            KeyValue::new("messaging.operation.type", "send"),
        ]);
    }
    match case.outcome {
        Outcome::Ok => {}
        Outcome::Refused(code) => attributes.push(KeyValue::new("error.type", code.name())),
        Outcome::Gone => attributes.push(KeyValue::new("error.type", Outcome::Gone.name())),
    }
    attributes
}

/// How the client speaks, in OpenTelemetry's words.
fn transport(transport: &'static str) -> Vec<KeyValue> {
    match transport {
        "" => Vec::new(),
        "grpc" => vec![
            KeyValue::new("network.protocol.name", "http"),
            KeyValue::new("network.protocol.version", "2"),
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", "signalbox.v1.Signaling"),
            KeyValue::new("rpc.method", "Connect"),
        ],
        // over a link between routers, whose stream carries many clients
        "relay" => vec![
            KeyValue::new("network.protocol.name", "http"),
            KeyValue::new("network.protocol.version", "2"),
            KeyValue::new("rpc.system", "grpc"),
        ],
        other => vec![KeyValue::new("network.protocol.name", other)],
    }
}
