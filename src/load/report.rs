//! The outcome of a run: latencies, rates, losses, what the server used, and whether it held.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{
    client::Transport,
    measure::Quantiles,
    media::MediaUse,
    overload::Overload,
    router_side::RouterView,
    run::Run,
    seconds::{self, SecondOfRun},
};
use crate::protocol::Encoding;

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// What the participants did.
    pub scenario: &'static str,
    /// `ws` or `grpc`.
    pub transport: &'static str,
    /// `json` or `protobuf`.
    pub encoding: &'static str,
    /// Rooms.
    pub rooms: usize,
    /// Participants of a room.
    pub size: usize,
    /// Messages a second of each participant, or arrivals a second.
    pub rate: f64,
    /// Length of the traffic.
    pub seconds: f64,
    /// Latencies by what was measured.
    pub latencies: Vec<Quantiles>,
    /// Sessions that joined.
    pub joined: u64,
    /// Messages and signals that were sent.
    pub sent: u64,
    /// Payloads that had to arrive: each sent one at each of its recipients.
    pub expected: u64,
    /// Payloads that arrived, each counted once.
    pub delivered: u64,
    /// Payloads that arrived, a second.
    pub delivered_per_second: f64,
    /// Payloads that never arrived.
    pub lost: u64,
    /// Payloads that arrived again, or where they should not.
    pub doubled: u64,
    /// Payloads that arrived after a later one of their sender.
    pub out_of_order: u64,
    /// Requests made, joins and resumes included.
    pub requests: u64,
    /// Requests that got no reply.
    pub unanswered: u64,
    /// Resumes that brought what was missed.
    pub resumed: u64,
    /// Resumes that had to begin from a snapshot.
    pub snapshots: u64,
    /// How often a participant went to another router: closed or advised to, or because its connection was lost.
    pub moved: u64,
    /// Participants that did so at all.
    pub sessions_moved: u64,
    /// Resumes that were refused because the session was gone: whoever it was of joined anew.
    pub sessions_lost: u64,
    /// Joins and resumes that a router sent on to the one that has the room.
    pub sent_on: u64,
    /// What became of the rooms' media; absent: no participant of the scenario looks.
    pub media: Option<MediaUse>,
    /// The run second by second.
    pub seconds_of_run: Vec<SecondOfRun>,
    /// Whether the report for people shows it.
    #[serde(skip)]
    pub by_second: bool,
    /// Joins and resumes that were refused and tried again, by code: those that a router shed or that another router had to answer.
    /// Whoever did not get in at last is among the refused, too.
    pub retried: BTreeMap<String, u64>,
    /// Refusals and failures by code.
    pub refused: BTreeMap<String, u64>,
    /// The first different ones in words.
    pub examples: Vec<String>,
    /// CPU and memory of the server, when its process was named.
    pub server: Option<ServerUse>,
    /// CPU time of this generator, seconds.
    pub generator_cpu_seconds: f64,
    /// Steps of offered load, of the scenario that has them.
    pub overload: Option<Overload>,
    /// The router's own view of the same time, when it was asked and told.
    pub router: Option<RouterView>,
    /// Why it did not tell.
    pub router_silent: Option<String>,
}

/// What the server used while traffic was offered.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServerUse {
    /// CPU time, seconds.
    pub cpu_seconds: f64,
    /// CPU time for one delivery, or for one join where nothing was delivered, microseconds.
    pub cpu_us_each: f64,
    /// Resident memory before the traffic, KiB; of `idle` before the first connection.
    pub resident_before_kib: u64,
    /// Resident memory at its end, KiB.
    pub resident_after_kib: u64,
    /// Growth for one session that joined, KiB.
    pub resident_kib_each: f64,
}

impl Report {
    pub(crate) fn of(run: &Run, latencies: Vec<Quantiles>, seconds_of_run: Vec<SecondOfRun>) -> Self {
        let options = &run.options;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let counts = &run.counts;
        let marks = run.marks();
        let seconds = marks.map_or(0.0, |(begun, ended)| (ended.at - begun.at).as_secs_f64());
        let (delivered, joined) = (count(&counts.delivered), count(&counts.joined));
        Self {
            scenario: options.scenario.name(),
            transport: if run.routers.of(0).transport() == Transport::Ws { "ws" } else { "grpc" },
            encoding: if run.routers.of(0).encoding() == Encoding::Json { "json" } else { "protobuf" },
            rooms: options.rooms,
            size: options.size,
            rate: options.rate,
            seconds,
            latencies,
            joined,
            sent: count(&counts.sent),
            expected: count(&counts.expected),
            delivered,
            delivered_per_second: if seconds > 0.0 { delivered as f64 / seconds } else { 0.0 },
            lost: count(&counts.lost),
            doubled: count(&counts.doubled),
            out_of_order: count(&counts.out_of_order),
            requests: count(&counts.requests),
            unanswered: count(&counts.unanswered),
            resumed: count(&counts.resumed),
            snapshots: count(&counts.snapshots),
            moved: count(&counts.moved),
            sessions_moved: count(&counts.sessions_moved),
            sessions_lost: count(&counts.sessions_lost),
            sent_on: run.routers.sent_on(),
            media: run.media.used(),
            seconds_of_run,
            by_second: options.by_second,
            retried: run.retries(),
            refused: run.refusals(),
            examples: run.examples(),
            server: marks.and_then(|(begun, ended)| {
                let (before, after) = (begun.server?, ended.server?);
                let each = if delivered > 0 { delivered } else { joined }.max(1) as f64;
                let cpu_seconds = after.cpu.saturating_sub(before.cpu).as_secs_f64();
                let grown = after.resident_kib as f64 - before.resident_kib as f64;
                Some(ServerUse {
                    cpu_seconds,
                    cpu_us_each: cpu_seconds * 1e6 / each,
                    resident_before_kib: before.resident_kib,
                    resident_after_kib: after.resident_kib,
                    resident_kib_each: grown / joined.max(1) as f64,
                })
            }),
            generator_cpu_seconds: marks
                .map_or(0.0, |(begun, ended)| ended.generator.cpu.saturating_sub(begun.generator.cpu).as_secs_f64()),
            overload: run.overload(),
            router: None,
            router_silent: None,
        }
    }

