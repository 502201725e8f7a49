//! What arrives: which traces, and what their spans say.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};

use super::*;
use crate::{
    event::{Labels, SpanId, TraceId},
    ids::{RoomId, SessionId},
    protocol::v1,
};

const CLIENTS_TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;

fn parent(trace: u128, sampled: bool) -> Option<Box<SpanRef>> {
    let (trace, span) = (TraceId::new(trace).unwrap(), SpanId::new(0x00f0_67aa_0ba9_02b7).unwrap());
    Some(Box::new(SpanRef { trace, span, sampled }))
}

fn took(span: &Span) -> Duration {
    Duration::from_nanos(span.end_time_unix_nano - span.start_time_unix_nano)
}

fn trace_id(span: &Span) -> TraceId {
    TraceId::new(u128::from_be_bytes(span.trace_id.clone().try_into().unwrap())).unwrap()
}

/// The root of the only trace, and the spans right under it.
fn only_tree(sink: &Sink) -> (Span, Vec<Span>) {
    let [root] = &sink.roots()[..] else { panic!("{:?}", sink.roots()) };
    let children = sink.spans().into_iter().filter(|span| span.parent_span_id == root.span_id).collect();
    (root.clone(), children)
}

#[test]
fn of_a_thousand_signals_the_ten_slow_and_the_sampled_ones_arrive_and_exemplars_point_at_them() {
    let sink = Sink::start();
    let telemetry = telemetry(1024);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    let (mut slow, mut sampled) = (0, BTreeSet::new());
    for i in 0..1_000_u32 {
        let is_slow = i % 100 == 37;
        let mut signal = signal(if is_slow { (100 + i / 10) * MS } else { (1 + i % 40) * MS });
        if i % 150 == 0 {
            let trace = CLIENTS_TRACE + u128::from(i);
            signal.parent = parent(trace, true);
            sampled.insert(TraceId::new(trace).unwrap());
        } else if i % 150 == 1 {
            signal.parent = parent(CLIENTS_TRACE + u128::from(i), false);
        }
        slow += usize::from(is_slow);
        observe(&telemetry, signal, Outcome::Ok, &Origin::default());
    }
    finish(&exporter);
    let roots = sink.roots();
    let of = |reason: &str| -> Vec<&Span> {
        roots.iter().filter(|span| attribute(&span.attributes, "signalbox.kept").unwrap() == reason).collect()
    };
    assert_eq!((slow, sampled.len()), (10, 7));
    assert_eq!((of("slow").len(), of("sampled").len(), roots.len()), (10, 7, 17));
    assert!(
        of("slow").iter().all(|span| took(span) >= 100 * MS) && of("sampled").iter().all(|span| took(span) < 80 * MS)
    );
    assert_eq!(of("sampled").iter().map(|span| trace_id(span)).collect::<BTreeSet<_>>(), sampled);
    assert_eq!(counted(&telemetry, "signalbox_traces_exported_total"), 17);
    telemetry.drain(Instant::now(), Duration::from_secs(1_800_000_001));
    let arrived: BTreeSet<_> = roots.iter().map(trace_id).collect();
    let exemplars = telemetry.exemplar_traces();
    // 100, 137 … 190 ms fall into three buckets and more, the sampled ones into others
    assert!(exemplars.len() >= 6 && exemplars.iter().all(|trace| arrived.contains(trace)), "{exemplars:?} {arrived:?}");
}

