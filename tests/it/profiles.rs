//! Profiles of real processes: what `go tool pprof` says of one whose profile is known beforehand, threads that come and
//! go, many readers at once, and bad questions to a router.

mod asking;
mod threads;

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use crate::harness::{PATIENCE, get, run_to_end};

/// The example whose profile is known beforehand; cargo builds examples beside tests.
pub(crate) struct Planted {
    child: Child,
    pub(crate) ops: SocketAddr,
    lines: mpsc::Receiver<String>,
}

impl Planted {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let router = PathBuf::from(env!("CARGO_BIN_EXE_signalbox"));
        let program = router.with_file_name("examples").join("planted");
        assert!(
            program.exists(),
            "{} is missing: `cargo build --examples` makes it, as `cargo test` does",
            program.display()
        );
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let (say, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(|l| drop(say.send(l))));
        let first = lines.recv_timeout(PATIENCE).unwrap();
        let ops = first.strip_prefix("listening ops=").unwrap_or_else(|| panic!("{first}")).parse().unwrap();
        Self { child, ops, lines }
    }

    /// Its next line.
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE * 2).unwrap()
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Fetches a profile into a file.
async fn fetch(ops: SocketAddr, query: &str) -> tempfile::NamedTempFile {
    let answer = get(ops, &format!("/debug/pprof/profile?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &answer.bytes).unwrap();
    file
}

/// What `go tool pprof` says, without its own complaints.
fn pprof(arguments: &[&str]) -> String {
    let output = Command::new("go").args(["tool", "pprof"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The cumulative share, 0 to 1, of the rows of `-top` that end so, summed up.
#[track_caller]
fn cumulative(top: &str, ending: &str) -> f64 {
    let rows = top.lines().filter(|line| line.trim_end_matches(" (inline)").ends_with(ending));
    let share = |row: &str| row.split_whitespace().nth(4)?.strip_suffix('%')?.parse::<f64>().ok();
    let shares: Vec<f64> = rows.filter_map(share).collect();
    assert!(!shares.is_empty(), "{ending} is not in\n{top}");
    shares.iter().sum::<f64>() / 100.0
}

/// Of 800 samples a share of a half is within 0.07 in all but one of ten thousand runs (four standard errors).
fn near(share: f64, expected: f64) -> bool {
    (share - expected).abs() < 0.07
}

#[tokio::test]
async fn planted_functions_have_the_shares_that_they_really_have_and_so_have_loops_inlined_into_one() {
    let planted = Planted::start(&[]);
    let file = fetch(planted.ops, "seconds=8").await;
    let path = file.path().to_str().unwrap();
    let functions = pprof(&["-top", "-cum", "-nodecount=1000", path]);
    let share = |name: &str| cumulative(&functions, name);
    let hot = share(" planted::planted_hot") / (share(" planted::planted_hot") + share(" planted::planted_warm"));
    assert!(near(hot, 0.6), "{hot}\n{functions}");
    let first = share(" planted::first_loop") / (share(" planted::first_loop") + share(" planted::second_loop"));
    assert!(near(first, 0.75), "{first}\n{functions}");
    // both threads do nothing else
    let both = share(" planted::two_loops") + share(" planted::shared");
    assert!(near(both, 1.0), "{both}\n{}\n{functions}", pprof(&["-tags", path]));
    // by line: the lines of the calls that were inlined into it
    let source =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/profiling/examples/planted.rs")).unwrap();
    let line_of = |call: &str| source.lines().position(|line| line.contains(call)).unwrap() + 1;
    let lines = pprof(&["-top", "-cum", "-lines", "-nodecount=1000", path]);
    let of_line = |call: &str| cumulative(&lines, &format!("profiling/examples/planted.rs:{}", line_of(call)));
    let first = of_line("= first_loop(turns * 3)");
    let by_line = first / (first + of_line("= second_loop(turns)"));
    assert!(near(by_line, 0.75), "{by_line}\n{lines}");
    let raw = pprof(&["-proto", "-output=/dev/null", path]);
    assert!(!raw.contains("error"), "{raw}");
    let tags = pprof(&["-tags", path]);
    assert!(tags.contains(": inlined") && tags.contains(": shared"), "{tags}");
    let inlined = pprof(&["-top", "-cum", "-tagfocus=thread=inlined", path]);
    assert!(inlined.contains("planted::two_loops") && !inlined.contains("planted::planted_hot"), "{inlined}");
    let same = fetch(planted.ops, "seconds=1&tag=thread:shared").await;
    let same = pprof(&["-top", "-cum", same.path().to_str().unwrap()]);
    assert!(same.contains("planted::planted_hot") && !same.contains("planted::two_loops"), "{same}");
}

#[tokio::test]
async fn a_difference_names_what_is_new_first() {
    let planted = Planted::start(&["--new-after", "3"]);
    let before = fetch(planted.ops, "seconds=2").await;
    crate::harness::answered("the new thread at work", async || {
        let now = get(planted.ops, "/debug/pprof/profile?seconds=1&format=collapsed&tag=thread:new").await;
        now.body.contains("planted::planted_new").then_some(())
    })
    .await;
    let after = fetch(planted.ops, "seconds=2").await;
    let [before, after] = [&before, &after].map(|file| file.path().to_str().unwrap());
    let (code, told, complaints) = run_to_end(&["profile", "diff", before, after, "--json"]);
    assert_eq!(code, 0, "{complaints}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let changes = told["changes"].as_array().unwrap();
    // what calls it is as new as it is, and the thread's own beginning
    let grown = changes.iter().take(3).any(|change| change["name"] == "planted::planted_new");
    assert!(grown, "{changes:#?}");
    let theirs = pprof(&["-top", "-cum", "-normalize", &format!("-diff_base={before}"), after]);
    assert!(cumulative(&theirs, " planted::planted_new") > 0.2, "{theirs}");
    let (code, _, complaints) = run_to_end(&["profile", "diff", before, "nowhere.pb.gz", "--json"]);
    assert!(code != 0 && complaints.contains("nowhere.pb.gz"), "{complaints}");
}