    /// The latencies of that name.
    pub fn latency(&self, name: &str) -> Option<&Quantiles> {
        self.latencies.iter().find(|quantiles| quantiles.name == name)
    }

    /// What did not hold, in words; empty when the run is good. `p99_max_ms` bounds every measure's P99.
    /// `goodput_min_percent` is of the peak, and for each step of offered load.
    pub fn failures(&self, p99_max_ms: Option<f64>, goodput_min_percent: Option<f64>) -> Vec<String> {
        if let Some(overload) = &self.overload {
            // there, refusals are what is looked at
            return overload.failures(p99_max_ms, goodput_min_percent.map(|percent| percent / 100.0));
        }
        let mut failures = Vec::new();
        let media = |count: fn(&MediaUse) -> u64| self.media.as_ref().map_or(0, count);
        for (count, what) in [
            (self.lost, "lost"),
            (self.doubled, "doubled"),
            (self.out_of_order, "out of order"),
            (self.unanswered, "requests unanswered"),
            (self.refused.values().sum(), "refused or failed"),
            (media(|media| media.untold), "not told of a media node"),
            (media(|media| media.told_twice), "told twice of a media node"),
            (media(|media| media.without), "left without a media node"),
        ] {
            if count > 0 {
                failures.push(format!("{count} {what}"));
            }
        }
        if self.joined == 0 {
            failures.push("nobody joined".to_owned());
        } else if self.scenario != "idle" && self.latencies.is_empty() {
            failures.push("nothing was measured".to_owned());
        }
        let late = |quantiles: &&Quantiles| p99_max_ms.is_some_and(|allowed| quantiles.p99_ms > allowed);
        for quantiles in self.latencies.iter().filter(late) {
            let (name, p99, allowed) = (quantiles.name, quantiles.p99_ms, p99_max_ms.unwrap_or_default());
            failures.push(format!("P99 of {name} is {p99:.2} ms, allowed {allowed:.2} ms"));
        }
        failures
    }

    /// The client's P99 and the router's own: what lies between is sockets, scheduling, and the generator itself. Whether
    /// both are about the same is told by their counts.
    fn both_sides(&self, router: &RouterView) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header([
            &format!("router's last {} s", router.window_seconds),
            "client counts",
            "router counts",
            "client's P99, ms",
            "router's P99, ms",
            "between, ms",
        ]);
        for row in &router.measures {
            let Some(client) = self.latency(row.name) else { continue };
            table.add_row([
                row.name.to_owned(),
                client.count.to_string(),
                row.count.to_string(),
                format!("{:.2}", client.p99_ms),
                format!("{:.2}", row.p99_ms),
                format!("{:.2}", client.p99_ms - row.p99_ms),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} over {} ({}): {} rooms x {}, rate {}, {:.1} s\n\n",
            self.scenario, self.transport, self.encoding, self.rooms, self.size, self.rate, self.seconds,
        );
        if let Some(overload) = &self.overload {
            text.push_str(&format!("{}\n", overload.to_text()));
        } else if !self.latencies.is_empty() {
            text.push_str(&format!("{}\n\n", latency_table(&self.latencies)));
        }
        if let Some(router) = &self.router {
            text.push_str(&format!("{}\n\n", self.both_sides(router)));
        }
        if self.by_second {
            text.push_str(&format!("{}\n\n", seconds::table(&self.seconds_of_run)));
        }
        let mut line = |text_of: String| {
            text.push_str(&text_of);
            text.push('\n');
        };
        line(format!(
            "joined       {} sessions, {} requests, {} unanswered",
            self.joined, self.requests, self.unanswered
        ));
        if self.expected > 0 {
            line(format!(
                "delivered    {} of {} expected ({:.0} a second), {} sent",
                self.delivered, self.expected, self.delivered_per_second, self.sent
            ));
            line(format!("lost         {}", self.lost));
            line(format!("doubled      {}", self.doubled));
            line(format!("out of order {}", self.out_of_order));
        }
        if self.sent_on > 0 {
            line(format!("sent on      {} joins and resumes, to the router that has their room", self.sent_on));
        }
        if self.resumed + self.snapshots > 0 {
            line(format!("resumed      {} with what was missed, {} from a snapshot", self.resumed, self.snapshots));
        }
        if self.moved + self.sessions_lost > 0 {
            line(format!(
                "moved on     {} closes, losses and advice followed, by {} sessions, {} lost the session",
                self.moved, self.sessions_moved, self.sessions_lost
            ));
        }
        self.media.iter().filter(|media| media.is_any()).flat_map(MediaUse::lines).for_each(&mut line);
        for (reason, count) in &self.retried {
            line(format!("tried again  {count} joins and resumes: {reason}"));
        }
        for (reason, count) in &self.refused {
            line(format!("refused      {count} {reason}"));
        }
        for example in &self.examples {
            line(format!("             e.g. {example}"));
        }
        if let Some(server) = &self.server {
            line(format!("server       {}", server.to_text()));
        }
        line(format!("generator    {:.2} s CPU", self.generator_cpu_seconds));
        if let Some(why) = &self.router_silent {
            line(format!("router       {why}"));
        }
        text
    }
}

