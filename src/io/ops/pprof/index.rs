//! The index of `/debug/pprof/`, for people: what there is, and whether it can be believed.

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use http::StatusCode;
use maud::{Markup, html};

use super::refused;
use crate::{
    io::ops::{pages::page, routes::Shared},
    profiler::{Figures, marks},
};

/// `GET /debug/pprof`: links of the index are relative to the folder.
pub(in crate::io::ops) async fn moved() -> Redirect {
    Redirect::permanent("/debug/pprof/")
}

/// What there is at no path below.
pub(in crate::io::ops) async fn nothing() -> Response {
    let told = "nothing is served at this path, or not for this method; /debug/pprof/ lists what is";
    refused(StatusCode::NOT_FOUND, told)
}

/// `GET /debug/pprof/`.
pub(in crate::io::ops) async fn index(State(shared): State<Shared>) -> Response {
    page("Profiles", &body(&shared.profiles.profiler.figures())).into_response()
}

/// Path, what it is.
const LINKS: &[(&str, &str)] = &[
    ("flamegraph", "the last minute as a flamegraph: click to zoom, Ctrl-F to search"),
    ("flamegraph?seconds=600", "the last ten minutes"),
    ("flamegraph?seconds=3600", "the last hour"),
    ("flamegraph?seconds=5&lookback=0", "the next five seconds"),
    ("diff", "the last minute beside the hour before: red grew, blue shrank"),
    ("diff?base=1h..10m&target=10m", "the last ten minutes beside the time before"),
    ("profile?seconds=30", "the next 30 seconds for go tool pprof, Alloy, Parca"),
    ("profile?seconds=300&lookback=1", "the last five minutes, at once"),
    ("profile?seconds=300&lookback=1&format=collapsed", "as collapsed stacks"),
    ("profile?seconds=300&lookback=1&format=speedscope", "for speedscope.app"),
    ("trace?seconds=5", "stage timelines of the next five seconds' signals, for ui.perfetto.dev"),
    ("heap", "what is allocated, in a build with heap profiling"),
    ("allocs", "what was allocated, likewise"),
    ("cmdline", "the command line"),
    ("threadcreate", "threads by name"),
    ("goroutine", "tasks"),
];

fn body(figures: &Figures) -> Markup {
    html! {
        (standing(figures))
        nav { a href="/debug/captures/" { "captures of bad minutes" } a href="/api/profiler" { "as JSON" } }
        h2 { "Where the CPU time goes" }
        table { tbody { @for (path, what) in LINKS { tr { td { a href=(path) { (path) } } td { (what) } } } } }
        h2 { "By op" }
        p.hint { "Each op is a mark in the stack itself; a stack that was cut short above its mark is unknown." }
        nav {
            @for word in marks::words() { a href=(format!("flamegraph?seconds=600&tag=op:{word}")) { (word) } }
            a href="flamegraph?seconds=600&tag=op:unknown" { "unknown" }
        }
        h2 { "By thread" }
        nav { @for (name, count) in &figures.threads {
            a href=(format!("flamegraph?seconds=600&tag=thread:{name}")) { (name) @if *count > 1 { " (" (count) ")" } }
        } }
        (samples(figures))
    }
}

fn standing(figures: &Figures) -> Markup {
    let hz = 1.0 / figures.period.as_secs_f64().max(1e-9);
    html! {
        @match (figures.sampler, &figures.why_not) {
            (Some(sampler), _) => p.hint {
                (sampler.name()) " samples " (format!("{hz:.0}")) " times a second of CPU time. "
                @if sampler.tells_lines() { "Lines are exact." } @else { "Functions only: of the lines of one the first seen stands for all." }
                @if let Some(why) = &figures.fallback_because { " The default sampler refused: " (why) "." }
            },
            (None, why) => p.bad { "Nothing is sampled: " (why.as_deref().unwrap_or("not told")) "." },
        }
    }
}

fn samples(figures: &Figures) -> Markup {
    let counts = &figures.counts;
    let share = |part: u64, whole: u64| format!("{:.1} %", 100.0 * part as f64 / (whole as f64).max(1.0));
    let back = humantime::format_duration(std::time::Duration::from_secs(figures.fill.reaches_back.as_secs()));
    html! {
        h2 { "Samples since the start" }
        table { tbody {
            tr { td { "raised" } td.n { (counts.raised) } td.n {} td { "that timers raised" } }
            tr { td { "kept" } td.n { (counts.kept) } td.n { (share(counts.kept, counts.raised)) } td { "stacks; timers that ran out together are one" } }
            tr { td { "lost" } td.n { (counts.lost) } td.n { (share(counts.lost, counts.raised + counts.lost)) } td { "that the CPU time was worth and that did not come: of threads that are not sampled or live shorter than a period, or for want of room" } }
            tr { td { "cut short" } td.n { (counts.truncated) } td.n { (share(counts.truncated, counts.kept)) } td { "that do not reach down to where their thread began" } }
            @if figures.without_timer > 0 { tr { td { "threads without a timer" } td.n { (figures.without_timer) } td.n {} td { "the system had none: see ulimit -i" } } }
        } }
        h2 { "The last hour" }
        p { (figures.fill.slots) " slots of ten seconds, back " (back) ", " (figures.fill.stacks) " stacks, "
            (figures.fill.bytes / 1024) " KiB of at most " (figures.fill.bytes_max / 1024) "; "
            (figures.fill.thinned) " slots thinned." }
    }
}
