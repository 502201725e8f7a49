//! Links between this router and others, whose rooms its clients are in, or whose clients are in its rooms.
//!
//! Gauges are there once a relay was told of: a router without one has none. What a signal takes that goes over a link is
//! with all others; this knows only how long the link itself takes.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusRecorder;
use tracing::{debug, info, trace, warn};

use super::{
    Telemetry,
    catalog::{self, Metric},
    handles::{Grid, Row},
    latency::Total,
    quiet::Quiet,
};
use crate::event::{RelayEnd, RelayFact, RelayOpening, RelaySide};

/// What is told of the relay.
pub(super) struct RelayHandles {
    ended: Grid,
    openings: Row,
    frames: Row,
    told: Mutex<Told>,
    lines: Lines,
}

/// What a scrape shows as it stands.
#[derive(Debug, Default)]
struct Told {
    figures: Option<RelayFigures>,
    /// Signs of life: some a second and link.
    round_trips: Total,
}

/// Lines that a link that comes and goes, or each of many clients, would repeat.
#[derive(Debug, Default)]
struct Lines {
    up: Quiet,
    down: [Quiet; RelayEnd::ALL.len()],
    openings: [Quiet; RelayOpening::ALL.len()],
}

/// The relay as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayFigures {
    /// Links that stand, by [`RelaySide`].
    pub links: [usize; RelaySide::ALL.len()],
    /// Connections of clients that go over them, by [`RelaySide`].
    pub connections: [usize; RelaySide::ALL.len()],
    /// Frames since the start, counted at the edge: towards hosts, towards clients.
    pub frames: [u64; 2],
}

impl RelayHandles {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        Self {
            ended: Grid::new(recorder, &catalog::RELAY_LINKS_ENDED),
            openings: Row::new(recorder, &catalog::RELAY_OPENINGS_DONE),
            frames: Row::new(recorder, &catalog::RELAY_FRAMES),
            told: Mutex::default(),
            lines: Lines::default(),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // each of it is changed at once
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    /// How the relay stands; told about once a second by whoever drives it.
    pub fn set_relay(&self, figures: RelayFigures) {
        let handles = &self.metrics.relay;
        for (direction, frames) in figures.frames.into_iter().enumerate() {
            handles.frames.at(direction).absolute(frames);
        }
        handles.told().figures = Some(figures);
    }

    /// How the relay stands, as it was told last; absent: there is none.
    pub fn relay_figures(&self) -> Option<RelayFigures> {
        self.metrics.relay.told().figures
    }

    pub(super) fn relay(&self, fact: &RelayFact, at: Instant) {
        let handles = &self.metrics.relay;
        match fact {
            RelayFact::LinkUp { side, router } => {
                if let Some(held_back) = self.admit(&handles.lines.up, at) {
                    let (side, router) = (side.name(), router.as_str());
                    info!(target: "signalbox", side, router, held_back, "link between routers stands");
                }
            }
            RelayFact::LinkDown { side, router, end, connections, why } => {
                handles.ended.at(*side as usize, *end as usize).increment(1);
                self.link_down(*side, router.as_str(), *end, (*connections, why.as_str()), at);
            }
            RelayFact::Opening { outcome } => {
                handles.openings.at(*outcome as usize).increment(1);
                self.relay_opening(*outcome, at);
            }
            RelayFact::RoundTrip { router, took } => {
                handles.told().round_trips.record(*took);
                let (router, took_ms) = (router.as_str(), millis(*took));
                trace!(target: "signalbox", router, took_ms, "sign of life came back over a link");
            }
        }
    }

    fn link_down(&self, side: RelaySide, router: &str, end: RelayEnd, (connections, why): (usize, &str), at: Instant) {
        let Some(held_back) = self.admit(&self.metrics.relay.lines.down[end as usize], at) else { return };
        let (side, reason) = (side.name(), end.name());
        if end.is_wanted() {
            info!(target: "signalbox", side, router, reason, connections, why, held_back, "link between routers ended");
        } else {
            warn!(target: "signalbox", side, router, reason, connections, why, held_back, "no link between routers");
        }
    }

    fn relay_opening(&self, outcome: RelayOpening, at: Instant) {
        let word = outcome.name();
        match outcome {
            RelayOpening::Relayed => trace!(target: "signalbox", outcome = word, "client relayed to another router"),
            // what a fleet without a relay does with each
            RelayOpening::NoAddress => debug!(target: "signalbox", outcome = word, "client sent to another router"),
            RelayOpening::Unreachable | RelayOpening::Full => {
                if let Some(held_back) = self.admit(&self.metrics.relay.lines.openings[outcome as usize], at) {
                    warn!(target: "signalbox", outcome = word, held_back, "client sent to another router, not relayed");
                }
            }
        }
    }

