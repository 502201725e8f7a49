//! What a capture tells, in words for a person who was woken up.

use std::time::Duration;

use super::{Pinned, differences};
use crate::{
    io::ops::pages::{ms, slow::meaning, utc},
    profiler::captures::{Capture, Cause, Part, Slowness, StallState, moments::Difference},
};

/// From then on a stage's, or an op's, P99 stands out: so many times as slow, and so many milliseconds slower.
const TIMES: f64 = 1.5;
const SLOWER_MS: f64 = 1.0;
/// A function stands out that grew by this share of all CPU time.
const GROWTH: f64 = 0.05;

/// Figures of the runtime among the first things to know.
const FIGURES_SHOWN: usize = 3;
/// A figure hardly changed that became less than this many times as much, or as little.
const HARDLY: f64 = 1.05;

/// Why a capture was made, in one sentence.
pub(super) fn told(capture: &Capture, now: Duration) -> String {
    match &capture.cause {
        Cause::Latency(slow) => {
            let since = Duration::from_millis(slow.since_unix_ms);
            let times = if slow.bound_ms > 0.0 { slow.p99_ms / slow.bound_ms } else { 0.0 };
            format!(
                "Signals of {} became slow: P99 {} ms, {times:.1} times the bound of {} ms, since {} UTC ({}).",
                subject(slow),
                ms(slow.p99_ms),
                ms(slow.bound_ms),
                to_the_second(since),
                ago(since, now)
            )
        }
        Cause::Stall { worker, stalled_for_ms, state } => {
            let found = Duration::from_millis(capture.at_unix_ms);
            let doing = match state {
                StallState::OnCpu => "it was on the CPU all the time",
                StallState::Blocked => "it was blocked in a call of the system",
                StallState::Unknown => "the system does not tell what it was doing",
            };
            format!(
                "Worker {worker} had not come back from a task for {stalled_for_ms} ms at {} UTC ({}): {doing}.",
                to_the_second(found),
                ago(found, now)
            )
        }
        Cause::Operator { note } => {
            let at = Duration::from_millis(capture.at_unix_ms);
            let note = if note.is_empty() { String::new() } else { format!(": “{note}”") };
            format!("An operator asked for it at {} UTC ({}){note}.", to_the_second(at), ago(at, now))
        }
    }
}

/// What became slow.
pub(super) fn subject(Slowness { op, region, .. }: &Slowness) -> String {
    format!("{op} from {region}")
}

/// What a part is to people.
pub(super) const fn part_in_words(part: Part) -> &'static str {
    match part {
        Part::Profile => "profile",
        Part::Quiet => "quiet profile",
        Part::Latency => "latencies",
        Part::LatencyLog => "interval log",
        Part::Slow => "slow signals",
        Part::Runtime => "runtime",
        Part::Stall => "stack",
    }
}

/// The first things to know, each in a line.
pub(super) fn in_short(pinned: &Pinned) -> Vec<String> {
    let Pinned { runtime, latency, stack, .. } = pinned;
    let mut lines = Vec::new();
    lines.extend(stack.first().map(|frame| format!("The worker was in {frame}.")));
    lines.extend(slowest_stage(pinned));
    lines.extend(grown_function(pinned));
    let differences = runtime.as_ref().map_or(&[][..], |runtime| &runtime.differences);
    // these are told of as sheds already, with whatever else was shed
    let told_apart = differences.iter().filter(|difference| difference.name != "signals, shed");
    lines.extend(told_apart.filter(|difference| stands_out(difference)).take(FIGURES_SHOWN).map(figure));
    if lines.is_empty() {
        let comparable = latency.is_some() || pinned.profiles().is_some() || !differences.is_empty();
        let told = if comparable {
            "Nothing stands out against the quiet hour."
        } else {
            "There is nothing to hold the window against."
        };
        lines.push(told.to_owned());
    }
    lines
}

fn figure(Difference { name, unit, quiet, bad, .. }: &Difference) -> String {
    let (quiet, bad) = (amount(*quiet, unit), amount(*bad, unit));
    format!("{}: {quiet} in the quiet hour, {bad} in the window.", capital(name))
}

fn slowest_stage(pinned: &Pinned) -> Option<String> {
    let pairs = pinned.latency.as_ref()?.pairs("stage");
    let slower = |(row, quiet): &(&_, Option<&_>)| differences::is_slower(row, *quiet, TIMES, SLOWER_MS);
    let (row, quiet) = pairs.into_iter().find(slower)?;
    let before = quiet.map_or_else(String::new, |quiet| format!(" ({} in the quiet hour)", ms(quiet.p99_ms)));
    let means = meaning(&row.stage).map_or_else(String::new, |means| format!(": {means}"));
    Some(format!("The stage that grew most is {}, P99 {} ms{before}{means}.", row.stage, ms(row.p99_ms)))
}

fn grown_function(pinned: &Pinned) -> Option<String> {
    let grown = pinned.changes.first().filter(|change| change.growth() >= GROWTH)?;
    let (before, after) = (percent(grown.base_share), percent(grown.target_share));
    Some(format!(
        "The function that grew most is {}: {before} of CPU time in the quiet hour, {after} in the window.",
        grown.name
    ))
}

/// Whether a figure of the runtime changed so much that it is told of first.
pub(super) fn stands_out(difference: &Difference) -> bool {
    changed_by(difference, TIMES)
}

/// Whether a figure of the runtime is as good as the same.
pub(super) fn hardly_changed(difference: &Difference) -> bool {
    !changed_by(difference, HARDLY)
}

fn changed_by(difference: &Difference, times: f64) -> bool {
    match difference.ratio {
        Some(ratio) => !(1.0 / times..times).contains(&ratio),
        None => difference.bad > 0.0,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A share, 0 to 1.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A figure with its unit.
pub(super) fn amount(value: f64, unit: &str) -> String {
    match unit {
        "bytes" => size(value.max(0.0) as u64),
        "" => number(value),
        unit => format!("{} {unit}", number(value)),
    }
}

fn number(value: f64) -> String {
    if value == 0.0 || (value.fract() == 0.0 && value.abs() < 1e9) { format!("{value:.0}") } else { ms(value) }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A moment since the Unix epoch as date and time of day.
pub(super) fn to_the_second(at: Duration) -> String {
    utc(Duration::from_secs(at.as_secs())).replacen('T', " ", 1).trim_end_matches(".000Z").to_owned()
}

/// The same without the date.
pub(super) fn time_of_day(at: Duration) -> String {
    to_the_second(at).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// How long ago that is, in its largest unit.
pub(super) fn ago(at: Duration, now: Duration) -> String {
    let seconds = now.saturating_sub(at).as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
