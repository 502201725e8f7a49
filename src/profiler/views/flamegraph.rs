//! A profile as a flamegraph: an SVG that is its own page, with zoom, search and reset.
//!
//! Drawn by inferno, the Rust port of FlameGraph, whose interaction people know. The SVG holds all that it needs; it
//! loads nothing.

use inferno::flamegraph::{
    self, Options, Palette, TextTruncateDirection,
    color::{BackgroundColor, MultiPalette},
};

use super::{amount, cleaned, collapsed::stacks, shown, unknown_share};
use crate::profiler::profile::{Frame, Profile};

/// What stands above a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// Of what: `CPU of router-7`.
    pub title: String,
    /// When, and which part of it: `the last 30 s, op:join`.
    pub window: String,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// inferno takes none of the stacks; nothing that we hand to it is known to make it.
    #[error("the flamegraph cannot be drawn: {0}")]
    Undrawn(#[from] std::io::Error),
    /// The weights are past what can be drawn without rounding.
    #[error("the samples weigh {weight} together, at most {WEIGHT_MAX} can be drawn")]
    TooHeavy {
        /// Of all samples.
        weight: u64,
    },
}

/// 52 days of CPU time; colours are computed from multiples of weights.
const WEIGHT_MAX: u64 = 1 << 52;

/// Inferno splits stacks at `;`, and counts from names at blanks. Within names these stand for them until it is done.
const SEMICOLON: char = '\u{e000}';
const BLANK: char = '\u{e001}';
/// An image that has a text instead of a graph.
const EMPTY_WIDTH: usize = 1_200;
const EMPTY_HEIGHT: usize = 160;

/// An interactive SVG. Of an empty profile one that says so.
///
/// # Errors
/// Weights that are too large, and when inferno refuses the stacks.
pub fn flamegraph(profile: &Profile, caption: &Caption) -> Result<String, ViewError> {
    let weight = drawable(profile)?;
    if weight == 0 {
        return Ok(empty(caption, "no samples in this window"));
    }
    let stacks = stacks(profile, guarded);
    let lines: Vec<String> = stacks.into_iter().map(|(stack, weight)| format!("{stack} {weight}")).collect();
    let mut options = options(&caption.title, subtitle(profile, caption));
    options.colors = Palette::Multi(MultiPalette::Rust);
    // the same function has the same colour in every picture
    options.deterministic = true;
    count_in(&mut options, profile, weight);
    drawn(&mut options, &lines)
}

/// Its weight, if that can be drawn.
pub(super) fn drawable(profile: &Profile) -> Result<u64, ViewError> {
    let weight = profile.weight();
    if weight > WEIGHT_MAX { Err(ViewError::TooHeavy { weight }) } else { Ok(weight) }
}

/// `the last 30 s, op:join: 2,970 samples, 29.7 s of CPU time, 0.4 % of it unknown`
fn subtitle(profile: &Profile, caption: &Caption) -> String {
    let (amount, unknown) = (amount(profile), unknown_share(profile) * 100.0);
    format!("{}: {amount}, {unknown:.1} % of it unknown", caption.window)
}

pub(super) fn options(title: &str, subtitle: String) -> Options<'static> {
    let mut options = Options::default();
    options.title = cleaned(title);
    options.subtitle = Some(cleaned(&subtitle));
    options.bgcolors = Some(BackgroundColor::Grey);
    // the end of a Rust path says more than its beginning
    options.text_truncate_direction = TextTruncateDirection::Left;
    options
}

/// Inferno shows whole numbers: of units in which these are neither 0 nor in the billions.
pub(super) fn count_in(options: &mut Options<'_>, profile: &Profile, weight: u64) {
    let (factor, name) = match (&*profile.values[1].unit, weight) {
        ("nanoseconds", 1_000_000_000..) => (1e-6, "ms"),
        ("nanoseconds", 1_000_000..) => (1e-3, "us"),
        ("nanoseconds", _) => (1.0, "ns"),
        ("bytes", 1_073_741_824..) => (1.0 / 1_024.0, "KiB"),
        (unit, _) => (1.0, unit),
    };
    options.factor = factor;
    options.count_name = cleaned(name);
}

