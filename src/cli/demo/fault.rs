//! The fault of a demo: when it is injected and ends, and what is told of it.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};

use super::screen::Screen;
use crate::{event::Fault, io::faults::Faults, load::SECONDS_MAX};

/// What the command line says of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) fault: Fault,
    pub(super) after: Duration,
    pub(super) length: Duration,
}

/// A fault by its name.
pub(super) fn named(name: &str) -> Result<Fault, String> {
    Fault::by_name(name).ok_or_else(|| format!("allowed: {}", Fault::names()))
}

/// Seconds, as `20` or `20s`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<u64>().ok();
    let seconds = seconds.filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("allowed: 1 to {SECONDS_MAX} seconds, as 20 or 20s"))
}

impl Plan {
    /// Whether there is time for it in a demo of that length; without one it lasts until Ctrl-C.
    pub(super) fn fits(&self, demo: Option<u64>) -> Result<()> {
        let begins = self.after.as_secs();
        match demo {
            Some(demo) if begins >= demo => {
                bail!("the demo is over after --seconds {demo}, before the fault begins (--fault-after {begins})")
            }
            _ => Ok(()),
        }
    }

    /// Injects the fault in its time and ends it, and tells both.
    pub(super) async fn carry_out(self, faults: Faults, ops: SocketAddr, screen: Screen) {
        tokio::time::sleep(self.after).await;
        match faults.switch(Some(self.fault)).context("the fault cannot be injected") {
            Ok(_) => screen.tell(&self.begun(ops, SystemTime::now())),
            Err(why) => return screen.tell(&format!("{why:#}")),
        }
        tokio::time::sleep(self.length).await;
        // to end one takes nothing from the system
        faults.switch(None).ok();
        screen.tell(&self.over(ops));
    }

    /// What was injected, and where it shows.
    fn begun(&self, ops: SocketAddr, now: SystemTime) -> String {
        let (name, seconds) = (self.fault.name(), self.length.as_secs());
        let before = quiet(now);
        let looks: String = looks(self.fault)
            .iter()
            .map(|(path, what)| format!("  {}\n", look(ops, &path.replace("BEFORE", &before), what)))
            .collect();
        let what = does(self.fault);
        let alerts = alerts(self.fault);
        format!(
            "\nFAULT {name} is injected, for {seconds} s: {what}\nWhere it shows:\n{looks}  {}\nAlerts of alerts/rules that it is for: {alerts}\n",
            look(ops, "/api/fault", "says so; a PUT of `off` ends it")
        )
    }

    fn over(&self, ops: SocketAddr) -> String {
        let (name, seconds) = (self.fault.name(), self.length.as_secs());
        let captures = match self.fault {
            Fault::Cpu | Fault::Stall => {
                format!("  {}\n", look(ops, "/debug/captures/", "keeps what was pinned; ready half a minute after"))
            }
            Fault::Errors | Fault::Memory | Fault::Canary | Fault::SlowMedia | Fault::Work | Fault::Shed => {
                String::new()
            }
        };
        format!("\nFAULT {name} has ended after {seconds} s.\n{captures}")
    }
}

/// The minute before, as windows of profiles have it: in Unix seconds. They are made of slots of ten seconds, of which the
/// last one would have the fault in it.
fn quiet(now: SystemTime) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{}..{}", now.saturating_sub(60), now.saturating_sub(11))
}

fn look(ops: SocketAddr, path: &str, what: &str) -> String {
    format!("http://{ops}{path}\n      {what}")
}

/// What the router does wrong.
const fn does(fault: Fault) -> &'static str {
    match fault {
        Fault::Cpu => "now and then a signal burns 200 ms of CPU time, and what comes behind it waits.",
        Fault::Stall => "every three seconds a worker thread is blocked for twice telemetry.stall_ms.",
        Fault::Errors => "three of ten signals are answered with `internal`.",
        Fault::Memory => "the router takes memory every second, as if it would reach its limit within the hour.",
        Fault::Canary => {
            "signals of clients of `canary` are 120 ms late, six of twenty, and two are answered with `internal`."
        }
        Fault::SlowMedia => "what media nodes answer is heard 100 ms late.",
        Fault::Work => "each signal is a millisecond of CPU time more.",
        Fault::Shed => "each signal is 40 ms of CPU time, which is more than there is: the guard turns signals away.",
    }
}

