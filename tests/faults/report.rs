//! What was seen of each fault, what of it breaks a demand, and both as a table and as JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    apart::Outcome,
    comers::Tally,
    fault::Fault,
    keeping::Marks,
    ledger::{Counts, Ended, SIZE},
    load,
};

/// P99 while a fault lasts may be so many times what it was before, or so much more.
const P99_TIMES: f64 = 1.2;
const P99_MORE: Duration = Duration::from_millis(5);
/// What a fleet may take to be one again.
const CONVERGES_MAX: Duration = Duration::from_secs(20);
/// After which everybody who was carried over a silent link has heard that it is lost.
const FOUND_MAX: Duration = Duration::from_millis(4_500);

/// One run of one fault.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) counts: Counts,
    pub(crate) doubled: u64,
    pub(crate) disordered: u64,
    pub(crate) closed: Vec<Ended>,
    /// How long after the fault began the last of these ended.
    pub(crate) found: Option<Duration>,
    /// And the last one of them was back, where a link was lost.
    pub(crate) back: Option<Duration>,
    /// Of those, how many came back by a resume, and how many found their session gone.
    pub(crate) resumed: u64,
    pub(crate) gone: u64,
    /// Of the lost ones, those that had stood long enough before the fault to be written, or came after it.
    pub(crate) lost_although_written: u64,
    /// P99 within one router.
    pub(crate) before: Duration,
    pub(crate) during: Duration,
    /// The same in rooms whose members are connected to several, where there are any.
    pub(crate) carried: Option<[Duration; 2]>,
    pub(crate) tally: Tally,
    /// Or why not.
    pub(crate) converged: Result<Duration, String>,
    /// How many calls, streams and watches of each router failed meanwhile.
    pub(crate) troubles: Vec<f64>,
    /// What each router said of etcd when the fault was about to end.
    pub(crate) whys: Vec<Option<String>>,
    pub(crate) compactions: f64,
    /// Rooms that each router gave up, those of visitors included.
    pub(crate) given_up: Vec<f64>,
    /// What Redis shows of it.
    pub(crate) marks: Marks,
    pub(crate) outcome: Option<Outcome>,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        let within = |time: Option<Duration>| {
            time.map_or_else(String::new, |time| format!(" within {:.1} s", time.as_secs_f64()))
        };
        format!(
            "closed {}{}, resumed {}{}, acknowledged {}, lost {}, doubled {}, P99 {:.1} ms, then {:.1} ms{}, {}",
            self.closed.len(),
            within(self.found),
            self.resumed,
            within(self.back),
            self.counts.acknowledged,
            self.counts.lost,
            self.doubled,
            ms(self.before),
            ms(self.during),
            self.carried.map_or_else(String::new, |[before, during]| {
                format!(" ({:.1}, {:.1} between routers)", ms(before), ms(during))
            }),
            match &self.converged {
                Ok(took) => format!("converged after {:.1} s", took.as_secs_f64()),
                Err(why) => format!("NOT converged: {why}"),
            }
        )
    }

    /// Of what holds in each single run.
    fn complaints(&self, fault: Fault, busy: bool) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut demand = |holds: bool, what: String| {
            if !holds {
                complaints.push(format!("{}: {what}", fault.name()));
            }
        };
        let Counts { acknowledged, lost, refused, unanswered } = self.counts;
        demand(acknowledged > 0, "nothing was acknowledged".to_owned());
        if fault == Fault::RouterKilled {
            let (closed, resumed, gone) = (self.closed.len(), self.resumed, self.gone);
            // a router that gets no time is silent: its rooms may move once more
            let each = load::ROOMS * SIZE;
            demand(closed == each || (busy && closed > each), format!("sessions were closed: {:?}", self.closed));
            demand(
                resumed as usize == closed && gone == 0,
                format!("of {closed} sessions {resumed} resumed, {gone} were gone"),
            );
            let late = self.lost_although_written;
            demand(late == 0, format!("{late} acknowledged messages were lost that had time to be written"));
        } else {
            demand(self.closed_as_it_may(fault), format!("sessions were closed: {:?}", self.closed));
            let (resumed, gone) = (self.resumed, self.gone);
            demand(gone == 0, format!("{resumed} resumed, {gone} were gone"));
            demand(lost == 0, format!("{lost} acknowledged messages were lost"));
        }
        let found = self.found.unwrap_or_default();
        demand(fault != Fault::LinksSilent || found <= FOUND_MAX, format!("it was found after {found:?}"));
        if fault.is_of_links() && !fault.loses_links() {
            let Tally { refused, apart, closed, .. } = &self.tally;
            demand(refused.is_empty() && closed.is_empty(), format!("visitors: {refused:?}, {closed:?}"));
            demand(*apart == 0, format!("{apart} times two did not meet"));
        }
        demand(unanswered == 0, format!("{unanswered} messages were not answered"));
        // a machine that others use as well may be too slow for `signal.timeout_ms`
        let may_refuse = busy || fault.refuses_changes();
        demand(refused == 0 || may_refuse, format!("{refused} messages were refused"));
        demand(refused > 0 || !fault.refuses_changes(), "none was refused: there was somewhere to keep it".to_owned());
        demand(self.doubled == 0, format!("{} messages were doubled", self.doubled));
        demand(self.disordered == 0, format!("{} messages were out of order", self.disordered));
        match &self.converged {
            Ok(took) => demand(*took <= CONVERGES_MAX, format!("it took {took:?} to converge")),
            Err(why) => demand(false, format!("did not converge: {why}")),
        }
        for router in fault.struck() {
            demand(self.troubles[*router] > 0.0, format!("r{} noticed nothing of it", router + 1));
        }
        let names_it = |why: &Option<String>| why.as_ref().is_some_and(|why| why.contains("ertificate"));
        demand(
            !fault.is_of_certificates() || self.whys.iter().all(names_it),
            format!("no certificate: {:?}", self.whys),
        );
        demand(fault != Fault::Compacted || self.compactions > 0.0, "nobody read anew for a compaction".to_owned());
        let Marks { lacked, moved, asked, later } = self.marks;
        demand(!fault.is_a_failover() || lacked > 0, "the replica had heard all".to_owned());
        let met = [moved, asked, later].iter().all(|times| *times > 0);
        demand(fault != Fault::SlotsMoved || met, format!("no write met a slot that moves: {:?}", self.marks));
        if let Some(outcome) = &self.outcome {
            let (made_way, sent_on) = (outcome.made_way(), outcome.sent_on);
            let all = !fault.has_two_of_one_name() || sent_on == made_way;
            demand(all, format!("{made_way} rooms made way, {sent_on} guests were sent on and let in"));
            demand(outcome.complaints.is_empty(), format!("{:?}", outcome.complaints));
        }
        complaints
    }
}

