//! What is measured: the loads and the figure that each of them gives.

use std::time::Duration;

use signalbox::{
    load::{
        Options, Report, Scenario, TokenSource,
        client::{Dialect, TargetSettings},
    },
    ops_client::OpsTarget,
};

use super::child::Server;

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// 50 rooms x 8, 20 messages a second each: 56,000 deliveries a second.
    Fanout20,
    /// The same at 60 a second: 168,000 deliveries a second.
    Fanout60,
    /// 500 joins a second.
    Join,
    /// 500 rooms x 8 that say nothing.
    Idle,
    /// 1,200 joins a second for 15 s: a hundred million a day.
    Rush,
    /// `fanout60` measured, beside the same not measured.
    Telemetry,
    /// `fanout60` scraped four times a second, beside the same not scraped.
    Scraped,
    /// `fanout60` with the CPU profiler on, as it is by default, beside the same with it off.
    Profiled,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Floor,
    Signalbox,
    /// The router with `telemetry.measure = false`.
    Unmeasured,
    /// The router, scraped while it runs.
    Scraped,
    /// The router with `profiler.enabled = false`.
    Unprofiled,
}

impl Side {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Signalbox => "signalbox",
            Self::Unmeasured => "not measured",
            Self::Scraped => "scraped",
            Self::Unprofiled => "not profiled",
        }
    }
}

/// What is read from a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time for one delivery, or one join.
    CpuMicros,
    /// Latency.
    P99Millis,
    /// What the client's P99 has beyond the router's own: sockets, scheduling, the generator. The floor has nothing of
    /// its own, so its P99 is all of that.
    BetweenMillis,
    /// Resident memory for one session.
    SessionKib,
    /// Resident memory at the end.
    ResidentMib,
}

/// What signalbox shall keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At most so many times the floor's.
    Ratio(f64),
    /// At most so much more than the floor's.
    Above(f64),
    /// At most so much.
    AtMost(f64),
    /// For the record.
    Shown,
}

impl Workload {
    pub(crate) const ALL: [Self; 8] = [
        Self::Fanout20,
        Self::Fanout60,
        Self::Join,
        Self::Idle,
        Self::Rush,
        Self::Telemetry,
        Self::Scraped,
        Self::Profiled,
    ];

    /// What is measured beside what.
    pub(crate) const fn sides(self) -> [Side; 2] {
        match self {
            Self::Telemetry => [Side::Unmeasured, Side::Signalbox],
            Self::Scraped => [Side::Signalbox, Side::Scraped],
            Self::Profiled => [Side::Unprofiled, Side::Signalbox],
            _ => [Side::Floor, Side::Signalbox],
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fanout20 => "fanout, 20 msg/s each",
            Self::Fanout60 => "fanout, 60 msg/s each",
            Self::Join => "join, 500/s",
            Self::Idle => "idle, 4,000 sessions",
            Self::Rush => "join, 1,200/s",
            Self::Telemetry => "fanout 60, measured",
            Self::Scraped => "fanout 60, scraped",
            Self::Profiled => "fanout 60, profiled",
        }
    }

