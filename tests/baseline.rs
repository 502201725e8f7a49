//! The baseline of the process beside that of the rules, and what both make of made-up weeks.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

#[path = "baseline/backtest.rs"]
mod backtest;
#[path = "../alerts/backtest/judge.rs"]
mod judge;
#[path = "../alerts/backtest/model.rs"]
mod model;
#[path = "baseline/promtool.rs"]
mod promtool;
#[path = "../alerts/backtest/rules.rs"]
mod rules;
#[path = "baseline/tie.rs"]
mod tie;
#[path = "it/harness/tools.rs"]
mod tools;
