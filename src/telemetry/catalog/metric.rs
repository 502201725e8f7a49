//! What is said of a metric: how it moves, what one is, what its labels may say, what looks at it.

use super::EDGES_US;

/// How a metric's values move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from zero at start; its name ends in `_total`.
    Counter,
    /// Up and down.
    Gauge,
    /// Latencies: classic buckets with the edges [`EDGES_US`], and native ones.
    Histogram,
    /// Always 1; the labels say it.
    Info,
}

impl Kind {
    /// The word for it in listings, and in text 0.0.4 for all but `Info`, which is a gauge there.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// What one of a metric is; where it has a word, the name ends in it (before `_total`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 0 to 1.
    Ratio,
    /// 1 or 0: it is so, or it is not.
    Flag,
}

impl Unit {
    /// The word that the name must carry.
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Ratio => Some("ratio"),
            Self::Count | Self::Flag => None,
        }
    }

    /// For listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Flag => "flag",
        }
    }
}

/// What a label may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These. A counter has all of them from the start: the first one to happen is a step from zero that `rate` sees.
    Closed(&'static [&'static str]),
    /// 0, 1, 2 …, as many as were given at start, and at most that many.
    Numbered {
        /// The bound.
        max: usize,
    },
    /// Those of the configuration, and `other`.
    Configured {
        /// How many, beside `other`.
        max: usize,
    },
    /// What clients say: the busiest values, and `other`.
    Busiest {
        /// How many, beside `other`.
        max: usize,
    },
    /// Ids of media nodes that are known, and `other`.
    Nodes {
        /// How many, beside `other`.
        max: usize,
    },
    /// One, set at start.
    Fixed,
}

impl Values {
    /// How many there can be at most.
    pub const fn bound(self) -> usize {
        match self {
            Self::Closed(values) => values.len(),
            Self::Numbered { max } => max,
            Self::Configured { max } | Self::Busiest { max } | Self::Nodes { max } => max + 1,
            Self::Fixed => 1,
        }
    }
}

/// One label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// Where a metric is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The board of golden signals and the promise.
    Overview,
    /// The board of latencies.
    Latency,
    /// The board of sessions and rooms.
    Sessions,
    /// The board of what the router depends on.
    Dependencies,
    /// The board of the process and its runtime.
    Runtime,
    /// The board of refusals.
    Guard,
    /// The board of gray release.
    Variants,
    /// The board of media nodes.
    Media,
    /// The board of placements.
    Placement,
    /// The board that watches the observers.
    Observers,
    /// Alerts only.
    Alert,
    /// Nowhere but by hand.
    Debug,
}

impl Shown {
    /// For listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overview => "board: overview",
            Self::Latency => "board: latency",
            Self::Sessions => "board: sessions and rooms",
            Self::Dependencies => "board: dependencies",
            Self::Runtime => "board: runtime",
            Self::Guard => "board: guard",
            Self::Variants => "board: variants",
            Self::Media => "board: media",
            Self::Placement => "board: placement",
            Self::Observers => "board: observers",
            Self::Alert => "alert",
            Self::Debug => "debug",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name, as scraped.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What one is.
    pub unit: Unit,
    /// What looks at it.
    pub shown: Shown,
    /// For people, one sentence.
    pub help: &'static str,
    /// In this order.
    pub labels: &'static [Label],
    /// Label sets that there can be at most, where that is less than what the labels allow.
    pub sets_max: Option<usize>,
}

impl Metric {
    /// Label sets that there can be at most.
    pub fn sets(&self) -> usize {
        let allowed = self.labels.iter().map(|label| label.values.bound()).product();
        self.sets_max.map_or(allowed, |max| allowed.min(max))
    }

    /// Series that Prometheus makes of it at most: of a classic histogram each bucket is one, with sum and count.
    pub fn series(&self) -> usize {
        let each = if self.kind == Kind::Histogram { EDGES_US.len() + 3 } else { 1 };
        self.sets() * each
    }
}
