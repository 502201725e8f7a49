//! The back-test: the baseline of the process, and the plain rule beside it, on 28 days of made-up P99s. Prints tables.
//!
//! `make backtest SEED=1`: that seed and the next two.

mod judge;
mod model;
mod rules;
mod tables;

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    tables::print(seed);
}
