//! Real Prometheus servers scrape the real router under load, and their answers are held against what the router
//! itself knows: Debian's 2.x without any flag and with exemplars, and a 3.x with native histograms and without.
//!
//! The share of signals within the promise is read from the classic `le="0.08"`, which is exact. Never from native
//! buckets: none of those ends at 80 ms, and a share interpolated inside of one is off by much of an error budget.

mod bounds;
mod exemplars;
mod histograms;
mod job;
pub(crate) mod server;
mod told;
mod traffic;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use self::{
    job::Job,
    server::{Labels, Native, Prometheus, Samples},
    told::Told,
    traffic::Sent,
};
use crate::{
    harness::{Router, answered, prometheus_3, run_to_end},
    otlp::sink::Sink,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const EXEMPLARS: &str = "--enable-feature=exemplar-storage";

/// A router that exports to the sink, in the region `sh`, that knows of `sz`.
fn router(sink: &Sink) -> Router {
    Router::dev_with(&[
        ("server.region", "sh"),
        ("server.regions", "sz"),
        ("telemetry.otlp.endpoint", &sink.endpoint()),
        ("telemetry.otlp.head_per_million", "0"),
        // what fills sockets
        ("limits.frame_bytes", "2097152"),
        ("limits.outbound_bytes", "134217728"),
        // on a machine that is busy with other tests, nothing is to be shed
        ("guard.queue_joins_ms", "0"),
        ("guard.queue_signals_ms", "0"),
        ("log.level", "info"),
    ])
}

/// The servers, 3.x where there is one.
struct Servers {
    plain: Prometheus,
    with_exemplars: Prometheus,
    three: Option<Prometheus>,
}

impl Servers {
    async fn start(router: &Router) -> Self {
        let job = |name: &str, more: &str| {
            let target = format!("static_configs: [{{ targets: [\"{}\"] }}]", router.ops);
            format!("- {{ job_name: {name}, {more} {target} }}\n")
        };
        let native = "scrape_native_histograms: true, always_scrape_classic_histograms: true,";
        let (debian, classic) = (Path::new("prometheus"), job("classic", ""));
        let three = async {
            let jobs = job("native", native) + &job("openmetrics", "");
            Some(Prometheus::start(&prometheus_3("prometheus")?, &[EXEMPLARS], &jobs).await)
        };
        let plain = Prometheus::start(debian, &[], &classic);
        let (plain, with_exemplars, three) =
            tokio::join!(plain, Prometheus::start(debian, &[EXEMPLARS], &classic), three);
        if three.is_none() {
            // past the harness, which shows nothing of tests that pass
            let said = "NOT TESTED: Prometheus 3 and native histograms; that needs Go 1.21 or newer, see .ci/setup";
            std::io::stderr().write_all(format!("\n{said}\n\n").as_bytes()).unwrap();
        }
        Self { plain, with_exemplars, three }
    }

    fn all(&self) -> impl Iterator<Item = &Prometheus> {
        [&self.plain, &self.with_exemplars].into_iter().chain(&self.three)
    }

    fn jobs(&self) -> Vec<Job<'_>> {
        let two = |server, of, exemplars| Job { server, of, name: "classic", native: false, exemplars };
        let three = |name, native| {
            let server = self.three.as_ref()?;
            Some(Job { server, of: "Prometheus 3", name, native, exemplars: true })
        };
        let two = [
            two(&self.plain, "Prometheus 2 without flags", false),
            two(&self.with_exemplars, "Prometheus 2 with exemplars", true),
        ];
        two.into_iter().chain(three("native", true)).chain(three("openmetrics", false)).collect()
    }
}

