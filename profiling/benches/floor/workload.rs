//! What is measured: the loads and the figure that each of them gives.

use std::{net::SocketAddr, time::Duration};

use signalbox::load::{
    Options, Report, Scenario, TokenSource,
    client::{Dialect, TargetSettings},
};

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
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Floor,
    Signalbox,
}

/// What is read from a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// CPU time for one delivery, or one join.
    CpuMicros,
    /// Latency.
    P99Millis,
    /// Resident memory for one session.
    SessionKib,
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
    pub(crate) const ALL: [Self; 5] = [Self::Fanout20, Self::Fanout60, Self::Join, Self::Idle, Self::Rush];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fanout20 => "fanout, 20 msg/s each",
            Self::Fanout60 => "fanout, 60 msg/s each",
            Self::Join => "join, 500/s",
            Self::Idle => "idle, 4,000 sessions",
            Self::Rush => "join, 1,200/s",
        }
    }

    /// The figures of this load, with their targets (DESIGN section 13).
    pub(crate) const fn figures(self) -> &'static [(Figure, Target)] {
        match self {
            Self::Fanout20 => &[(Figure::CpuMicros, Target::Ratio(1.1)), (Figure::P99Millis, Target::Shown)],
            Self::Fanout60 => &[(Figure::CpuMicros, Target::Ratio(1.1)), (Figure::P99Millis, Target::Ratio(1.2))],
            Self::Join => &[(Figure::CpuMicros, Target::Ratio(2.0)), (Figure::P99Millis, Target::AtMost(80.0))],
            Self::Idle => &[(Figure::SessionKib, Target::Above(3.0))],
            Self::Rush => &[(Figure::CpuMicros, Target::Shown), (Figure::P99Millis, Target::AtMost(80.0))],
        }
    }

    /// The load itself, towards a server at that address.
    pub(crate) fn options(self, side: Side, client: SocketAddr, pid: u32) -> Options {
        let (scenario, rate, seconds) = match self {
            Self::Fanout20 => (Scenario::Fanout, 20.0, 10),
            Self::Fanout60 => (Scenario::Fanout, 60.0, 10),
            Self::Join => (Scenario::Join, 500.0, 8),
            Self::Idle => (Scenario::Idle, 0.0, 4),
            Self::Rush => (Scenario::Join, 1_200.0, 15),
        };
        let mut target = TargetSettings::websocket(format!("ws://{client}/v1/signal"));
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
        options.pids = vec![pid];
        options
    }
}

impl Figure {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CpuMicros => "CPU each, us",
            Self::P99Millis => "P99, ms",
            Self::SessionKib => "memory each, KiB",
        }
    }

    pub(crate) fn of(self, report: &Report) -> Option<f64> {
        let latency = || report.latency("delivery").or_else(|| report.latency("join"));
        match self {
            Self::CpuMicros => report.server.as_ref().map(|server| server.cpu_us_each),
            Self::P99Millis => latency().map(|quantiles| quantiles.p99_ms),
            Self::SessionKib => report.server.as_ref().map(|server| server.resident_kib_each),
        }
    }
}

impl Target {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Ratio(ratio) => format!("<= {ratio} x floor"),
            Self::Above(more) => format!("<= floor + {more}"),
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