impl Seen {
    /// Nobody, but who was carried over a link that was lost, and each of them once and back.
    fn closed_as_it_may(&self, fault: Fault) -> bool {
        let carried = if fault.loses_links() { load::carried_to(0) } else { BTreeSet::new() };
        let closed: BTreeSet<_> = self.closed.iter().map(|ended| (ended.room.clone(), ended.member)).collect();
        closed == carried && self.closed.len() == carried.len() && self.resumed as usize == carried.len()
    }
}

/// All runs of one fault.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: Fault,
    pub(crate) seen: Vec<Seen>,
}

impl Row {
    /// What is broken; of the latency only if the machine was there for it: with some runs, by their medians.
    pub(crate) fn complaints(&self, p99_more: Option<Duration>) -> Vec<String> {
        let busy = p99_more.is_some();
        let mut complaints: Vec<_> = self.seen.iter().flat_map(|seen| seen.complaints(self.fault, busy)).collect();
        let (before, during) = (self.before(), self.during());
        let allowed = match p99_more {
            Some(more) => before + more,
            None => before.mul_f64(P99_TIMES).max(before + P99_MORE),
        };
        // who has to find another router waits for one
        if during > allowed && self.fault != Fault::RouterKilled {
            complaints.push(format!("{}: P99 was {during:?}, before it {before:?}", self.fault.name()));
        }
        complaints
    }

    fn before(&self) -> Duration {
        median(self.seen.iter().map(|seen| seen.before))
    }

    fn during(&self) -> Duration {
        median(self.seen.iter().map(|seen| seen.during))
    }

    fn sum(&self, of: impl Fn(&Seen) -> u64) -> u64 {
        self.seen.iter().map(of).sum()
    }

    /// Median and longest; absent: once it did not.
    fn converged(&self) -> Option<(Duration, Duration)> {
        let took: Option<Vec<_>> = self.seen.iter().map(|seen| seen.converged.clone().ok()).collect();
        let took = took?;
        Some((median(took.iter().copied()), took.iter().max().copied()?))
    }

    fn made_way(&self) -> u64 {
        self.sum(|seen| seen.outcome.as_ref().map_or(0, Outcome::made_way) as u64)
    }

    fn sent_on(&self) -> u64 {
        self.sum(|seen| seen.outcome.as_ref().map_or(0, |outcome| outcome.sent_on) as u64)
    }

    /// P99 in rooms whose members are connected to several routers, before and during.
    fn carried(&self) -> Option<[f64; 2]> {
        let seen: Option<Vec<_>> = self.seen.iter().map(|seen| seen.carried).collect();
        let seen = seen?;
        Some([0, 1].map(|at| ms(median(seen.iter().map(|times| times[at])))))
    }