#[tokio::test]
async fn what_prometheus_tells_of_a_load_is_what_the_router_knows() {
    let sink = Sink::start();
    let router = Arc::new(router(&sink));
    let servers = Servers::start(&router).await;
    let jobs = servers.jobs();
    for job in &jobs {
        // so that every counter is seen at zero
        job.scraped_after(0.0).await;
    }
    let sent = traffic::run(&router, &format!("00-{TRACE}-00f067aa0ba902b7-01")).await;
    settled(&router, &sent).await;
    let (told, taken) = at_rest(&router, &jobs).await;
    load_was_as_meant(&told, &sent);
    for (job, (numbers, natives)) in jobs.iter().zip(&taken) {
        same_samples(job, &told, numbers);
        histograms::buckets_hold_what_the_log_holds(job, &told, numbers, natives);
        histograms::quantiles_are_within_their_buckets(job, &told).await;
        histograms::the_share_within_the_promise_is_exact(job, &told).await;
        histograms::rolling_quantiles_are_those_of_the_report(job, &told, numbers);
        bounds::series_stay_within_the_catalogue(job).await;
        if job.exemplars {
            exemplars::each_leads_to_the_signal_that_it_is_of(job, &sink, TRACE).await;
        }
    }
    catalogue_is_told(&servers).await;
    nothing_was_complained_of(&servers, &jobs).await;
}

