//! The whole way of a page, for real: a router, a load, a Prometheus and an Alertmanager with the shipped rules and routes
//! on a shortened clock. Each fault is injected, the right ones are told in time and told nothing else, what they are told
//! leads to the cause, and it is over when the fault is. `make watch` shows it to a person.
//!
//! A program of its own, so that nothing else runs meanwhile: whoever watches latencies wants the machine for itself.

#![allow(clippy::print_stdout)] // what a person watches
#![allow(clippy::print_stderr)] // a failed test shows what it saw
#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod causes;
mod expected;
mod history;
#[path = "../it"]
#[allow(dead_code, unused_imports)] // the black-box tests use all of it
mod it {
    pub(crate) mod harness;
}
mod links;
mod shipped;
mod shortened;
#[allow(dead_code)] // the tests beside the code use the rest of it
#[path = "../../src/io/otlp/tests/sink.rs"]
mod sink;
mod stack;
mod told;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{
    expected::{Cause, Meanwhile, Row, TABLE},
    it::harness,
    shipped::Shipped,
    stack::Stack,
    told::{Message, Way},
};

/// How much later than its `for` an alert may be told.
const LATE_MAX: Duration = Duration::from_secs(15);
/// For the windows of the longest alert to fill or to be empty again, and to be told of it.
const PATIENCE: Duration = Duration::from_secs(75);
/// How long nothing may be pending before the first fault.
const QUIET: Duration = Duration::from_secs(5);
/// A capture begins up to twenty seconds before its fault, and is compared with what was more than a minute before that.
const OLD_ENOUGH: Duration = Duration::from_secs(110);
/// How many faults of the table may be injected once more: what fell short once may be the machine, which others use as
/// well; what falls short twice is ours.
const AGAIN_MAX: usize = 2;
/// Always fires, and is told all the time.
const WATCHDOG: &str = "SignalboxWatchdog";

/// Of an alert's rule, on the shortened clock.
#[derive(Clone, Debug)]
struct Rule {
    pages: bool,
    lasts: Duration,
}

/// Of the alert of that name; of two rules, the one that is told first.
fn rule(alert: &str) -> Rule {
    let mut found = Vec::new();
    for Shipped { file, text, .. } in shipped::rule_files() {
        let content: Value = serde_saphyr::from_str(&file.shorten(&text).unwrap()).unwrap();
        for rule in shipped::rules(&content).iter().filter(|rule| rule["alert"] == alert) {
            let lasts = rule["for"].as_str().map_or(0, |text| text.trim_end_matches('s').parse().unwrap());
            found.push(Rule { pages: rule["labels"]["severity"] == "page", lasts: Duration::from_secs(lasts) });
        }
    }
    found.sort_by_key(|rule| rule.lasts);
    found.first().cloned().unwrap_or_else(|| panic!("no rule alerts with {alert}"))
}

/// What became of one fault.
struct Seen {
    row: &'static Row,
    told: Vec<Message>,
    lines: Vec<String>,
}

struct Watch {
    stack: Stack,
    begun: Instant,
    complaints: Vec<String>,
    /// What fell short before its fault was injected once more.
    once: Vec<String>,
    /// How many faults were injected once more.
    again: usize,
}

impl Watch {
    fn say(&self, text: &str) {
        println!("{:6.1} s  {text}", self.begun.elapsed().as_secs_f64());
    }

    fn complain(&mut self, complaint: String) {
        self.say(&format!("WRONG: {complaint}"));
        self.complaints.push(complaint);
    }