#[test]
fn a_signals_spans_are_one_short_tree_of_its_stages() {
    let sink = Sink::start();
    let telemetry = telemetry(16);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    let mut signal = signal(150 * MS);
    signal.timeline.call(Stage::Media, 10 * MS);
    signal.timeline.call(Stage::Directory, 5 * MS);
    signal.parent = parent(CLIENTS_TRACE, true);
    (signal.waiting, signal.shard) = (3, Some(1));
    let (room, session) = (RoomId::from("r1"), SessionId::from("s1"));
    let client = v1::Join {
        client: Some(v1::ClientInfo { sdk: "web".to_owned(), version: "6.12.0".to_owned(), ..Default::default() }),
        scenario: "video_call".to_owned(),
        ..Default::default()
    };
    let link = (TraceId::new(7).unwrap(), SpanId::new(8).unwrap());
    let origin = Origin {
        peer_ip: Some([203, 0, 113, 9].into()),
        transport: "websocket",
        trace: Some(link),
        room: Some(&room),
        session: Some(&session),
        labels: telemetry.labels(&client),
    };
    observe(&telemetry, signal, Outcome::Ok, &origin);
    finish(&exporter);
    let (root, children) = only_tree(&sink);
    assert_eq!((root.name.as_str(), root.kind()), ("signal send", SpanKind::Server));
    assert_eq!(trace_id(&root).bits(), CLIENTS_TRACE);
    assert_eq!(root.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    // sampled; what is above is known to be somewhere else
    assert_eq!(root.flags & 0x3ff, 0x301);
    assert_eq!(
        (root.links[0].trace_id.clone(), root.links[0].span_id.clone()),
        (7_u128.to_be_bytes().to_vec(), 8_u64.to_be_bytes().to_vec())
    );
    assert!(root.status.clone().is_none_or(|status| status.code() == StatusCode::Unset));
    for (name, value) in [
        ("signalbox.op", "send"),
        ("signalbox.outcome", "ok"),
        ("signalbox.kept", "slow"),
        ("signalbox.room.id", "r1"),
        ("signalbox.region", "sh"),
        ("signalbox.sdk_version", "web/6.12.0"),
        ("signalbox.scenario", "video_call"),
        ("signalbox.shard", "1"),
        ("signalbox.inbox.waiting", "3"),
        ("session.id", "s1"),
        ("client.address", "203.0.113.9"),
        ("network.protocol.name", "websocket"),
    ] {
        assert_eq!(attribute(&root.attributes, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(attribute(&root.attributes, "error.type"), None);
    assert_stages_lie_end_to_end(&root, &children, &sink);
}

fn assert_stages_lie_end_to_end(root: &Span, children: &[Span], sink: &Sink) {
    let names: Vec<_> = children.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["decode", "admit", "handle", "reply", "flush"]);
    let mut since = root.start_time_unix_nano;
    for span in children {
        assert_eq!((span.kind(), span.start_time_unix_nano), (SpanKind::Internal, since), "{}", span.name);
        assert_eq!(span.trace_id, root.trace_id);
        assert_eq!(took(span), 30 * MS, "{}", span.name);
        since = span.end_time_unix_nano;
    }
    assert_eq!(since, root.end_time_unix_nano);
    let handle = &children[2];
    let spans = sink.spans();
    let calls: Vec<_> = spans.iter().filter(|span| span.parent_span_id == handle.span_id).collect();
    let called: Vec<_> = calls.iter().map(|span| (span.name.as_str(), span.kind(), took(span))).collect();
    assert_eq!(called, [("media", SpanKind::Client, 10 * MS), ("directory", SpanKind::Client, 5 * MS)]);
    assert!(calls.iter().all(|call| call.start_time_unix_nano >= handle.start_time_unix_nano));
    assert!(calls.iter().all(|call| call.end_time_unix_nano <= handle.end_time_unix_nano));
    assert_eq!(spans.len(), 1 + children.len() + calls.len());
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn a_refused_signal_and_one_whose_client_went_are_errors_that_name_the_code() {
    let sink = Sink::start();
    let telemetry = telemetry(16);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    let origin = Origin { transport: "grpc", ..Origin::default() };
    observe(&telemetry, signal(MS), Outcome::Refused(Code::Overloaded), &origin);
    observe(&telemetry, signal(2 * MS), Outcome::Gone, &origin);
    finish(&exporter);
    let roots = sink.roots();
    for (root, (outcome, error)) in roots.iter().zip([("shed", "overloaded"), ("gone", "gone")]) {
        let status = root.status.clone().unwrap();
        assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, error));
        assert_eq!(attribute(&root.attributes, "error.type").as_deref(), Some(error));
        assert_eq!(attribute(&root.attributes, "signalbox.outcome").as_deref(), Some(outcome));
        assert_eq!(attribute(&root.attributes, "signalbox.kept").as_deref(), Some("error"));
        assert_eq!(attribute(&root.attributes, "rpc.system").as_deref(), Some("grpc"));
        assert!(root.parent_span_id.is_empty() && root.links.is_empty());
    }
    assert_eq!(roots.len(), 2);
}

#[test]
fn a_signal_that_came_over_a_link_is_of_no_call_of_its_own() {
    let sink = Sink::start();
    let telemetry = telemetry(16);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    let origin = Origin { transport: "relay", ..Origin::default() };
    observe(&telemetry, signal(MS), Outcome::Gone, &origin);
    finish(&exporter);
    let (root, _) = only_tree(&sink);
    assert_eq!(attribute(&root.attributes, "rpc.system").as_deref(), Some("grpc"));
    assert_eq!(attribute(&root.attributes, "rpc.method"), None);
}

#[test]
fn a_slow_push_to_a_recipient_is_a_delivery_of_its_own() {
    let sink = Sink::start();
    let telemetry = telemetry(16);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    let received = Instant::now();
    let at = received + 120 * MS;
    let delivery = |received| telemetry.delivery(OpKind::Send, received, Duration::from_millis(2));
    // the second one arrived just before it went out
    let deliveries = vec![delivery(received), delivery(at - 3 * MS)];
    let origin = Origin { labels: Labels { region: 0, ..Labels::default() }, ..Origin::default() };
    telemetry.observe_from(&Event::Delivered { deliveries, others: 0 }, &origin, at);
    finish(&exporter);
    let (root, children) = only_tree(&sink);
    assert_eq!((root.name.as_str(), root.kind(), took(&root)), ("deliver send", SpanKind::Producer, 120 * MS));
    assert_eq!(attribute(&root.attributes, "messaging.operation.name").as_deref(), Some("deliver"));
    let stages: Vec<_> = children.iter().map(|span| (span.name.as_str(), took(span))).collect();
    assert_eq!(stages, [("handle", 2 * MS), ("flush", 118 * MS)]);
}

#[test]
fn every_batch_says_who_it_is_from() {
    let sink = Sink::start();
    let telemetry = telemetry(16);
    let exporter = start(&settings(sink.endpoint()), &telemetry, &LogQueue::new(100));
    observe_slow(&telemetry, 1);
    finish(&exporter);
    let (resources, _) = sink.resources();
    let of = |name| attribute(&resources[0].attributes, name);
    assert_eq!(of("service.name").as_deref(), Some("signalbox"));
    assert_eq!(of("service.instance.id").as_deref(), Some("r-7"));
    assert_eq!(of("deployment.environment.name").as_deref(), Some("test"));
    assert_eq!(
        counted(
            &telemetry,
            "target_info{service_name=\"signalbox\",service_version=\"1.2.3\",service_instance_id=\"r-7\"}"
        ),
        1
    );
}