    /// By the reason, of all runs.
    fn by_reason(&self, of: impl Fn(&Tally) -> &BTreeMap<String, u64>) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (why, count) in self.seen.iter().flat_map(|seen| of(&seen.tally)) {
            *all.entry(why.as_str()).or_default() += count;
        }
        all
    }

    fn refused(&self) -> BTreeMap<&str, u64> {
        self.by_reason(|tally| &tally.refused)
    }

    fn slowest(&self) -> Duration {
        self.seen.iter().map(|seen| seen.tally.slowest).max().unwrap_or_default()
    }

    fn cells(&self, complaints: &[String]) -> Vec<String> {
        let joins = self.sum(|seen| seen.tally.joins);
        let refused: u64 = self.refused().values().sum();
        vec![
            self.fault.what().to_owned(),
            self.sum(|seen| seen.closed.len() as u64).to_string(),
            self.sum(|seen| seen.resumed).to_string(),
            self.sum(|seen| seen.counts.acknowledged).to_string(),
            self.sum(|seen| seen.counts.lost).to_string(),
            self.sum(|seen| seen.doubled + seen.disordered).to_string(),
            format!("{:.1} / {:.1} ms", ms(self.before()), ms(self.during())),
            format!("{refused} of {joins}"),
            format!("{:.0} ms", ms(self.slowest())),
            self.converged().map_or("never".to_owned(), |(median, longest)| {
                format!("{:.1} s, {:.1}", median.as_secs_f64(), longest.as_secs_f64())
            }),
            self.made_way().to_string(),
            self.sent_on().to_string(),
            if complaints.is_empty() { "holds".to_owned() } else { "BROKEN".to_owned() },
        ]
    }

    fn json(&self, complaints: &[String]) -> Value {
        let outcome = |seen: &Seen| {
            let outcome = seen.outcome.as_ref()?;
            let of = |[r1, r2]: [usize; 2]| json!({ "r1": r1, "r2": r2 });
            Some(json!({ "rooms_r1_had": of(outcome.had), "rooms_made_meanwhile": of(outcome.made) }))
        };
        let redis = |seen: &Seen| {
            let Marks { lacked, moved, asked, later } = seen.marks;
            (seen.marks != Marks::default())
                .then(|| json!({ "replica_lacked_bytes": lacked, "moved": moved, "ask": asked, "tryagain": later }))
        };
        let run = |seen: &Seen| {
            json!({
                "p99_before_ms": ms(seen.before),
                "p99_during_ms": ms(seen.during),
                "converged_seconds": seen.converged.as_ref().ok().map(Duration::as_secs_f64),
                "troubles_by_router": seen.troubles,
                "told_by_router": seen.whys,
                "rooms_given_up_by_router": seen.given_up,
                "redis": redis(seen),
                "gave_way": outcome(seen),
                "sent_on": seen.outcome.as_ref().map(|outcome| outcome.sent_on),
                "back_seconds": seen.back.map(|back| back.as_secs_f64()),
                "found_seconds": seen.found.map(|found| found.as_secs_f64()),
            })
        };
        json!({
            "fault": self.fault.name(),
            "what": self.fault.what(),
            "sessions_closed": self.sum(|seen| seen.closed.len() as u64),
            "sessions_resumed": self.sum(|seen| seen.resumed),
            "sessions_gone": self.sum(|seen| seen.gone),
            "acknowledged": self.sum(|seen| seen.counts.acknowledged),
            "lost": self.sum(|seen| seen.counts.lost),
            "lost_although_written": self.sum(|seen| seen.lost_although_written),
            "doubled": self.sum(|seen| seen.doubled),
            "out_of_order": self.sum(|seen| seen.disordered),
            "refused": self.sum(|seen| seen.counts.refused),
            "unanswered": self.sum(|seen| seen.counts.unanswered),
            "p99_before_ms": ms(self.before()),
            "p99_during_ms": ms(self.during()),
            "p99_carried_ms": self.carried(),
            "joins": self.sum(|seen| seen.tally.joins),
            "joins_refused": self.refused(),
            "joins_apart": self.sum(|seen| seen.tally.apart),
            "visitors_closed": self.sum(|seen| seen.tally.closed.values().sum()),
            "visitors_closed_by_reason": self.by_reason(|tally| &tally.closed),
            "slowest_join_ms": ms(self.slowest()),
            "converged_seconds": self.converged().map(|(median, _)| median.as_secs_f64()),
            "converged_seconds_longest": self.converged().map(|(_, longest)| longest.as_secs_f64()),
            "rooms_that_made_way": self.made_way(),
            "guests_sent_on": self.sent_on(),
            "broken": complaints,
            "runs": self.seen.iter().map(run).collect::<Vec<_>>(),
        })
    }
}

/// For eyes.
pub(crate) fn table(rows: &[(Row, Vec<String>)]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN).set_header([
        "fault",
        "closed",
        "resumed",
        "acknowledged",
        "lost",
        "doubled, disordered",
        "P99 before / during",
        "joins refused",
        "slowest",
        "converged, longest",
        "made way",
        "guests sent on",
        "",
    ]);
    for (row, complaints) in rows {
        table.add_row(row.cells(complaints));
    }
    table.to_string()
}

/// For programs.
pub(crate) fn json(rows: &[(Row, Vec<String>)]) -> Value {
    json!({ "rows": rows.iter().map(|(row, complaints)| row.json(complaints)).collect::<Vec<_>>() })
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}