    /// The figures of this load, with their targets (DESIGN section 13).
    pub(crate) const fn figures(self) -> &'static [(Figure, Target)] {
        match self {
            Self::Fanout20 => &[(Figure::CpuMicros, Target::Ratio(1.1)), (Figure::P99Millis, Target::Shown)],
            Self::Fanout60 => &[
                (Figure::CpuMicros, Target::Ratio(1.1)),
                (Figure::P99Millis, Target::Ratio(1.2)),
                (Figure::BetweenMillis, Target::Ratio(1.0)),
            ],
            Self::Join => &[(Figure::CpuMicros, Target::Ratio(2.0)), (Figure::P99Millis, Target::AtMost(80.0))],
            Self::Idle => &[(Figure::SessionKib, Target::Above(3.0))],
            Self::Rush => &[(Figure::CpuMicros, Target::Shown), (Figure::P99Millis, Target::AtMost(80.0))],
            // the noise of a whole process is larger than what is looked for: see the sum of its parts, and the
            // instructions, which have the targets
            Self::Telemetry => &[(Figure::CpuMicros, Target::Shown), (Figure::P99Millis, Target::Shown)],
            Self::Scraped => &[(Figure::CpuMicros, Target::Shown), (Figure::P99Millis, Target::Ratio(1.2))],
            // 1 % of CPU is not seen through the noise either: see the cost of a sample, which has the target
            Self::Profiled => &[
                (Figure::CpuMicros, Target::Shown),
                (Figure::P99Millis, Target::Ratio(1.2)),
                (Figure::ResidentMib, Target::Shown),
            ],
        }
    }

    /// The load itself, towards a server at that address.
    pub(crate) fn options(self, side: Side, server: &Server) -> Options {
        let (scenario, rate, seconds) = match self {
            Self::Fanout20 => (Scenario::Fanout, 20.0, 10),
            Self::Fanout60 | Self::Telemetry | Self::Scraped | Self::Profiled => (Scenario::Fanout, 60.0, 10),
            Self::Join => (Scenario::Join, 500.0, 8),
            Self::Idle => (Scenario::Idle, 0.0, 4),
            Self::Rush => (Scenario::Join, 1_200.0, 15),
        };
        let mut target = TargetSettings::websocket(format!("ws://{}/v1/signal", server.client));
        let mut tokens = TokenSource::dev();
        if side == Side::Floor {
            target.dialect = Dialect::Bare;
            tokens = TokenSource::None;
        }
        let mut options = Options::new(scenario, target, tokens);
        options.rate = rate;
        options.length = Duration::from_secs(seconds);
        // a fifth of the messages warm up; of joins every one counts
        options.warmup = if scenario == Scenario::Fanout { options.length / 5 } else { Duration::ZERO };
        options.pids = vec![server.pid()];
        options.ops = server.ops.map(|ops| OpsTarget { url: format!("http://{ops}"), token: None });
        options
    }
}

impl Figure {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CpuMicros => "CPU each, us",
            Self::P99Millis => "P99, ms",
            Self::BetweenMillis => "P99 not the router's, ms",
            Self::SessionKib => "memory each, KiB",
            Self::ResidentMib => "memory in all, MiB",
        }
    }

    pub(crate) fn of(self, report: &Report) -> Option<f64> {
        let latency = || report.latency("delivery").or_else(|| report.latency("join"));
        match self {
            Self::CpuMicros => report.server.as_ref().map(|server| server.cpu_us_each),
            Self::P99Millis => latency().map(|quantiles| quantiles.p99_ms),
            Self::BetweenMillis => {
                let own = report
                    .router
                    .iter()
                    .flat_map(|router| &router.measures)
                    .find(|row| row.name == "delivery")
                    .map_or(0.0, |row| row.p99_ms);
                latency().map(|quantiles| quantiles.p99_ms - own)
            }
            Self::SessionKib => report.server.as_ref().map(|server| server.resident_kib_each),
            Self::ResidentMib => report.server.as_ref().map(|server| server.resident_after_kib as f64 / 1024.0),
        }
    }
}

impl Target {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Ratio(ratio) => format!("<= {ratio} x"),
            Self::Above(more) => format!("<= + {more}"),
            Self::AtMost(most) => format!("<= {most}"),
            Self::Shown => "-".to_owned(),
        }
    }

    /// Whether it is kept; absent where there is nothing to keep.
    pub(crate) fn kept(self, floor: f64, signalbox: f64) -> Option<bool> {
        match self {
            Self::Ratio(ratio) => Some(signalbox <= floor * ratio),
            Self::Above(more) => Some(signalbox <= floor + more),
            Self::AtMost(most) => Some(signalbox <= most),
            Self::Shown => None,
        }
    }
}
