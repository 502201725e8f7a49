//! Two profiles as one flamegraph: of the shape of the second, red where it takes a larger share than the first.
//!
//! Made by inferno's `differential`, which also brings both to the same whole. As in FlameGraph, a frame's colour is of
//! what it did itself: callers of what grew stay white, which leads the eye to it.

use inferno::{
    differential,
    flamegraph::color::{Color, StrokeColor},
};

use super::{
    collapsed::stacks,
    flamegraph::{Caption, ViewError, count_in, drawable, drawn, empty, guarded, options},
    samples,
    top::share,
};
use crate::profiler::profile::Profile;

/// An interactive SVG; the caption's window names both windows. Where either has no samples there is nothing to compare:
/// one that says so.
///
/// # Errors
/// Weights that are too large, and when inferno refuses the stacks.
pub fn difference(base: &Profile, target: &Profile, caption: &Caption) -> Result<String, ViewError> {
    let (old, weight) = (drawable(base)?, drawable(target)?);
    for (window, weight) in [("base", old), ("target", weight)] {
        if weight == 0 {
            return Ok(empty(caption, &format!("no samples in the {window}: nothing to compare")));
        }
    }
    let [before, after] = [base, target].map(|profile| stacks(profile, guarded));
    let gone = before.iter().filter(|(stack, _)| !after.contains_key(*stack)).map(|(_, weight)| weight).sum();
    let [before, after] = [before, after]
        .map(|stacks| stacks.into_iter().map(|(stack, weight)| format!("{stack} {weight}\n")).collect::<String>());
    let mut both = Vec::new();
    let normalised = differential::Options { normalize: true, ..differential::Options::default() };
    differential::from_readers(normalised, before.as_bytes(), after.as_bytes(), &mut both)?;
    let both = String::from_utf8_lossy(&both);
    let lines: Vec<String> = both.lines().map(str::to_owned).collect();
    let mut options = options(&caption.title, subtitle((base, target), share(gone, old), caption));
    // frames that did not change are nearly as bright as the ground
    options.stroke_color = StrokeColor::Color(Color { r: 200, g: 200, b: 200 });
    count_in(&mut options, target, weight);
    drawn(&mut options, &lines)
}

/// The legend; what is gone has no width in the shape of the target, and is told.
fn subtitle((base, target): (&Profile, &Profile), gone: f64, caption: &Caption) -> String {
    let gone = if gone > 0.0 { format!("; {:.1} % of the base is gone", gone * 100.0) } else { String::new() };
    let (base, target) = (samples(base), samples(target));
    format!("{}: red grew, blue shrank, in itself; base {base}, target {target}{gone}", caption.window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::views::fixture::Stacks;

    fn caption() -> Caption {
        Caption { title: "difference".to_owned(), window: "from 1h..10m to 5m".to_owned() }
    }

    /// Title and colour of each frame.
    fn frames(svg: &str) -> Vec<(String, [u8; 3])> {
        let frame = |part: &str| {
            let (title, rest) = part.split_once("</title>")?;
            let colour = rest.split_once("fill=\"rgb(")?.1.split_once(')')?.0;
            let parts: Vec<u8> = colour.split(',').filter_map(|part| part.parse().ok()).collect();
            Some((title.to_owned(), parts.try_into().ok()?))
        };
        svg.split("<title>").skip(1).filter_map(frame).collect()
    }

    #[test]
    fn red_grew_and_blue_shrank_whatever_the_windows_lengths() {
        let base = Stacks::default().add("main;join", 50).add("main;send", 50).profile();
        // ten times as long
        let target = Stacks::default().add("main;join", 800).add("main;send", 200).profile();
        let svg = difference(&base, &target, &caption()).unwrap();
        let frames = frames(&svg);
        let colour = |name: &str| frames.iter().find(|(title, _)| title.starts_with(name)).unwrap().clone();
        let (join, [red, _, blue]) = colour("join");
        assert!(join.contains("80.00%; +30.00%") && red > blue, "{join}");
        let (send, [red, _, blue]) = colour("send");
        assert!(send.contains("20.00%; -30.00%") && blue > red, "{send}");
        let (main, [red, _, blue]) = colour("main");
        assert!(main.contains("100.00%; 0.00%") && red == blue, "{main}");
    }

    #[test]
    fn the_legend_names_colours_amounts_and_what_is_gone() {
        let base = Stacks::default().add("main;join", 75).add("main;old", 25).profile();
        let svg = difference(&base, &Stacks::default().add("main;join", 10).profile(), &caption()).unwrap();
        for wanted in
            ["from 1h..10m to 5m: red grew, blue shrank", "base 2 samples", "target 1 sample", "25.0 % of the base"]
        {
            assert!(svg.contains(wanted), "{wanted}");
        }
        assert!(!svg.contains("<!DOCTYPE"));
    }

    #[test]
    fn names_that_look_like_counts_stay_names() {
        let mut base = Stacks::default().add("main;join", 10).profile();
        base.functions[1].name = "<[u8; 8]> 7 7".into();
        let svg = difference(&base, &base, &caption()).unwrap();
        assert!(frames(&svg).iter().any(|(title, _)| title == "&lt;[u8; 8]&gt; 7 7 (10 ns, 100.00%; 0.00%)"), "{svg}");
    }

    #[test]
    fn without_samples_there_is_nothing_to_compare() {
        let (none, some) = (Stacks::default().profile(), Stacks::default().add("main", 1).profile());
        assert!(difference(&none, &some, &caption()).unwrap().contains("no samples in the base: nothing to compare"));
        assert!(difference(&some, &none, &caption()).unwrap().contains("no samples in the target"));
    }
}
