//! What people look at: texts, tables and pictures of a [`Profile`].
//!
//! Pure functions. They must not know how a profile was sampled, kept or fetched, and take every name in it for what
//! it may be: text of a stranger, to be escaped for the format in hand.

pub mod changes;
pub mod collapsed;
pub mod difference;
pub mod flamegraph;
pub mod speedscope;
pub mod top;

#[cfg(test)]
pub(crate) mod fixture;

use super::profile::{Frame, OP, Profile, Sample, THREAD, UNKNOWN};
pub use changes::{Change, changes};
pub use collapsed::{collapsed, collapsed_by};
pub use difference::difference;
pub use flamegraph::{Caption, ViewError, flamegraph};
pub use speedscope::speedscope;
pub use top::{By, TopRow, top};

/// Of all weight, what is in stacks that were cut short, so that nobody knows the op: 0 to 1.
pub fn unknown_share(profile: &Profile) -> f64 {
    let unknown = profile.samples.iter().filter(|sample| sample.label(OP) == Some(UNKNOWN));
    top::share(unknown.map(|sample| sample.weight).sum(), profile.weight())
}

/// How much there is in a profile, in words: `2970 samples, 29.70 s of CPU time`.
pub fn amount(profile: &Profile) -> String {
    let (weight, kind) = (profile.weight() as f64, &profile.values[1].kind);
    let weight = match &*profile.values[1].unit {
        "nanoseconds" if &**kind == "cpu" => format!("{:.2} s of CPU time", weight / 1e9),
        "nanoseconds" => format!("{:.2} s of {kind}", weight / 1e9),
        "bytes" => format!("{:.1} MiB of {kind}", weight / f64::from(1 << 20)),
        unit => format!("{weight} {unit} of {kind}"),
    };
    format!("{}, {weight}", samples(profile))
}

fn samples(profile: &Profile) -> String {
    let samples = profile.count();
    format!("{samples} {}", if samples == 1 { "sample" } else { "samples" })
}

/// A text without what cannot be seen or moves what is seen: control characters, which a terminal obeys and XML
/// refuses, and those that turn the direction of writing.
pub fn cleaned(text: &str) -> String {
    text.chars().map(|c| if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

/// The name to show: an address without one bears the path of its file, which is shown as `[libc.so.6]`.
fn shown(frame: &Frame<'_>) -> String {
    if frame.name.is_empty() {
        return "[unnamed]".to_owned();
    }
    if frame.file.is_empty() && frame.name.starts_with('/') {
        let file = frame.name.rsplit('/').next().unwrap_or(frame.name);
        return format!("[{}]", cleaned(file));
    }
    cleaned(frame.name)
}

fn thread_of(sample: &Sample) -> &str {
    sample.label(THREAD).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::views::fixture::Stacks;

    #[test]
    fn the_share_of_unknown_is_of_all_weight() {
        let profile = Stacks::default()
            .labelled("main", 30, &[("op", "join")])
            .labelled("main", 10, &[("op", "unknown")])
            .labelled("main", 60, &[("thread", "unknown")])
            .profile();
        assert_eq!(unknown_share(&profile), 0.1);
        assert_eq!(unknown_share(&Stacks::default().profile()), 0.0);
    }

    #[test]
    fn amounts_are_in_units_of_people() {
        let mut profile = Stacks::default().add("main", 2_500_000_000).profile();
        assert_eq!(amount(&profile), "1 sample, 2.50 s of CPU time");
        profile.values[1] = super::super::profile::ValueType::new("inuse_space", "bytes");
        assert_eq!(amount(&profile), "1 sample, 2384.2 MiB of inuse_space");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(cleaned("a\x1b[2J\r\n\u{202e}b\u{9b}é"), "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}b\u{fffd}é");
    }
}