/// A frame that inferno takes for one, whatever its name is.
pub(super) fn guarded(frame: &Frame<'_>) -> String {
    let stand_in = |c| match c {
        ';' => SEMICOLON,
        ' ' => BLANK,
        SEMICOLON | BLANK => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    shown(frame).chars().map(stand_in).collect()
}

/// Draws lines of stacks and counts, and puts the names back.
pub(super) fn drawn(options: &mut Options<'_>, lines: &[String]) -> Result<String, ViewError> {
    let mut svg = Vec::new();
    flamegraph::from_lines(options, lines.iter().map(String::as_str), &mut svg)?;
    let svg = undeclared(&String::from_utf8_lossy(&svg));
    Ok(svg.replace(SEMICOLON, ";").replace(BLANK, " "))
}

/// Without the declaration of its document type, which names an address that a reader might fetch.
fn undeclared(svg: &str) -> String {
    let declaration = svg.find("<!DOCTYPE").and_then(|start| Some(start..start + svg[start..].find('>')? + 1));
    declaration.map_or_else(|| svg.to_owned(), |range| [&svg[..range.start], &svg[range.end..]].concat())
}

/// A picture of a sentence.
pub(super) fn empty(caption: &Caption, why: &str) -> String {
    let text = |y: usize, size: usize, text: &str| {
        maud::html! { text x="50%" y=(y) text-anchor="middle" font-family="monospace" font-size=(size) { (cleaned(text)) } }
    };
    let svg = maud::html! {
        svg version="1.1" xmlns="http://www.w3.org/2000/svg" width=(EMPTY_WIDTH) height=(EMPTY_HEIGHT)
            viewBox=(format!("0 0 {EMPTY_WIDTH} {EMPTY_HEIGHT}")) {
            rect width="100%" height="100%" fill="#f8f8f8" {}
            (text(34, 17, &caption.title))
            (text(62, 12, &caption.window))
            (text(110, 15, why))
        }
    };
    format!("<?xml version=\"1.0\" standalone=\"no\"?>{}", svg.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::views::fixture::Stacks;

    fn caption() -> Caption {
        Caption { title: "CPU of <router>".to_owned(), window: "the last 10 s, op:join".to_owned() }
    }

    fn planted() -> Profile {
        Stacks::default()
            .labelled("main;run+signalbox::room::Room::join", 1_500_000_000, &[("thread", "worker-0"), ("op", "join")])
            .labelled("main", 500_000_000, &[("thread", "worker-0"), ("op", "unknown")])
            .profile()
    }

    /// The title of each frame, which is what a reader sees under the mouse.
    fn titles(svg: &str) -> Vec<String> {
        let text = |part: &str| Some(part.split_once("</title>")?.0.to_owned());
        svg.split("<title>").skip(1).filter_map(text).collect()
    }

    #[test]
    fn a_picture_has_every_function_inlined_ones_included() {
        let svg = flamegraph(&planted(), &caption()).unwrap();
        let wanted = [
            "all (2,000 ms, 100%)",
            "worker-0 (2,000 ms, 100.00%)",
            "main (2,000 ms, 100.00%)",
            "run (1,500 ms, 75.00%)",
            "signalbox::room::Room::join (1,500 ms, 75.00%)",
        ];
        assert_eq!(titles(&svg), wanted);
        assert!(svg.contains(">CPU of &lt;router&gt;</text>"));
        assert!(svg.contains(">the last 10 s, op:join: 2 samples, 2.00 s of CPU time, 25.0 % of it unknown</text>"));
    }

    #[test]
    fn a_picture_zooms_searches_resets_and_loads_nothing() {
        let svg = flamegraph(&planted(), &caption()).unwrap();
        for part in ["function zoom", "function search", "Reset Zoom", "id=\"search\""] {
            assert!(svg.contains(part), "{part}");
        }
        for outside in ["<!DOCTYPE", "href=\"", "src=", "@import", "url(http", "<image", "<link", "fetch(", "XMLHttp"] {
            assert!(!svg.contains(outside), "{outside}");
        }
        assert_eq!(svg, flamegraph(&planted(), &caption()).unwrap(), "one profile has one picture");
    }

    #[test]
    fn no_name_breaks_out_of_its_frame() {
        let mut profile = planted();
        let name = "</title><script>alert(1)</script> <[u8; 8] as X>::f 99 12";
        profile.functions[0].name = name.into(); // main
        profile.functions[1].name = "a\u{e000}b\x1b\nc\u{ffff}".into();
        let svg = flamegraph(&profile, &caption()).unwrap();
        assert!(!svg.contains("<script>alert") && !svg.contains('\x1b') && !svg.contains('\u{ffff}'));
        let titles = titles(&svg);
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; &lt;[u8; 8] as X&gt;::f 99 12";
        assert_eq!(titles[2], format!("{escaped} (2,000 ms, 100.00%)"));
        assert_eq!(titles[4], "a\u{fffd}b\u{fffd}\u{fffd}c\u{fffd} (1,500 ms, 75.00%)");
    }

    #[test]
    fn a_thread_called_like_a_comment_is_drawn() {
        let svg = flamegraph(&Stacks::default().labelled("main", 9, &[("thread", "# 1")]).profile(), &caption());
        assert_eq!(titles(&svg.unwrap()), ["all (9 ns, 100%)", "# 1 (9 ns, 100.00%)", "main (9 ns, 100.00%)"]);
    }

    #[test]
    fn an_empty_profile_is_a_picture_that_says_so() {
        let svg = flamegraph(&Stacks::default().profile(), &caption()).unwrap();
        assert!(svg.starts_with("<?xml") && svg.contains(">no samples in this window</text>"), "{svg}");
        assert!(svg.contains(">CPU of &lt;router&gt;</text>") && svg.contains("op:join"), "{svg}");
    }

    #[test]
    fn weights_past_all_reason_are_refused() {
        let heavy = Stacks::default().add("main", 1 << 60).profile();
        let said = flamegraph(&heavy, &caption()).unwrap_err().to_string();
        assert!(said.contains("at most 4503599627370496"), "{said}");
    }
}
