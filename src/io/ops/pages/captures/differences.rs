//! Tables of a capture's page: quiet hour on the left, bad window on the right.

use maud::{Markup, html};

use super::{
    Pinned,
    wording::{amount, hardly_changed, percent, stands_out},
};
use crate::{
    io::ops::pages::ms,
    profiler::{
        captures::{latency::LatencyRow, moments::Difference},
        profile::{OP, Profile, THREAD},
        views::{self, Change},
    },
};

/// Functions that grew, and that shrank, on the page.
const GROWN_SHOWN: usize = 12;
const SHRUNK_SHOWN: usize = 4;
/// A change of share that is less than this is noise to a reader: half a percent of CPU time.
const CHANGE_MIN: f64 = 0.005;
/// Threads and ops by share.
const SHARES_SHOWN: usize = 12;
/// Rows of latencies of a kind.
const LATENCIES_SHOWN: usize = 12;
/// A P99 that became so many times as large, and so much larger, is shown as bad.
const SLOWER_TIMES: f64 = 1.25;
const SLOWER_MS: f64 = 0.5;

/// How the router was.
pub(super) fn runtime(Pinned { runtime, .. }: &Pinned) -> Markup {
    let differences = runtime.as_ref().map_or(&[][..], |runtime| &runtime.differences);
    let (same, changed): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| hardly_changed(difference));
    html! {
        h3 { "The router" }
        @if differences.is_empty() { p { "There is no quiet hour to hold it against, or no step of the window was told." } }
        @else {
            p.hint { "Means of ten-second steps, the most different first." }
            @if !changed.is_empty() { (figures(&changed)) }
            @if !same.is_empty() { details {
                summary { (same.len()) " figures hardly changed" }
                (figures(&same))
            } }
        }
    }
}

fn figures(differences: &[&Difference]) -> Markup {
    html! {
        table {
            thead { tr { th { "" } th.n { "quiet" } th.n { "window" } th.n { "times" } } }
            tbody { @for difference in differences {
                tr {
                    td { (difference.name) }
                    td.n { (amount(difference.quiet, &difference.unit)) }
                    td.n.bad[stands_out(difference)] { (amount(difference.bad, &difference.unit)) }
                    td.n { @if let Some(ratio) = difference.ratio { (ms(ratio)) } @else if difference.bad > 0.0 { "new" } }
                }
            } }
        }
    }
}

/// Which functions take a larger share of CPU time than they took.
pub(super) fn functions(pinned: &Pinned) -> Markup {
    let changes = pinned.changes.iter().filter(|change| change.growth().abs() >= CHANGE_MIN);
    let (grown, mut shrunk): (Vec<_>, Vec<_>) = changes.partition(|change| change.growth() > 0.0);
    let shown = shrunk.split_off(shrunk.len().saturating_sub(SHRUNK_SHOWN));
    html! {
        h3 { "Functions" }
        @match pinned.profiles() {
            None => p { "There are no two profiles to compare." },
            Some((quiet, bad)) => {
                p.hint {
                    "Share of CPU time with the function on the stack. Window: " (views::amount(bad)) (cores(bad))
                    ". Quiet hour: " (views::amount(quiet)) (cores(quiet)) "."
                }
                @if grown.is_empty() && shown.is_empty() { p { "No function's share changed by half a percent." } }
                @else { table {
                    thead { tr { th { "function" } th.n { "quiet" } th.n { "window" } th.n { "points" } } }
                    tbody { @for change in grown.into_iter().take(GROWN_SHOWN).chain(shown) { (function(change)) } }
                } }
            }
        }
    }
}

/// How many cores a profile of CPU time keeps busy.
fn cores(profile: &Profile) -> String {
    let seconds = profile.length.as_secs_f64();
    if &*profile.values[1].unit != "nanoseconds" || seconds <= 0.0 {
        return String::new();
    }
    format!(" in {seconds:.0} s, {:.2} cores busy", profile.weight() as f64 / 1e9 / seconds)
}