/// Where it shows, and what to see there.
const fn looks(fault: Fault) -> &'static [(&'static str, &'static str)] {
    match fault {
        Fault::Cpu => &[
            ("/debug/latency?window=1m", "P99 past 80 ms, and the stage `handle` is where the time goes"),
            ("/debug/pprof/flamegraph?lookback=1&seconds=20", "`burn_cpu_on_purpose` under the ops in hand"),
            (
                "/debug/pprof/diff?base=BEFORE&target=20s",
                "the same as what became more than before; from twenty seconds on",
            ),
            ("/debug/captures/latest", "pinned some twenty seconds from now, ready half a minute later"),
        ],
        Fault::Stall => &[
            ("/metrics", "signalbox_worker_stalls_total goes up; the log says where the worker was"),
            (
                "/debug/captures/latest",
                "the stack of the blocked worker: `block_worker_on_purpose`; ready in half a minute",
            ),
            ("/debug/slow", "the signals that waited meanwhile"),
        ],
        Fault::Errors => &[
            (
                "/metrics",
                "signalbox_signal_refusals_total{code=\"internal\"} goes up, and outcome=\"error\" of each op",
            ),
            ("/debug/latency?window=1m", "the outcome `error` beside `ok`; the answered ones are as fast as before"),
        ],
        Fault::Work => &[
            ("/debug/latency?window=1m", "the stage `handle` takes a millisecond; P99 is far below 80 ms"),
            ("/debug/pprof/flamegraph?lookback=1&seconds=20", "`work_on_purpose` under the ops in hand"),
        ],
        Fault::Shed => &[
            ("/metrics", "signalbox_guard_sheds_total{limit=\"queue_signals\"} goes up, signalbox_shard_pressure is 2"),
            ("/debug/latency?window=1m", "the outcome `shed` beside `ok`, whose P99 stays near the promise of 80 ms"),
            ("/debug/pprof/flamegraph?lookback=1&seconds=20", "`work_on_purpose`, which is what takes the time"),
        ],
        Fault::Memory => &[
            ("/metrics", "process_resident_memory_bytes goes up, signalbox_sessions does not"),
            ("/api/status", "who is there: no more than before"),
        ],
        Fault::Canary => &[
            ("/api/variants", "P99 and errors of `canary` beside those of `default`, which stay what they were"),
            ("/metrics", "signalbox_variant_latency_seconds by variant and outcome"),
            ("/debug/slow", "the slow signals are of the variant `canary`; their time went before the shard took them"),
        ],
        Fault::SlowMedia => SLOW_MEDIA,
    }
}

/// Where slow nodes show.
const SLOW_MEDIA: &[(&str, &str)] = &[
    ("/debug/latency?window=1m", "the stage `media` is where the time of signals to nodes goes"),
    (
        "/metrics",
        "signalbox_media_breaker_state goes to 1, and calls end as outcome=\"unsent\": the breaker of a slow node opens",
    ),
    ("/debug/slow", "the signals that waited for a node"),
];

const fn alerts(fault: Fault) -> &'static str {
    match fault {
        Fault::Cpu => "SignalboxP99AboveBaseline, SignalboxSloBurnFast",
        Fault::Stall => "SignalboxWorkerStalled",
        Fault::Errors => "SignalboxErrors",
        Fault::Memory => "SignalboxMemoryGrowing",
        Fault::Canary => "SignalboxCanarySlow, SignalboxCanaryErrors",
        Fault::SlowMedia => "SignalboxMediaBreakerOpen",
        Fault::Work => "SignalboxFaultActive",
        Fault::Shed => "SignalboxSheds, SignalboxShardBehind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fault: Fault) -> Plan {
        Plan { fault, after: Duration::from_secs(20), length: Duration::from_secs(60) }
    }

    #[test]
    fn a_name_that_is_none_lists_those_that_are() {
        for fault in Fault::ALL {
            assert_eq!(named(fault.name()), Ok(fault));
        }
        let allowed = "allowed: cpu, stall, errors, memory, canary, slow-media, work, shed";
        assert_eq!(named("slow"), Err(allowed.to_owned()));
    }

    #[test]
    fn seconds_are_a_number_with_or_without_their_unit() {
        assert_eq!((seconds("20"), seconds("20s")), (Ok(Duration::from_secs(20)), Ok(Duration::from_secs(20))));
        for wrong in ["", "s", "0", "1.5", "20m", "-1", "3601"] {
            assert!(seconds(wrong).unwrap_err().contains("1 to 3600"), "{wrong}");
        }
    }

    #[test]
    fn a_fault_that_would_begin_after_the_end_is_refused() {
        assert!(plan(Fault::Cpu).fits(None).is_ok() && plan(Fault::Cpu).fits(Some(21)).is_ok());
        let refused = plan(Fault::Cpu).fits(Some(20)).unwrap_err().to_string();
        assert!(refused.contains("--seconds 20") && refused.contains("--fault-after 20"), "{refused}");
    }

    #[test]
    fn whoever_sees_a_fault_begin_is_told_what_it_does_and_where_to_look() {
        let ops: SocketAddr = ([127, 0, 0, 1], 9600).into();
        for fault in Fault::ALL {
            let told = plan(fault).begun(ops, UNIX_EPOCH + Duration::from_secs(1_800_000_000));
            assert_eq!(told.contains("diff?base=1799999940..1799999989&"), fault == Fault::Cpu, "{told}");
            assert!(told.contains(&format!("FAULT {} is injected, for 60 s", fault.name())), "{told}");
            assert!(told.matches("http://127.0.0.1:9600/").count() >= 3 && told.contains("Signalbox"), "{told}");
            assert!(plan(fault).over(ops).contains(&format!("FAULT {} has ended", fault.name())));
        }
    }
}
