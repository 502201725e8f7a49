//! Boards, rules, alerts, their tests and runbooks agree with the catalogue of metrics and with each other. Reads the
//! shipped files as they are; nothing runs. What a real Prometheus answers to the boards is asked in `it/panels.rs`.
//!
//! A rule is a function from what was read to its complaints, so that each is also tested on planted violations. A
//! complaint names the board and panel, or the file and alert, that is wrong.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::fmt;

#[path = "observability/alerts.rs"]
mod alerts;
#[path = "observability/boards.rs"]
mod boards;
#[path = "observability/expressions.rs"]
mod expressions;
#[path = "observability/known.rs"]
mod known;
#[path = "observability/planted.rs"]
mod planted;
#[path = "observability/shipped.rs"]
mod shipped;
#[path = "observability/tested.rs"]
mod tested;

use self::{known::Known, shipped::Shipped};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    place: String,
    what: String,
}

impl Complaint {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// # Panics
/// With all that is complained of, a line each.
fn nothing(complaints: &[Complaint]) {
    let lines: Vec<_> = complaints.iter().map(Complaint::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn every_metric_label_and_value_that_is_asked_for_exists() {
    let (shipped, known) = (Shipped::read(), Known::catalogue());
    nothing(&known.with_recorded(shipped).complaints(shipped));
}

#[test]
fn every_metric_is_shown_where_the_catalogue_says() {
    nothing(&known::unseen(Shipped::read()));
}

#[test]
fn every_recorded_series_is_read_by_something() {
    nothing(&known::unread(Shipped::read()));
}

#[test]
fn codes_that_rules_call_our_fault_are_those_of_the_code_table() {
    nothing(&alerts::faults(Shipped::read()));
}

#[test]
fn every_alert_says_how_bad_it_is_what_to_read_and_where_to_look() {
    nothing(&alerts::incomplete(Shipped::read()));
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    nothing(&tested::untested(Shipped::read()));
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    nothing(&alerts::without_runbook(Shipped::read()));
}

#[test]
fn every_board_and_panel_says_what_it_is_and_follows_its_variables() {
    nothing(&boards::careless(Shipped::read()));
}