    /// What repeated lines about links held back.
    pub(super) fn settle_relay(&self, told: impl Fn(&Quiet, &str, &str)) {
        let lines = &self.metrics.relay.lines;
        told(&lines.up, "link between routers stands", "");
        for (quiet, end) in lines.down.iter().zip(RelayEnd::ALL) {
            let line = if end.is_wanted() { "link between routers ended" } else { "no link between routers" };
            told(quiet, line, end.name());
        }
        for (quiet, outcome) in lines.openings.iter().zip(RelayOpening::ALL) {
            told(quiet, "client sent to another router, not relayed", outcome.name());
        }
    }

    /// The gauges of the relay, and of which side; none, when there is none.
    pub(super) fn relay_gauges(&self) -> Vec<(&'static Metric, &'static str, f64)> {
        let Some(figures) = self.relay_figures() else { return Vec::new() };
        let of = |side: RelaySide| {
            [(&catalog::RELAY_LINKS, figures.links), (&catalog::RELAY_CONNECTIONS, figures.connections)]
                .map(|(row, by_side)| (row, side.name(), by_side[side as usize] as f64))
        };
        RelaySide::ALL.into_iter().flat_map(of).collect()
    }

    /// Shows how long signs of life took over links, if any came back.
    pub(super) fn relay_round_trips(&self, show: impl FnOnce(&Total)) {
        let told = self.metrics.relay.told();
        if told.round_trips.count() > 0 {
            show(&told.round_trips);
        }
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::{super::tests::telemetry, *};

    fn down(end: RelayEnd) -> RelayFact {
        let (side, router, why) = (RelaySide::Edge, "b".into(), "it said nothing for 3 s".to_owned());
        RelayFact::LinkDown { side, router, end, connections: 40, why }
    }

    #[test]
    fn a_router_without_a_relay_has_no_gauges_and_no_round_trips() {
        let telemetry = telemetry(Instant::now());
        telemetry.relay_round_trips(|_| panic!("nothing came back"));
        assert_eq!((telemetry.relay_gauges().len(), telemetry.relay_figures()), (0, None));
    }

    #[test]
    fn a_link_that_is_lost_again_and_again_is_one_warning_and_one_that_ends_as_it_should_is_none() {
        let telemetry = telemetry(Instant::now());
        let lines = super::super::logs::capture("info", || {
            (0..50).for_each(|_| telemetry.relay(&down(RelayEnd::Silent), telemetry.started));
            telemetry.relay(&down(RelayEnd::Idle), telemetry.started);
        });
        let said: Vec<_> = lines.iter().map(|line| (line["level"].as_str(), line["reason"].as_str())).collect();
        assert_eq!(said, [(Some("WARN"), Some("silent")), (Some("INFO"), Some("idle"))]);
        assert_eq!((&lines[0]["router"], &lines[0]["connections"]), (&"b".into(), &40.into()));
    }

    #[test]
    fn clients_that_are_relayed_or_have_no_relay_to_go_over_are_no_line_and_others_are_told_once() {
        let telemetry = telemetry(Instant::now());
        let lines = super::super::logs::capture("info", || {
            for outcome in RelayOpening::ALL.repeat(50) {
                telemetry.relay(&RelayFact::Opening { outcome }, telemetry.started);
            }
            telemetry.settle(telemetry.started + Duration::from_secs(11));
        });
        let said: Vec<_> = lines.iter().map(|line| (line["outcome"].as_str(), line["reason"].as_str())).collect();
        let held = [(None, Some("unreachable")), (None, Some("full"))];
        assert_eq!(said, [&[(Some("unreachable"), None), (Some("full"), None)][..], &held].concat());
        assert_eq!(lines[2]["held_back"], 49);
    }

    #[test]
    fn figures_are_shown_as_they_were_told_last_and_frames_never_go_back() {
        let telemetry = telemetry(Instant::now());
        for links in [[1, 0], [2, 3]] {
            telemetry.set_relay(RelayFigures { links, connections: [40, 50], frames: [7, 9] });
        }
        let shown: Vec<_> =
            telemetry.relay_gauges().into_iter().map(|(row, side, value)| (row.name, side, value)).collect();
        let (links, connections) = ("signalbox_relay_links", "signalbox_relay_connections");
        let edge = [(links, "edge", 2.0), (connections, "edge", 40.0)];
        assert_eq!(shown, [edge, [(links, "host", 3.0), (connections, "host", 50.0)]].concat());
        let text = String::from_utf8(telemetry.render(super::super::exposition::Format::Text, None)).unwrap();
        for line in ["direction=\"to_host\"} 7", "direction=\"to_client\"} 9"] {
            assert!(text.contains(&format!("signalbox_relay_frames_total{{{line}\n")), "{line}");
        }
    }

    #[test]
    fn round_trips_are_a_histogram() {
        let telemetry = telemetry(Instant::now());
        for ms in [1, 3] {
            let fact = RelayFact::RoundTrip { router: "b".into(), took: Duration::from_millis(ms) };
            telemetry.relay(&fact, telemetry.started);
        }
        telemetry.relay_round_trips(|total| assert_eq!((total.count(), total.sum()), (2, Duration::from_millis(4))));
    }
}
