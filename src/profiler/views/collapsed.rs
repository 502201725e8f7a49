//! Stacks as lines of text, as `flamegraph.pl`, speedscope and grep take them: `worker-0;main;join 20000000`.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{By, shown, thread_of};
use crate::profiler::profile::{Frame, Profile};

/// A line a stack, in the order of their text: the thread, then functions, the root first, separated by `;`, then the
/// weight after a blank. Equal stacks are one line. A `;` within a name becomes a comma.
pub fn collapsed(profile: &Profile) -> String {
    collapsed_by(profile, By::Function)
}

/// The same by lines: a function bears its line after a colon, where it is known, and stacks that differ in lines only
/// are apart.
pub fn collapsed_by(profile: &Profile, by: By) -> String {
    let mut text = String::new();
    for (stack, weight) in stacks(profile, |frame| named(frame, by)) {
        writeln!(text, "{stack} {weight}").expect("writing to memory does not fail");
    }
    text
}

/// Weights by stacks of frames written so, the thread as the root.
pub(super) fn stacks(profile: &Profile, write: impl Fn(&Frame<'_>) -> String) -> BTreeMap<String, u64> {
    let mut stacks = BTreeMap::<String, u64>::new();
    for sample in profile.samples.iter().filter(|sample| sample.weight > 0) {
        let mut frames: Vec<String> = profile.frames(&sample.stack).map(|frame| write(&frame)).collect();
        frames.push(write(&Frame { name: thread_of(sample), file: "", line: 0 }));
        frames.reverse();
        let weight = stacks.entry(frames.join(";")).or_default();
        *weight = weight.saturating_add(sample.weight);
    }
    stacks
}

fn named(frame: &Frame<'_>, by: By) -> String {
    let mut name = shown(frame).replace(';', ",");
    if by == By::Line && frame.line > 0 {
        write!(name, ":{}", frame.line).expect("writing to memory does not fail");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::views::fixture::Stacks;

    #[test]
    fn a_line_a_stack_with_the_thread_as_its_root() {
        let worker = [("thread", "worker-0")];
        let profile = Stacks::default()
            .labelled("main:1;run:2+join:3", 20, &worker)
            .labelled("main:1;run:2+join:9", 5, &worker)
            .add("main;@/usr/lib/libc.so.6", 7)
            .profile();
        assert_eq!(collapsed(&profile), "unknown;main;[libc.so.6] 7\nworker-0;main;run;join 25\n");
        assert_eq!(
            collapsed_by(&profile, By::Line),
            "unknown;main;[libc.so.6] 7\nworker-0;main:1;run:2;join:3 20\nworker-0;main:1;run:2;join:9 5\n"
        );
        assert_eq!(collapsed_by(&Stacks::default().profile(), By::Line), "");
    }

    #[test]
    fn no_name_makes_a_frame_or_a_line_of_its_own() {
        let mut profile = Stacks::default().labelled("main", 1, &[("thread", "a;b\n1 2")]).profile();
        profile.functions[0].name = "<[u8; 8]>::x\nroot;\x1b[31m 99".into();
        assert_eq!(collapsed(&profile), "a,b\u{fffd}1 2;<[u8, 8]>::x\u{fffd}root,\u{fffd}[31m 99 1\n");
        profile.functions[0].name = "".into();
        assert_eq!(collapsed(&profile), "a,b\u{fffd}1 2;[unnamed] 1\n");
    }
}
