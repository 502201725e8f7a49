//! The table of faults: three routers of a fleet on a real etcd, and on a real Redis that they keep their rooms in, under a steady load
//! within rooms, and what each fault of these, of the network to them and between routers that carry each other's clients, and of a
//! router costs who is there. `make faults` takes all of them; the tests take four, once.
//!
//! A program of its own, so that nothing else runs meanwhile: latencies are compared.

#![allow(clippy::print_stdout)] // what a person watches
#![allow(clippy::print_stderr)] // a failed test shows what it saw
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod apart;
mod comers;
#[path = "../it/directory/etcd.rs"]
#[allow(dead_code)] // the black-box tests use all of it
mod etcd;
mod fault;
mod fleet;
mod guests;
#[path = "../it"]
#[allow(dead_code, unused_imports)] // the black-box tests use all of it
mod it {
    pub(crate) mod harness;
    pub(crate) mod fabric {
        pub(crate) mod redis;
        pub(crate) mod servers;
    }
}
mod keeping;
mod ledger;
mod load;
mod proxy;
mod report;

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use self::{
    comers::Visits,
    fault::{Fault, Ground},
    fleet::Fleet,
    guests::Guests,
    it::harness,
    ledger::Mark,
    load::Load,
    report::{Row, Seen},
};

/// What is run, and how strictly it is judged.
struct Plan {
    faults: Vec<Fault>,
    runs: usize,
    /// How long the load runs before a fault, and how long the fault lasts.
    before: Duration,
    during: Duration,
    /// What P99 may be more; absent: as much as the demand says.
    p99_more: Option<Duration>,
}

impl Plan {
    /// As the environment says: `FAULTS_RUNS` for the whole table, `FAULTS_ONLY` for one row of it.
    fn of_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(runs) = variable("FAULTS_RUNS") else {
            return Self {
                faults: Fault::SHORT.to_vec(),
                runs: 1,
                before: Duration::from_secs(1),
                during: Duration::from_millis(2_500),
                // other programs may run on this machine
                p99_more: Some(Duration::from_millis(500)),
            };
        };
        let mut faults = Fault::ALL.to_vec();
        if let Some(only) = variable("FAULTS_ONLY") {
            let of_it = |name: &str| name == only || name.strip_prefix(&only).is_some_and(|rest| rest.starts_with('-'));
            faults.retain(|fault| of_it(fault.name()));
            let names = Fault::ALL.map(Fault::name).join(", ");
            assert!(!faults.is_empty(), "FAULT is one of {names}, or how several of them begin");
        }
        let runs = runs.parse().ok().filter(|runs| (1..=50).contains(runs)).expect("RUNS is 1 to 50");
        Self { faults, runs, before: Duration::from_secs(3), during: Duration::from_secs(5), p99_more: None }
    }
}

/// What was said so long before stands where rooms are kept: gathered for 50 ms (`redis.write_ms`), and written.
const WRITTEN_WITHIN: Duration = Duration::from_millis(250);

/// A fleet with people on it.
struct Stage {
    // dropped first: nobody is there when the routers go
    visits: Visits,
    load: Load,
    fleet: Fleet,
}

impl Stage {
    async fn start(ground: Ground) -> Self {
        let mut fleet = Fleet::start(ground).await;
        let load = Load::start(&fleet.routers, ground == Ground::Links).await;
        let visits = Visits::start(&fleet.routers);
        fleet.keeping.arrange().await;
        fleet.converged(Instant::now(), true).await.unwrap_or_else(|why| panic!("no fleet: {why}"));
        Self { visits, load, fleet }
    }

    /// What stands in the ledger; latencies are forgotten.
    fn noted(&self) -> (Mark, u64, u64, usize, u64, u64) {
        let mut ledger = self.load.ledger();
        ledger.forget();
        (ledger.mark(), ledger.doubled, ledger.disordered, ledger.closed.len(), ledger.resumed, ledger.gone)
    }

    /// Until it has lasted long enough; how long it took until nothing was left of one that nobody has to end.
    async fn lasts(&self, fault: Fault, begun: Instant, during: Duration) -> Option<Result<Duration, String>> {
        let rest = fault.lasts(during).saturating_sub(begun.elapsed());
        let mending = async { if fault.mends_itself() { Some(self.fleet.converged(begun, true).await) } else { None } };
        tokio::join!(mending, tokio::time::sleep(rest)).0
    }