impl ServerUse {
    fn to_text(&self) -> String {
        format!(
            "{:.2} s CPU ({:.2} us each), memory {} -> {} KiB ({:.2} KiB a session)",
            self.cpu_seconds,
            self.cpu_us_each,
            self.resident_before_kib,
            self.resident_after_kib,
            self.resident_kib_each
        )
    }
}

/// Latencies as a table.
pub fn latency_table(latencies: &[Quantiles]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["ms", "count", "P50", "P90", "P99", "P99.9", "max"]);
    for quantiles in latencies {
        let ms = |value: f64| format!("{value:.2}");
        table.add_row([
            quantiles.name.to_owned(),
            quantiles.count.to_string(),
            ms(quantiles.p50_ms),
            ms(quantiles.p90_ms),
            ms(quantiles.p99_ms),
            ms(quantiles.p999_ms),
            ms(quantiles.max_ms),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::router_side::RouterSide;

    fn good() -> Report {
        let row = Quantiles { name: "delivery", count: 10, p99_ms: 2.0, ..Quantiles::default() };
        Report { scenario: "fanout", joined: 2, latencies: vec![row], ..Report::default() }
    }

    #[test]
    fn a_run_that_held_has_no_failures() {
        assert!(good().failures(None, None).is_empty());
        assert!(good().failures(Some(2.0), None).is_empty());
        let retried = [("overloaded".to_owned(), 3)].into();
        assert!(Report { retried, ..good() }.failures(None, None).is_empty(), "they got in");
    }

    #[test]
    fn whatever_went_wrong_is_a_failure() {
        type Change = fn(&mut Report);
        let cases: [(Change, &str); 7] = [
            (|r| r.lost = 1, "1 lost"),
            (|r| r.doubled = 2, "2 doubled"),
            (|r| r.out_of_order = 3, "3 out of order"),
            (|r| r.unanswered = 4, "4 requests unanswered"),
            (|r| r.refused.extend([("room_full".to_owned(), 5)]), "5 refused or failed"),
            (|r| r.joined = 0, "nobody joined"),
            (|r| r.latencies.clear(), "nothing was measured"),
        ];
        for (change, named) in cases {
            let mut report = good();
            change(&mut report);
            assert_eq!(report.failures(None, None), [named]);
        }
        assert_eq!(good().failures(Some(1.5), None), ["P99 of delivery is 2.00 ms, allowed 1.50 ms"]);
    }

    #[test]
    fn the_text_shows_both_sides_or_why_there_is_only_one() {
        let mut report = good();
        assert!(!report.to_text().contains("router"));
        let measures = vec![RouterSide { name: "delivery", count: 12, p50_ms: 0.5, p99_ms: 0.75 }];
        report.router = Some(RouterView { window_seconds: 3, measures });
        let text = report.to_text();
        let row: Vec<_> = text.lines().filter(|line| line.contains("delivery")).nth(1).unwrap().split('|').collect();
        let cells: Vec<_> = row.iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells, ["delivery", "10", "12", "2.00", "0.75", "1.25"], "{text}");
        assert!(text.contains("router's last 3 s"), "{text}");
        report.router_silent = Some("nobody there".to_owned());
        assert!(report.to_text().contains("router       nobody there"));
    }

    #[test]
    fn the_text_names_losses_and_refusals() {
        let mut report = good();
        report.expected = 10;
        report.lost = 3;
        report.refused.insert("room_full".to_owned(), 5);
        report.retried.insert("overloaded".to_owned(), 7);
        let text = report.to_text();
        for part in ["lost         3", "5 room_full", "7 joins and resumes: overloaded", "delivery", "P99.9"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
