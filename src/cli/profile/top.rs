//! `signalbox profile top`: what uses CPU time now, live.

use std::{pin::pin, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::{in_place::InPlace, say},
    Asked, decoded, parse_tag,
    show::{beginning, ending, percent, printed, table},
};
use crate::{
    ops_client::OpsClient,
    profiler::{
        profile::{OP, Profile, THREAD},
        views::{By, TopRow, amount, cleaned, top, unknown_share},
    },
};

/// Threads and ops that a line names.
const NAMED_MAX: usize = 8;
/// Lines above the rows, the table's header, and the one that the cursor is on.
const LINES_AROUND: usize = 7;
/// Columns of the two shares with their gaps.
const SHARE_COLUMNS: usize = 22;
/// Of a file and line, so many columns are shown on a terminal.
const PLACE_COLUMNS: usize = 32;

/// Arguments of `signalbox profile top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox profile top                                 until Ctrl-C, every two seconds
  signalbox profile top --tag op:join --by line         the lines that joins take their time in
  signalbox profile top --seconds 10 --once --json      once, for a program

FLAT is what a function did itself, CUM what happened in it and in all that it called. Where
there is no terminal, each round is printed below the other.")]
pub(super) struct Args {
    /// How long each round records.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=300))]
    seconds: u64,
    /// Only this op or thread: op:join, thread:worker-0.
    #[arg(long, value_name = "LABEL:VALUE", value_parser = parse_tag)]
    tag: Option<String>,
    /// What a row is.
    #[arg(long, value_enum, default_value_t = By::Function)]
    by: By,
    /// End after one round.
    #[arg(long)]
    once: bool,
    /// A round is one line of JSON.
    #[arg(long)]
    json: bool,
    /// Rows at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
}

pub(super) async fn run(args: &Args, client: &OpsClient) -> Result<()> {
    let mut terminal = InPlace::on_terminal().filter(|_| !args.json);
    if let Some(terminal) = &mut terminal {
        terminal.draw(&format!("{}: the first {} s …", client.address(), args.seconds));
    }
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        // a router that answers at once is not asked without a break
        let next = Instant::now() + Duration::from_secs(args.seconds);
        let round = tokio::select! {
            round = Round::fetch(args, client) => round?,
            interrupted = &mut interrupted => return Ok(interrupted?),
        };
        match &mut terminal {
            Some(terminal) => terminal.draw(&round.on_terminal(InPlace::size())),
            None if args.json => say(&round.as_json().to_string()),
            None => say(&round.as_lines()),
        }
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            interrupted = &mut interrupted => return Ok(interrupted?),
        }
    }
}

/// What was recorded, and how it is shown.
pub(super) struct Round<'a> {
    args: &'a Args,
    address: String,
    profile: Profile,
}

impl<'a> Round<'a> {
    pub(super) async fn fetch(args: &'a Args, client: &OpsClient) -> Result<Self> {
        let asked = Asked { seconds: args.seconds, lookback: false, format: "pprof", tag: args.tag.as_deref() };
        let profile = decoded(&asked.fetch(client).await?, &client.address())?;
        Ok(Self { args, address: client.address(), profile })
    }

    fn rows(&self, most: usize) -> Vec<TopRow> {
        top(&self.profile, most, self.args.by)
    }

    pub(super) fn as_json(&self) -> Value {
        let profile = &self.profile;
        json!({
            "router": self.address,
            "tag": self.args.tag,
            "started_unix_ms": profile.started.as_millis() as u64,
            "seconds": profile.length.as_secs_f64(),
            "samples": profile.count(),
            "cpu_seconds": profile.weight() as f64 / 1e9,
            "unknown_share": unknown_share(profile),
            "threads": shares_json(profile, THREAD),
            "ops": shares_json(profile, OP),
            "rows": self.rows(self.args.lines.into()),
        })
    }

    /// Whole, for a file or a pipe.
    pub(super) fn as_lines(&self) -> String {
        let rows = self.rows(self.args.lines.into());
        format!("{}\n{}\n", self.head(), self.table(&rows, str::to_owned, str::to_owned))
    }

    /// Not wider and not higher than the terminal.
    pub(super) fn on_terminal(&self, (columns, lines): (usize, usize)) -> String {
        let room = lines.saturating_sub(LINES_AROUND).clamp(1, self.args.lines.into());
        let by_line = self.args.by == By::Line;
        let places = if by_line { PLACE_COLUMNS.min(columns / 3) } else { 0 };
        let names = columns.saturating_sub(SHARE_COLUMNS + places + usize::from(by_line) * 2);
        let head: Vec<_> = self.head().lines().map(|line| beginning(line, columns)).collect();
        let table = self.table(&self.rows(room), |name| ending(name, names), |place| ending(place, places));
        let table: Vec<_> = table.lines().map(|line| beginning(line, columns)).collect();
        format!("{}\n{}", head.join("\n"), table.join("\n"))
    }

    fn head(&self) -> String {
        let profile = &self.profile;
        let seconds = profile.length.as_secs_f64();
        let cores = if seconds > 0.0 { profile.weight() as f64 / 1e9 / seconds } else { 0.0 };
        let tag = self.args.tag.as_ref().map(|tag| format!(", only {}", cleaned(tag))).unwrap_or_default();
        let unknown = percent(unknown_share(profile));
        format!(
            "{}: {seconds:.1} s{tag}\n{}, {cores:.2} cores, {unknown} unknown\nthreads  {}\nops      {}\n",
            self.address,
            amount(profile),
            shares(profile, THREAD),
            shares(profile, OP)
        )
    }

    fn table(&self, rows: &[TopRow], name: impl Fn(&str) -> String, place: impl Fn(&str) -> String) -> String {
        if rows.is_empty() {
            return "no samples in this window".to_owned();
        }
        let shares = |row: &TopRow| [percent(row.flat_share), percent(row.cum_share)];
        if self.args.by == By::Function {
            let mut table = table(["FLAT", "CUM", "FUNCTION"], 2);
            for row in rows {
                table.add_row(shares(row).into_iter().chain([name(&row.name)]));
            }
            return printed(&table);
        }
        let mut table = table(["FLAT", "CUM", "FUNCTION", "LINE"], 2);
        for row in rows {
            let at = if row.line > 0 { format!("{}:{}", row.file, row.line) } else { row.file.clone() };
            table.add_row(shares(row).into_iter().chain([name(&row.name), place(&at)]));
        }
        printed(&table)
    }
}

/// `worker-0 45.0 %, worker-1 44.0 %, 3 more 11.0 %`; what bears no such label is not in it.
fn shares(profile: &Profile, label: &str) -> String {
    let sums = profile.by_label(label);
    let of_all = |weight: u64| percent(weight as f64 / profile.weight().max(1) as f64);
    let mut named: Vec<_> =
        sums.iter().take(NAMED_MAX).map(|(value, weight)| format!("{} {}", cleaned(value), of_all(*weight))).collect();
    let rest = sums.iter().skip(NAMED_MAX);
    if rest.len() > 0 {
        named.push(format!("{} more {}", rest.len(), of_all(rest.map(|(_, weight)| weight).sum())));
    }
    if named.is_empty() { "none".to_owned() } else { named.join(", ") }
}

fn shares_json(profile: &Profile, label: &str) -> Value {
    let weight = profile.weight().max(1) as f64;
    profile
        .by_label(label)
        .iter()
        .map(|(name, of_it)| json!({ "name": name, "share": *of_it as f64 / weight }))
        .collect()
}