/// Waits until the router has drained all that was sent, everybody is gone, and the collector has what was kept.
async fn settled(router: &Router, sent: &Sent) {
    let expected: u64 = sent.counts().values().sum();
    answered("all signals to be drained, and all traces exported", async || {
        let told = Told::by(router).await;
        let exported = told.sum("signalbox_traces_exported_total") == told.sum("signalbox_traces_kept_total");
        let all = told.sum("signalbox_signals_total") >= expected as f64;
        (all && exported && told.value("signalbox_sessions") == 0.0).then_some(())
    })
    .await;
    // the next drain has the exemplars of the latest traces
    let exported = unix_seconds();
    answered("a drain", async || {
        let drained = Told::by(router).await.report["until_unix_ms"].as_f64().unwrap() / 1e3;
        (drained > exported).then_some(())
    })
    .await;
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What the router tells once nothing moves, and what each job took of it meanwhile.
async fn at_rest(router: &Router, jobs: &[Job<'_>]) -> (Told, Vec<(Samples, BTreeMap<(String, Labels), Native>)>) {
    answered("a time in which nothing moves", async || {
        let told = Told::by(router).await;
        let since = unix_seconds();
        let mut taken = Vec::new();
        for job in jobs {
            job.scraped_after(since).await;
            taken.push(job.taken().await);
        }
        Told::by(router).await.is_as(&told).then_some((told, taken))
    })
    .await
}

/// Every signal is counted under its op, region and outcome, and there are slow ones.
fn load_was_as_meant(told: &Told, sent: &Sent) {
    let counted = told.log.iter().filter_map(|(tag, latencies)| {
        let [op, region, outcome] = tag.strip_prefix("signal.")?.split('.').collect::<Vec<_>>()[..] else {
            panic!("{tag}");
        };
        Some(((op.to_owned(), region.to_owned(), outcome.to_owned()), latencies.count()))
    });
    let counts = sent.counts().into_iter();
    let expected = counts.map(|((op, region, outcome), count)| ((op, region.to_owned(), outcome.to_owned()), count));
    assert_eq!(counted.collect::<BTreeMap<_, _>>(), expected.collect());
    let mut by_outcome: BTreeMap<String, u64> = BTreeMap::new();
    for ((op, _, outcome), count) in sent.counts() {
        let series = format!("signalbox_signals_total{{op=\"{op}\",outcome=\"{outcome}\"}}");
        *by_outcome.entry(series).or_default() += count;
    }
    by_outcome.iter().for_each(|(series, count)| assert_eq!(told.value(series), *count as f64, "{series}"));
    assert_eq!(told.sum("signalbox_signals_total"), by_outcome.values().sum::<u64>() as f64);
    for (kind, op) in [("signal", "ping"), ("signal", "send"), ("delivery", "send")] {
        let latencies = told.of_op(kind, op);
        let (fast, slow) = (latencies.between(0.0, 0.08), latencies.between(0.08, 60.0));
        assert!(fast > 500 && slow > 10, "{kind} {op}: {fast} fast, {slow} slow");
    }
}

/// All series of the scrape are there, no other, and to the last digit those that rest.
fn same_samples(job: &Job<'_>, told: &Told, taken: &Samples) {
    let missing: Vec<_> = told.samples.keys().filter(|series| !taken.contains_key(series)).collect();
    let foreign: Vec<_> = taken.keys().filter(|series| !told.samples.contains_key(series)).collect();
    assert!(missing.is_empty() && foreign.is_empty(), "{job}: missing {missing:?}, foreign {foreign:?}");
    for (series, expected) in told.samples.iter().filter(|((name, _), _)| told::rests(name)) {
        assert_eq!(taken[series], *expected, "{job}: {series:?}");
    }
}

/// Type, help and unit of every family are those of the catalogue, and there are no others.
async fn catalogue_is_told(servers: &Servers) {
    let (code, catalogue, complained) = run_to_end(&["metrics", "--format", "json"]);
    assert_eq!(code, 0, "{complained}");
    let catalogue: Value = serde_json::from_str(&catalogue).unwrap();
    let mut in_openmetrics: BTreeMap<String, [String; 3]> = BTreeMap::new();
    let mut in_protobuf = BTreeMap::new();
    for metric in catalogue["metrics"].as_array().unwrap() {
        let [name, kind, unit, help] = ["name", "kind", "unit", "help"].map(|key| metric[key].as_str().unwrap());
        let unit = if ["count", "flag"].contains(&unit) { "" } else { unit };
        let family = name.strip_suffix("_total").or_else(|| (kind == "info").then(|| name.strip_suffix("_info"))?);
        let told = |kind: &str| [kind, unit, help].map(str::to_owned);
        in_openmetrics.insert(family.unwrap_or(name).to_owned(), told(kind));
        in_protobuf.insert(name.to_owned(), told(if kind == "info" { "gauge" } else { kind }));
    }
    for server in servers.all() {
        let told = server.get("/api/v1/metadata").await;
        let families = told.as_object().unwrap().iter().map(|(name, told)| {
            let [told] = &told.as_array().unwrap()[..] else { panic!("{name}: {told}") };
            (name.clone(), ["type", "unit", "help"].map(|key| told[key].as_str().unwrap().to_owned()))
        });
        let mut expected = in_openmetrics.clone();
        if servers.three.as_ref().is_some_and(|three| std::ptr::eq(three, server)) {
            // its two jobs take both forms
            expected.extend(in_protobuf.clone());
        }
        let is_absent = |name: &String| bounds::ABSENT.iter().any(|absent| absent.name == name);
        expected.retain(|name, _| !is_absent(name));
        // a breach in the noise of a busy machine is no matter
        assert_eq!(families.filter(|(name, _)| !is_absent(name)).collect::<BTreeMap<_, _>>(), expected);
    }
}

/// Every scrape went well, and no server found anything to warn of.
async fn nothing_was_complained_of(servers: &Servers, jobs: &[Job<'_>]) {
    for job in jobs {
        assert_eq!(job.number("min_over_time(up{$job}[1h])").await, 1.0, "{job}");
        let slowest = job.number("max_over_time(scrape_duration_seconds{$job}[1h])").await;
        let scrapes = job.number("count_over_time(up{$job}[1h])").await;
        eprintln!("{job}: {scrapes} scrapes, the slowest in {slowest} s");
    }
    for server in servers.all() {
        for target in server.get("/api/v1/targets").await["activeTargets"].as_array().unwrap() {
            assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
        }
        assert_eq!(server.complaints(), [""; 0]);
        let page = server.page("/metrics").await;
        let refused = page.lines().filter(|line| {
            let counts = ["prometheus_target_scrapes_", "prometheus_tsdb_out_of_order_samples_total"];
            counts.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
        });
        assert_eq!(refused.collect::<Vec<_>>(), [""; 0]);
        assert!(page.contains("\nprometheus_target_scrapes_exemplar_out_of_order_total 0\n"), "{page}");
    }
}