fn function(change: &Change) -> Markup {
    html! {
        tr {
            td.long title=(change.file) { code { (change.name) } }
            td.n { (percent(change.base_share)) }
            td.n { (percent(change.target_share)) }
            td.n.bad[change.growth() > 0.0].good[change.growth() < 0.0] { (format!("{:+.1}", 100.0 * change.growth())) }
        }
    }
}

/// Who took the CPU time: threads and ops.
pub(super) fn shares(pinned: &Pinned) -> Markup {
    let Some((quiet, bad)) = pinned.profiles() else { return html! {} };
    html! {
        div.halves {
            @for (label, title) in [(THREAD, "Threads"), (OP, "Ops in hand")] {
                div {
                    h3 { (title) }
                    (share_table(&by_label(quiet, label), &by_label(bad, label)))
                }
            }
        }
    }
}

/// Shares of a label's values, the largest first.
fn by_label(profile: &Profile, label: &str) -> Vec<(String, f64)> {
    let weight = profile.weight().max(1) as f64;
    profile.by_label(label).into_iter().map(|(value, sum)| (value, sum as f64 / weight)).collect()
}

fn share_table(quiet: &[(String, f64)], bad: &[(String, f64)]) -> Markup {
    let of = |shares: &[(String, f64)], name: &str| shares.iter().find(|(known, _)| known == name).map_or(0.0, |s| s.1);
    let gone = quiet.iter().filter(|(name, _)| !bad.iter().any(|(known, _)| known == name));
    let names: Vec<_> = bad.iter().chain(gone).map(|(name, _)| name).take(SHARES_SHOWN).collect();
    html! {
        @if names.is_empty() { p { "Not told." } }
        @else { table {
            thead { tr { th { "" } th.n { "quiet" } th.n { "window" } } }
            tbody { @for name in names { tr { td.long { (name) } td.n { (percent(of(quiet, name))) } td.n { (percent(of(bad, name))) } } } }
        } }
    }
}

/// Whether a P99 grew by so many times and so many milliseconds.
pub(super) fn is_slower(row: &LatencyRow, quiet: Option<&LatencyRow>, times: f64, by_ms: f64) -> bool {
    let before = quiet.map_or(0.0, |quiet| quiet.p99_ms);
    row.p99_ms > before * times && row.p99_ms > before + by_ms
}

/// Ops, stages and deliveries beside those of the quiet hour.
pub(super) fn latencies(pinned: &Pinned) -> Markup {
    let Some(latencies) = &pinned.latency else { return html! { h3 { "Latencies" } p { "None were kept." } } };
    html! {
        h3 { "Latencies" }
        p.hint { "Milliseconds, those whose P99 grew most first." }
        table {
            thead { tr {
                th {} th.n { "count" } th.n { "P50 quiet" } th.n { "P50" } th.n { "P99 quiet" } th.n { "P99" } th.n { "P99.9" } th.n { "max" }
            } }
            @for (kind, title) in [("signal", "Signals"), ("stage", "Stages of signals"), ("delivery", "Deliveries to others")] {
                @let pairs = latencies.pairs(kind);
                @if !pairs.is_empty() { tbody {
                    tr { th colspan="8" { (title) } }
                    @for (row, quiet) in pairs.iter().take(LATENCIES_SHOWN) { (latency(row, *quiet)) }
                } }
            }
        }
    }
}

fn latency(row: &LatencyRow, quiet: Option<&LatencyRow>) -> Markup {
    let names = [&row.op, &row.region, &row.outcome, &row.stage];
    let name = names.into_iter().filter(|name| !name.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
    let before = |of: fn(&LatencyRow) -> f64| quiet.map_or_else(|| "-".to_owned(), |quiet| ms(of(quiet)));
    html! {
        tr {
            td { (name) } td.n { (row.count) }
            td.n { (before(|quiet| quiet.p50_ms)) } td.n { (ms(row.p50_ms)) }
            td.n { (before(|quiet| quiet.p99_ms)) }
            td.n.bad[is_slower(row, quiet, SLOWER_TIMES, SLOWER_MS)] { (ms(row.p99_ms)) }
            td.n { (ms(row.p999_ms)) } td.n { (ms(row.max_ms)) }
        }
    }
}
