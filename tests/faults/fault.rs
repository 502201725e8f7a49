//! The faults: how each begins and ends, and what shows that it was one.

use std::time::Duration;

use crate::{fleet::Fleet, proxy::Weather};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Frozen,
    Compacted,
    Emptied,
    Slow,
    Narrow,
    Reset,
    Mute,
    Upwards,
    Downwards,
    Partition,
    Expired,
    TwoOfOneName,
}

impl Fault {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 13] = [
        Self::Killed,
        Self::Frozen,
        Self::Compacted,
        Self::Emptied,
        Self::Slow,
        Self::Narrow,
        Self::Reset,
        Self::Mute,
        Self::Upwards,
        Self::Downwards,
        Self::Partition,
        Self::Expired,
        Self::TwoOfOneName,
    ];

    /// Those that every run of the tests takes.
    pub(crate) const SHORT: [Self; 3] = [Self::Killed, Self::Downwards, Self::TwoOfOneName];

    /// By which `FAULT=` picks it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Killed => "kill",
            Self::Frozen => "freeze",
            Self::Compacted => "compact",
            Self::Emptied => "empty",
            Self::Slow => "latency",
            Self::Narrow => "bandwidth",
            Self::Reset => "reset",
            Self::Mute => "timeout",
            Self::Upwards => "cut-up",
            Self::Downwards => "cut-down",
            Self::Partition => "partition",
            Self::Expired => "certificate",
            Self::TwoOfOneName => "two-of-a-name",
        }
    }

    /// For people.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Killed => "etcd killed with -9, started again",
            Self::Frozen => "etcd frozen (SIGSTOP), thawed",
            Self::Compacted => "compaction while all are cut off",
            Self::Emptied => "etcd killed, an empty one in its place",
            Self::Slow => "latency of 3000 ms, jitter of 500 ms",
            Self::Narrow => "1 KiB/s",
            Self::Reset => "connections reset",
            Self::Mute => "connections taken, never answered",
            Self::Upwards => "nothing gets to etcd",
            Self::Downwards => "nothing gets back from etcd",
            Self::Partition => "r1 alone is cut off",
            Self::Expired => "etcd's certificate has expired",
            Self::TwoOfOneName => "r1 is cut off, rooms of one name",
        }
    }

    /// Whether etcd speaks TLS.
    pub(crate) const fn needs_tls(self) -> bool {
        matches!(self, Self::Expired)
    }

    pub(crate) async fn begin(self, fleet: &mut Fleet) {
        match self {
            Self::Killed => fleet.etcd.kill(),
            Self::Emptied => {
                fleet.etcd.kill();
                fleet.forget_all();
            }
            Self::Frozen => fleet.etcd.freeze(),
            Self::Compacted => {
                fleet.weather(Weather { reset: true, ..Weather::default() });
                fleet.compact().await;
            }
            Self::Expired => {
                // anew: who resumes a TLS session is not shown the certificate again
                fleet.etcd.kill();
                fleet.certificate(true);
                fleet.etcd.again().await;
            }
            Self::Partition | Self::TwoOfOneName => fleet.proxies[0].set(self.weather()),
            _ => fleet.weather(self.weather()),
        }
    }

    /// Once this is over, the fault is.
    pub(crate) async fn end(self, fleet: &mut Fleet) {
        match self {
            Self::Killed | Self::Emptied => fleet.etcd.again().await,
            Self::Frozen => fleet.etcd.thaw(),
            Self::Expired => fleet.certificate(false),
            _ => fleet.weather(Weather::default()),
        }
    }

    fn weather(self) -> Weather {
        let fine = Weather::default();
        match self {
            Self::Slow => Weather { latency: Some((Duration::from_millis(3_000), Duration::from_millis(500))), ..fine },
            Self::Narrow => Weather { bytes_a_second: Some(1_024), ..fine },
            Self::Reset => Weather { reset: true, ..fine },
            Self::Mute => Weather { mute: true, ..fine },
            Self::Upwards => Weather { cut_up: true, ..fine },
            Self::Downwards => Weather { cut_down: true, ..fine },
            Self::Partition | Self::TwoOfOneName => Weather { cut_up: true, cut_down: true, ..fine },
            Self::Killed | Self::Frozen | Self::Compacted | Self::Emptied | Self::Expired => fine,
        }
    }

    /// Which routers must have had trouble with etcd meanwhile: a fault that nobody notices proves nothing.
    pub(crate) const fn struck(self) -> &'static [usize] {
        match self {
            Self::Partition | Self::TwoOfOneName => &[0],
            _ => &[0, 1, 2],
        }
    }
}