    /// Waits until the baseline has a band and nothing is pending for a while.
    async fn settle(&mut self) {
        let band = format!("op_region:signalbox_baseline_upper_seconds{{op=\"{}\"}}", stack::OP);
        let (since, mut quiet_since) = (Instant::now(), Instant::now());
        loop {
            let upper = self.stack.query(&band).await;
            let uneasy = self.uneasy().await;
            if !uneasy.is_empty() || upper.is_none() {
                quiet_since = Instant::now();
            }
            if quiet_since.elapsed() >= QUIET {
                let upper_ms = upper.unwrap_or_default() * 1e3;
                self.say(&format!("all is quiet; P99 of `{}` may be {upper_ms:.0} ms", stack::OP));
                return;
            }
            assert!(since.elapsed() < PATIENCE, "it does not become quiet: band {upper:?}, {uneasy:?}");
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// What is pending or fires, but for what always does and what slow minutes leave behind.
    async fn uneasy(&self) -> Vec<String> {
        let names = self.stack.alerts().await.into_iter().map(|alert| alert.name().to_owned());
        names.filter(|name| ![WATCHDOG, expected::LEAKING].contains(&name.as_str())).collect()
    }

    /// Injects that fault, and once more where it fell short the first time.
    async fn fault(&mut self, row: &'static Row) -> Seen {
        let before = self.complaints.len();
        let seen = self.injected(row, self.begun).await;
        if self.complaints.len() == before || self.again == AGAIN_MAX {
            return seen;
        }
        self.again += 1;
        let ended = Instant::now();
        self.once.extend(self.complaints.drain(before..));
        self.settle().await;
        self.say(&format!("FAULT {} is injected once more", row.fault));
        self.injected(row, ended).await
    }

    /// One fault, of which there was nothing since then.
    async fn injected(&mut self, row: &'static Row, since: Instant) -> Seen {
        if let Cause::Difference(_) = row.cause {
            self.grow_old(since).await;
        }
        let guarded = row.meanwhile == Meanwhile::Guarded;
        if guarded {
            self.stack.guard(true).await;
            self.say("the guard is on");
        }
        let _negotiating = match row.meanwhile {
            Meanwhile::Negotiating => Some(self.stack.negotiate().await),
            Meanwhile::Load | Meanwhile::Guarded => None,
        };
        let injected = Instant::now();
        self.stack.fault(row.fault).await;
        self.say(&format!("FAULT {} is injected", row.fault));
        let mut lines = Vec::new();
        let mut awaited = Vec::new();
        for one_of in row.wanted {
            if let Some((alert, line)) = self.told(row, one_of, injected).await {
                lines.push(line);
                awaited.push(alert);
            }
        }
        if let Cause::Difference(_) = row.cause {
            self.captured().await;
        }
        self.stack.fault("off").await;
        let ended = Instant::now();
        self.say(&format!("FAULT {} has ended", row.fault));
        if guarded {
            self.stack.guard(false).await;
        }
        for (alert, line) in awaited.iter().zip(&mut lines) {
            line.push_str(&self.over(alert, ended).await);
        }
        self.calm(ended).await;
        let told = self.stack.on_call.since(injected);
        self.check(row, &told).await;
        Seen { row, told, lines }
    }

    /// Waits until there is a past that a capture of now can be compared with.
    async fn grow_old(&self, since: Instant) {
        let left = OLD_ENOUGH.saturating_sub(since.elapsed());
        if !left.is_zero() {
            self.say(&format!("in {:.0} s there is enough of a past for a difference", left.as_secs_f64()));
            tokio::time::sleep(left).await;
        }
    }

    /// Waits for one of these alerts to be told in every way that it should; answers its name and its line of the table.
    async fn told(&mut self, row: &Row, one_of: &[&str], injected: Instant) -> Option<(String, String)> {
        while injected.elapsed() < PATIENCE {
            let told = self.stack.on_call.since(injected);
            for alert in one_of {
                let rule = rule(alert);
                let ways: &[Way] = if rule.pages { &[Way::PagerDuty, Way::WeCom] } else { &[Way::WeCom] };
                let first = |way: &Way| told.iter().find(|m| m.alert == *alert && m.way == *way && !m.over);
                let Some(messages) = ways.iter().map(first).collect::<Option<Vec<_>>>() else { continue };
                let latest = messages.iter().map(|message| message.at).max().unwrap_or(injected);
                let (took, most) = (latest - injected, rule.lasts + LATE_MAX);
                let what = if rule.pages { "page" } else { "ticket" };
                let line = format!(
                    "{:<8} {what:<7} {alert:<34} {:>6.1} s (at most {:>2} s)",
                    row.fault,
                    took.as_secs_f64(),
                    most.as_secs()
                );
                self.say(&format!("{what} {alert}, {:.1} s after", took.as_secs_f64()));
                if took > most {
                    self.complain(format!("{}: {alert} is told after {took:?}, at most {most:?}", row.fault));
                }
                return Some(((*alert).to_owned(), line));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let pending = self.stack.alerts().await;
        self.complain(format!("{}: none of {one_of:?} is told; now there are {pending:?}", row.fault));
        None
    }

    /// Waits until an alert leads to what the router kept of the bad minute.
    async fn captured(&mut self) {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let alerts = self.stack.alerts().await;
            let links =
                alerts.iter().filter(|alert| alert.firing).filter_map(|a| a.annotations["capture_url"].as_str());
            if let Some(link) = links.into_iter().find(|link| link.contains("/debug/captures/latest?op=")) {
                self.say(&format!("its link leads to the capture: {link}"));
                let wrong = links::wrong(&self.stack, "the alert", link).await;
                return wrong.into_iter().for_each(|wrong| self.complain(wrong));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.complain("no alert leads to a capture".to_owned());
    }

    /// Waits until that alert is told to be over, in every way that it was told.
    async fn over(&mut self, alert: &str, ended: Instant) -> String {
        let ways: &[Way] = if rule(alert).pages { &[Way::PagerDuty, Way::WeCom] } else { &[Way::WeCom] };
        while ended.elapsed() < PATIENCE {
            let told = self.stack.on_call.since(ended);
            let over = |way: &Way| told.iter().rfind(|m| m.alert == alert && m.way == *way).filter(|m| m.over);
            if let Some(messages) = ways.iter().map(over).collect::<Option<Vec<_>>>() {
                let latest = messages.iter().map(|message| message.at).max().unwrap_or(ended);
                let took = (latest - ended).as_secs_f64();
                self.say(&format!("{alert} is over, {took:.1} s after the end"));
                return format!("   over {took:>5.1} s after");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.complain(format!("{alert} is not over {PATIENCE:?} after the fault's end"));
        String::new()
    }

    /// Waits until nothing is pending any more, so that the next fault is blamed for nothing of this one.
    async fn calm(&mut self, ended: Instant) {
        while !self.uneasy().await.is_empty() {
            if ended.elapsed() > PATIENCE {
                let left = self.uneasy().await;
                return self.complain(format!("{left:?} do not end"));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Nothing else was told, and all links lead somewhere.
    async fn check(&mut self, row: &Row, told: &[Message]) {
        let about: Vec<_> = told.iter().filter(|message| [Way::PagerDuty, Way::WeCom].contains(&message.way)).collect();
        // that something of before is over may be told now
        let others: BTreeSet<_> =
            about.iter().filter(|m| !m.over).map(|m| &m.alert).filter(|alert| !row.tolerates(alert)).collect();
        if !others.is_empty() {
            self.complain(format!("{}: nobody should have been told of {others:?}", row.fault));
        }
        let links: BTreeSet<_> = about.iter().flat_map(|m| m.links.iter().map(|link| (&m.alert, link))).collect();
        for (alert, link) in &links {
            let wrong = links::wrong(&self.stack, alert, link).await;
            wrong.into_iter().for_each(|wrong| self.complain(wrong));
        }
        let also: BTreeSet<_> = about.iter().map(|m| m.alert.as_str()).filter(|a| row.allowed.contains(a)).collect();
        if !also.is_empty() {
            self.say(&format!("also told, and no wonder: {}", also.into_iter().collect::<Vec<_>>().join(", ")));
        }
        self.say(&format!("{} links of {} messages lead where they say", links.len(), about.len()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_fault_is_told_in_time_with_its_cause_and_ends() {
    println!("A router, a load, Prometheus and Alertmanager; five minutes of their rules are ten seconds here.");
    let begun = Instant::now();
    let stack = Stack::start().await;
    let mut watch = Watch { stack, begun, complaints: Vec::new(), once: Vec::new(), again: 0 };
    watch.settle().await;
    let told_too_early: Vec<_> = watch.stack.on_call.since(begun).into_iter().map(|message| message.alert).collect();
    let early: Vec<_> = told_too_early.iter().filter(|alert| !alert.is_empty()).collect();
    assert!(early.is_empty(), "told before there was a fault: {early:?}");
    let mut seen = Vec::new();
    for row in TABLE {
        seen.push(watch.fault(row).await);
    }
    println!();
    for Seen { row, told, lines } in &seen {
        // last, since captures take half a minute to be whole
        let cause = causes::named(&watch.stack, row.cause, told).await;
        lines.iter().for_each(|line| println!("{line}"));
        match cause {
            Ok(named) => println!("{:<8} named   {named}", ""),
            Err(why) => watch.complain(format!("{}: the cause is not named: {why}", row.fault)),
        }
    }
    match causes::traced(&watch.stack).await {
        Ok(traced) => println!("{traced}"),
        Err(why) => watch.complain(why),
    }
    let alive = watch.stack.on_call.since(begun).iter().filter(|message| message.way == Way::DeadMansSwitch).count();
    println!("the dead-man's switch was heard {alive} times; all of it took {:.0} s", begun.elapsed().as_secs_f64());
    assert!(alive > 3, "the dead-man's switch was heard {alive} times");
    watch.once.iter().for_each(|once| println!("fell short before it was injected once more: {once}"));
    assert!(watch.complaints.is_empty(), "{}", watch.complaints.join("\n"));
}
