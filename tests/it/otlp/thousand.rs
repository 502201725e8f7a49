//! A thousand signals of which ten are slow: exactly those and the sampled ones reach a real collector, and go on from
//! it. The same against a collector of the tests' own stands beside the exporter. Stamps are told: nothing has to take
//! the time that they say.

use std::{collections::BTreeSet, sync::Arc};

use signalbox::{
    event::{Event, Origin, Outcome, Signal, SpanId, SpanRef, Stage, TraceId},
    io::otlp::{Exporter, ResourceSettings, Settings},
    protocol::OpKind,
    telemetry::{self, Telemetry},
};

use super::*;

const MS: Duration = Duration::from_millis(1);
/// The trace of the first sampled signal; the others' follow it.
const SAMPLED: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_0000;

/// What has to arrive: how long each slow signal took, no two the same, and the traces of the sampled ones.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    slow: BTreeSet<Duration>,
    sampled: BTreeSet<String>,
}

fn telemetry() -> Arc<Telemetry> {
    Arc::new(Telemetry::new(telemetry::Settings {
        version: "1.2.3".to_owned(),
        instance_id: "of-the-test".to_owned(),
        shards: 2,
        inbox_bound: 1024,
        region: "sh".to_owned(),
        regions: Vec::new(),
        measures: true,
        traces_waiting_max: 1024,
        head_rate: 0.0,
        config_hash: 0,
        started: Instant::now(),
        started_unix: Duration::from_secs(1_800_000_000),
    }))
}

fn exporter(endpoint: String, telemetry: &Arc<Telemetry>) -> Exporter {
    let resource = ResourceSettings { instance_id: "of-the-test".to_owned(), ..ResourceSettings::default() };
    let (timeout, shutdown_timeout) = (3 * SLACK, 3 * SLACK);
    let settings = Settings { endpoint, ca_pem: None, authorization: None, timeout, shutdown_timeout, resource };
    Exporter::start(&settings, telemetry.clone(), None).unwrap()
}

/// The thousand, in the order in which a router would see them end.
fn feed(telemetry: &Telemetry) -> Wanted {
    let mut wanted = Wanted::default();
    for number in 0..1_000_u32 {
        let is_slow = number % 100 == 37;
        let took = if is_slow { (100 + number / 10) * MS } else { (1 + number % 40) * MS };
        let received = Instant::now();
        let mut signal = Box::new(Signal::new(OpKind::Send, received));
        signal.timeline.end(Stage::Decode, received + took / 4);
        signal.timeline.end(Stage::Handle, received + took / 2);
        signal.timeline.end(Stage::Flush, received + took);
        if number % 150 <= 1 {
            let trace = TraceId::new(SAMPLED + u128::from(number)).unwrap();
            // every other client says that it traces nothing
            let sampled = number % 150 == 0;
            signal.parent = Some(Box::new(SpanRef { trace, span: SpanId::new(7).unwrap(), sampled }));
            if sampled {
                wanted.sampled.insert(trace.to_string());
            }
        }
        if is_slow {
            wanted.slow.insert(took);
        }
        telemetry.observe_from(&Event::SignalEnded { signal, outcome: Outcome::Ok }, &Origin::default(), received);
    }
    assert_eq!((wanted.slow.len(), wanted.sampled.len()), (10, 7));
    wanted
}

/// What has arrived.
fn arrived(roots: &[Span]) -> Wanted {
    let kept = |reason: &str| {
        let of = |root: &&Span| attribute(&root.attributes, "signalbox.kept").as_deref() == Some(reason);
        roots.iter().filter(of).collect::<Vec<_>>()
    };
    let took = |root: &&Span| Duration::from_nanos(root.end_time_unix_nano - root.start_time_unix_nano);
    Wanted {
        slow: kept("slow").iter().map(took).collect(),
        sampled: kept("sampled").iter().map(|root| hex(&root.trace_id)).collect(),
    }
}

#[tokio::test]
async fn of_a_thousand_signals_a_real_collector_gets_the_ten_slow_and_the_sampled_ones() {
    let sink = Sink::start();
    let rotel = Rotel::start(&sink).await;
    let telemetry = telemetry();
    let exporter = exporter(format!("http://{}", rotel.grpc), &telemetry);
    let wanted = feed(&telemetry);
    exporter.finish().await;
    let all = wanted.slow.len() + wanted.sampled.len();
    eventually("all spans", || sink.spans().len() >= 4 * all).await;
    let roots = sink.roots();
    assert_eq!((arrived(&roots), roots.len()), (wanted, all), "{roots:?}");
    let traces: BTreeSet<_> = roots.iter().map(|root| hex(&root.trace_id)).collect();
    assert_eq!(traces.len(), all, "each has a trace of its own");
    // each with its stages
    assert!(sink.spans().len() == 4 * all && sink.spans().iter().all(|span| traces.contains(&hex(&span.trace_id))));
    let text = String::from_utf8(telemetry.render(telemetry::exposition::Format::Text, None)).unwrap();
    assert!(text.contains("\nsignalbox_traces_exported_total 17\n"), "{text}");
}
