//! From a bucket to the very signal that is in it.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::job::{Exemplar, Job};
use crate::otlp::sink::{Sink, attribute, hex};

/// Each exemplar points at a trace that the collector has, of a signal of that op that took as long; one of them at the
/// trace that a client asked for.
pub(super) async fn each_leads_to_the_signal_that_it_is_of(job: &Job<'_>, sink: &Sink, asked_for: &str) {
    let spans = sink.spans();
    let spans: BTreeMap<String, &Span> = spans.iter().map(|span| (hex(&span.span_id), span)).collect();
    let classic = job.exemplars("{$job, __name__=~\"signalbox_(signal|delivery)_latency_seconds_bucket\"}").await;
    leads(job, &classic, &spans);
    let native = job.exemplars("{$job, __name__=~\"signalbox_(signal|delivery)_latency_seconds\"}").await;
    if job.native {
        leads(job, &native, &spans);
    } else {
        assert!(native.is_empty(), "{job}: {native:?}");
    }
    let of_the_client = |exemplars: &[Exemplar]| {
        exemplars.iter().any(|exemplar| exemplar.series["op"] == "update" && exemplar.trace == asked_for)
    };
    assert!(of_the_client(&classic), "{job}: {classic:?}");
    assert!(!job.native || of_the_client(&native), "{job}: {native:?}");
}

fn leads(job: &Job<'_>, exemplars: &[Exemplar], spans: &BTreeMap<String, &Span>) {
    for kind in ["signal", "delivery"] {
        let of_kind = |exemplar: &&Exemplar| exemplar.series["__name__"].contains(kind);
        assert!(exemplars.iter().filter(of_kind).count() > 3, "{job}: {kind}: {exemplars:?}");
    }
    for exemplar in exemplars {
        let span = spans.get(&exemplar.span).unwrap_or_else(|| panic!("{job}: the collector has no {exemplar:?}"));
        assert_eq!(hex(&span.trace_id), exemplar.trace, "{job}: {exemplar:?}");
        let op = attribute(&span.attributes, "signalbox.op");
        assert_eq!(op.as_ref(), exemplar.series.get("op"), "{job}: {exemplar:?} {span:?}");
        let took = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9;
        assert!((took - exemplar.value).abs() < 1e-6, "{job}: {exemplar:?} took {took}");
        if let Some(edge) = exemplar.series.get("le") {
            assert!(exemplar.value <= edge.parse().unwrap(), "{job}: {exemplar:?}");
        }
    }
}