    /// One fault, from the quiet before it until the fleet is one again.
    async fn run(&mut self, fault: Fault, number: usize, plan: &Plan) -> Seen {
        let mut guests = Guests::before(fault, &self.fleet, number).await;
        let (troubles, compactions) = (self.fleet.troubles(fault).await, self.fleet.compactions().await);
        let given_up = self.fleet.given_up().await;
        self.visits.take();
        let (from, doubled, disordered, closed, resumed, gone) = self.noted();
        let quiet = Instant::now();
        tokio::time::sleep(plan.before).await;
        let known = fault.prepare(&self.fleet).await;
        let begun = Instant::now();
        let marks = fault.begin(&mut self.fleet, known).await;
        let struck = Instant::now();
        guests.meanwhile(&self.fleet).await;
        let mended = self.lasts(fault, begun, plan.during).await;
        // a router that is not there has nothing to say
        let (seen_troubles, whys) = match fault.struck() {
            [] => (troubles.clone(), Vec::new()),
            _ => (self.fleet.troubles(fault).await, self.fleet.whys(fault).await),
        };
        let ending = Instant::now();
        fault.end(&mut self.fleet).await;
        let ended = Instant::now();
        let outcome = guests.after(&self.fleet).await;
        let converged = self.fleet.converged(ended, true).await;
        // it is over when the fleet is one again without anybody's help, and stays so
        let converged = mended.unwrap_or_else(|| converged.clone()).and_then(|took| converged.map(|_| took));
        let to = self.load.ledger().mark();
        let counts = self.load.settled(&from, &to).await;
        let less = |now: Vec<f64>, then: &[f64]| now.iter().zip(then).map(|(now, then)| now - then).collect();
        let given_up = less(self.fleet.given_up().await, &given_up);
        let compactions = self.fleet.compactions().await - compactions;
        let written = begun.checked_sub(WRITTEN_WITHIN).unwrap_or(begun);
        let ledger = self.load.ledger();
        let closed = ledger.closed[closed..].to_vec();
        let p99 =
            |rooms: Range<usize>| Some([ledger.p99(rooms.clone(), quiet, begun)?, ledger.p99(rooms, begun, ending)?]);
        // they may be longer about it than the routers
        let back = ledger.back.filter(|_| fault.is_of_links());
        let late = back.map_or(Duration::ZERO, |back| back.saturating_duration_since(ended));
        let [before, during] = p99(load::LOCAL).unwrap();
        Seen {
            counts,
            doubled: ledger.doubled - doubled,
            disordered: ledger.disordered - disordered,
            found: closed.iter().map(|ended| ended.at.saturating_duration_since(begun)).max(),
            back: back.map(|back| back.saturating_duration_since(begun)),
            closed,
            resumed: ledger.resumed - resumed,
            gone: ledger.gone - gone,
            lost_although_written: ledger
                .lost(&from, &to)
                .iter()
                .filter(|due| !(written..struck).contains(*due))
                .count() as u64,
            before,
            during,
            carried: p99(load::SPREAD),
            tally: self.visits.take(),
            converged: converged.map(|took| took.max(late)),
            troubles: less(seen_troubles, &troubles),
            whys,
            compactions,
            given_up,
            marks,
            outcome,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_fault_costs_no_session_and_nothing_that_was_acknowledged() {
    let (plan, begun) = (Plan::of_environment(), Instant::now());
    let say = |text: &str| println!("{:6.1} s  {text}", begun.elapsed().as_secs_f64());
    say("three routers, an etcd, a Redis, a load within rooms and a trickle of joins");
    let mut rows: Vec<_> = plan.faults.iter().map(|fault| Row { fault: *fault, seen: Vec::new() }).collect();
    for ground in Ground::ALL {
        let mut stage = None;
        for run in 1..=plan.runs {
            for row in rows.iter_mut().filter(|row| row.fault.ground() == ground) {
                say(&format!("run {run} of {}: {}", plan.runs, row.fault.what()));
                let on = match &mut stage {
                    Some(stage) => stage,
                    none => none.insert(Stage::start(ground).await),
                };
                let seen = on.run(row.fault, run, &plan).await;
                say(&format!("  {}", seen.line()));
                row.seen.push(seen);
                if row.fault.leaves_marks() {
                    stage = None;
                }
            }
        }
    }
    let judge = |row: Row| {
        let complaints = row.complaints(plan.p99_more);
        (row, complaints)
    };
    let rows: Vec<_> = rows.into_iter().map(judge).collect();
    println!("\n{}\n", report::table(&rows));
    if let Some(path) = std::env::var_os("FAULTS_JSON") {
        std::fs::write(path, format!("{:#}\n", report::json(&rows))).unwrap();
    }
    let complaints: Vec<_> = rows.iter().flat_map(|(_, complaints)| complaints.as_slice()).collect();
    complaints.iter().for_each(|complaint| println!("BROKEN  {complaint}"));
    assert!(complaints.is_empty(), "{} demands are broken", complaints.len());
}
