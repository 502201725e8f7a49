//! The heaviest functions, or lines of them, of a profile.
//!
//! Must not know who shows them: [`super::changes()`] compares the same sums of two profiles.

use std::collections::HashMap;

use super::{cleaned, shown};
use crate::profiler::profile::{Frame, Profile};

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// A function, whatever its line.
    Function,
    /// A line of a function.
    Line,
}

/// A function, or a line of one, and what it weighs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TopRow {
    /// The function's whole path.
    pub name: String,
    /// Where it is written; empty: not known.
    pub file: String,
    /// From 1; 0: not known, or rows are functions.
    pub line: u32,
    /// Weight of the stacks that end in it.
    pub flat: u64,
    /// Weight of the stacks that it is in, each once, however often it is in there.
    pub cum: u64,
    /// `flat` of all weight, 0 to 1.
    pub flat_share: f64,
    /// `cum` of all weight, 0 to 1.
    pub cum_share: f64,
}

/// The `limit` heaviest, by what ends in them, then by what goes through them.
pub fn top(profile: &Profile, limit: usize, by: By) -> Vec<TopRow> {
    let weight = profile.weight();
    let mut rows: Vec<TopRow> = sums(profile, by).into_iter().map(|(key, sum)| key.into_row(&sum, weight)).collect();
    rows.sort_by(|a, b| {
        let heavier = (b.flat, b.cum).cmp(&(a.flat, a.cum));
        heavier.then_with(|| (&a.name, &a.file, a.line).cmp(&(&b.name, &b.file, b.line)))
    });
    rows.truncate(limit);
    rows
}

/// What is summed up: equal names in equal files are one function, wherever the profile keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'a>(Frame<'a>);

impl<'a> Key<'a> {
    pub(super) fn name(&self) -> String {
        shown(&self.0)
    }

    pub(super) fn file(&self) -> String {
        cleaned(self.0.file)
    }

    fn of(frame: Frame<'a>, by: By) -> Self {
        Self(Frame { line: if by == By::Line { frame.line } else { 0 }, ..frame })
    }

    fn into_row(self, sum: &Sum, weight: u64) -> TopRow {
        TopRow {
            name: self.name(),
            file: self.file(),
            line: self.0.line,
            flat: sum.flat,
            cum: sum.cum,
            flat_share: share(sum.flat, weight),
            cum_share: share(sum.cum, weight),
        }
    }
}

/// The weights of one key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) flat: u64,
    pub(super) cum: u64,
    /// Sum of weight times frames between it and the leaf.
    above: u128,
    last_seen_in: usize,
}

impl Sum {
    /// Frames between it and the leaf, on average.
    pub(super) fn distance(&self) -> f64 {
        if self.cum == 0 { 0.0 } else { self.above as f64 / self.cum as f64 }
    }

    /// The stack's number is from 1: a function that calls itself is in a stack once.
    fn add(&mut self, weight: u64, stack: usize, frames_above: usize) {
        if frames_above == 0 {
            self.flat = self.flat.saturating_add(weight);
        }
        if self.last_seen_in != stack {
            self.last_seen_in = stack;
            self.cum = self.cum.saturating_add(weight);
            self.above = self.above.saturating_add(u128::from(weight) * frames_above as u128);
        }
    }
}

/// The sums of everything that is in a stack.
pub(super) fn sums(profile: &Profile, by: By) -> HashMap<Key<'_>, Sum> {
    let mut sums = HashMap::<Key<'_>, Sum>::new();
    for (sample, stack) in profile.samples.iter().zip(1..) {
        for (above, frame) in profile.frames(&sample.stack).enumerate() {
            sums.entry(Key::of(frame, by)).or_default().add(sample.weight, stack, above);
        }
    }
    sums
}

/// 0 to 1; of nothing, 0.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::views::fixture::Stacks;

    #[test]
    fn rows_are_heaviest_first_and_shares_are_of_all_weight() {
        let profile = Stacks::default().add("main;join;verify", 60).add("main;join", 30).add("main", 10).profile();
        let rows = top(&profile, 9, By::Function);
        let short: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.flat, row.cum)).collect();
        assert_eq!(short, [("verify", 60, 60), ("join", 30, 90), ("main", 10, 100)]);
        assert_eq!((rows[1].flat_share, rows[1].cum_share), (0.3, 0.9));
        assert_eq!(top(&profile, 1, By::Function).len(), 1);
    }

    #[test]
    fn a_function_that_calls_itself_counts_once_a_stack() {
        let rows = top(&Stacks::default().add("main;walk;walk;walk", 7).profile(), 9, By::Function);
        let walk = rows.iter().find(|row| row.name == "walk").unwrap();
        assert_eq!((walk.flat, walk.cum, walk.cum_share), (7, 7, 1.0));
    }

    #[test]
    fn lines_of_a_function_are_rows_of_their_own_when_asked() {
        let profile = Stacks::default().add("main:1;work:10", 3).add("main:1;work:20", 5).profile();
        let lines: Vec<_> = top(&profile, 9, By::Line).into_iter().map(|row| (row.name, row.line, row.flat)).collect();
        assert_eq!(lines, [("work".to_owned(), 20, 5), ("work".to_owned(), 10, 3), ("main".to_owned(), 1, 0)]);
        let functions: Vec<_> = top(&profile, 9, By::Function).into_iter().map(|row| (row.name, row.line)).collect();
        assert_eq!(functions, [("work".to_owned(), 0), ("main".to_owned(), 0)]);
    }

    #[test]
    fn an_empty_profile_has_no_rows() {
        assert_eq!(top(&Stacks::default().profile(), 9, By::Line), []);
    }

    #[test]
    fn an_address_without_a_name_is_its_file_in_brackets() {
        let rows = top(&Stacks::default().add("main;@/usr/lib/libc.so.6", 1).profile(), 1, By::Function);
        assert_eq!(rows[0].name, "[libc.so.6]");
    }
}
