//! What we write is read by Go's own pprof, and what Go writes is read by us.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use signalbox::profiler::{
    pprof,
    profile::{Function, Line, Location, Mapping, Profile, Sample, ValueType},
};
use tempfile::TempDir;

const GENERIC: &str = "<signalbox::room::Room as core::ops::FnOnce<([u8; 8],)>>::call_once";
const INLINED: &str = "signalbox::planted::inner";
const CALLER: &str = "signalbox::planted::busy_loop";

/// A program with a busy function under a label, and what its runtime tells of CPU and heap.
const GO_PROGRAM: &str = r#"
package main

import ("context"; "os"; "runtime"; "runtime/pprof"; "time")

var kept [][]byte

//go:noinline
func planted(until time.Time) (sum int) {
	for time.Now().Before(until) { for i := 0; i < 10000; i++ { sum += i * i } }
	return sum
}

func main() {
	cpu, _ := os.Create(os.Args[1])
	pprof.StartCPUProfile(cpu)
	pprof.Do(context.Background(), pprof.Labels("op", "join"), func(context.Context) { planted(time.Now().Add(400 * time.Millisecond)) })
	pprof.StopCPUProfile()
	cpu.Close()
	for i := 0; i < 64; i++ { kept = append(kept, make([]byte, 1 << 20)) }
	runtime.GC() // the profile is as of the last one
	heap, _ := os.Create(os.Args[2])
	pprof.Lookup("heap").WriteTo(heap, 0)
	heap.Close()
}
"#;

fn go(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("go").args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("go is missing ({e}): run `make test`, or `.ci/setup test`"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "go {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Nine of ten parts of the time in a function that is inlined into another, the rest in a library without names.
fn planted() -> Profile {
    let mut profile =
        Profile::cpu(Duration::from_millis(10), Duration::from_secs(1_764_100_000), Duration::from_secs(10));
    let function = |name: &str, file: &str| Function { name: name.into(), file: file.into() };
    profile.functions =
        vec![function(INLINED, "src/planted.rs"), function(CALLER, "src/planted.rs"), function(GENERIC, "src/room.rs")];
    let mapping = |start, file: &str| Mapping {
        start,
        limit: start + 0x10_0000,
        offset: 0,
        file: file.into(),
        build_id: "0123456789abcdef".into(),
    };
    profile.mappings = vec![mapping(0x40_0000, "/usr/bin/signalbox"), mapping(0x7f00_0000, "/usr/lib/libc.so.6")];
    let line = |function, line| Line { function, line };
    let location = |address, mapping, lines| Location { address, mapping: Some(mapping), lines };
    profile.locations = vec![
        location(0x40_1000, 0, vec![line(0, 12), line(1, 31)]),
        location(0x40_2000, 0, vec![line(0, 12), line(1, 35)]),
        location(0x40_3000, 0, vec![line(2, 77)]),
        location(0x7f00_0040, 1, Vec::new()),
    ];
    let sample = |stack, count: u64, labels: &[(&str, &str)]| Sample {
        stack,
        count,
        weight: count * 10_000_000,
        labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    profile.samples = vec![
        sample(vec![0, 2], 60, &[("thread", "worker-0"), ("op", "join")]),
        sample(vec![1, 2], 30, &[("thread", "worker-1"), ("op", "send")]),
        sample(vec![3], 10, &[("thread", "ops")]),
    ];
    profile.comments = vec!["cut short: 0".to_owned()];
    profile
}

fn written() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cpu.pb.gz");
    std::fs::write(&path, pprof::encode(&planted())).unwrap();
    (folder, path)
}

/// The row of a table that ends in that name.
#[track_caller]
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("no {name} in\n{table}"));
    line.split_whitespace().collect()
}

#[test]
fn go_tool_pprof_shows_the_shares_of_functions_with_their_whole_names() {
    let (folder, path) = written();
    let path = path.to_str().unwrap();
    let top = go(folder.path(), &["tool", "pprof", "-unit=ms", "-top", path]);
    for wanted in ["Type: cpu", "Duration: 10s, Total samples = 1000ms", "2025", "cut short: 0"] {
        assert!(top.contains(wanted), "{wanted} in\n{top}");
    }
    assert_eq!(row(&top, INLINED)[..5], ["900ms", "90.00%", "90.00%", "900ms", "90.00%"], "{top}");
    assert_eq!(row(&top, CALLER)[3..5], ["900ms", "90.00%"], "{top}");
    assert_eq!(row(&top, GENERIC)[3..5], ["900ms", "90.00%"], "{top}");
    assert_eq!(row(&top, "[libc.so.6]")[3..5], ["100ms", "10.00%"], "{top}");
}

#[test]
fn go_tool_pprof_tells_lines_apart_and_finds_labels() {
    let (folder, path) = written();
    let path = path.to_str().unwrap();
    let lines = go(folder.path(), &["tool", "pprof", "-lines", "-unit=ms", "-top", path]);
    assert_eq!(row(&lines, "src/planted.rs:31")[3..5], ["600ms", "60.00%"], "{lines}");
    assert_eq!(row(&lines, "src/planted.rs:35")[3..5], ["300ms", "30.00%"], "{lines}");
    let counts = go(folder.path(), &["tool", "pprof", "-sample_index=samples", "-unit=ms", "-top", path]);
    assert!(counts.contains("Total samples = 100"), "{counts}");
    let tags = go(folder.path(), &["tool", "pprof", "-unit=ms", "-tags", path]);
    for (label, weight) in [(": join", "600"), (": send", "300"), (": worker-1", "300"), (": ops", "100")] {
        assert!(row(&tags, label)[0].starts_with(weight), "{label} in\n{tags}");
    }
    let joins = go(folder.path(), &["tool", "pprof", "-tagfocus=op=join", "-unit=ms", "-top", path]);
    assert!(joins.contains("Showing nodes accounting for 600ms, 60.00% of 1000ms total"), "{joins}");
}

#[test]
fn what_go_tool_pprof_writes_of_ours_is_ours_again() {
    let (folder, path) = written();
    let again = folder.path().join("again.pb.gz");
    let output = format!("-output={}", again.display());
    go(folder.path(), &["tool", "pprof", "-proto", &output, path.to_str().unwrap()]);
    let (ours, theirs) = (planted(), pprof::decode(&std::fs::read(again).unwrap()).unwrap());
    assert_eq!(
        (&theirs.values, theirs.period, theirs.started, theirs.length),
        (&ours.values, ours.period, ours.started, ours.length)
    );
    assert_eq!(theirs.comments, ours.comments);
    let rows = |profile: &Profile| {
        let row = |sample: &Sample| {
            let frames: Vec<_> =
                profile.frames(&sample.stack).map(|f| format!("{} {} {}", f.name, f.file, f.line)).collect();
            let labels = ["thread", "op"].map(|name| sample.label(name).map(str::to_owned));
            (frames, labels, sample.count, sample.weight)
        };
        let mut rows: Vec<_> = profile.samples.iter().map(row).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&theirs), rows(&ours));
    assert!(theirs.mappings.iter().all(|mapping| &*mapping.build_id == "0123456789abcdef"), "{:?}", theirs.mappings);
}

#[test]
fn a_difference_of_two_profiles_is_gos_to_make_and_not_ours_to_read() {
    let (folder, path) = written();
    let mut later = planted();
    later.samples.remove(0);
    let target = folder.path().join("later.pb.gz");
    std::fs::write(&target, pprof::encode(&later)).unwrap();
    let base = format!("-diff_base={}", path.display());
    let top = go(folder.path(), &["tool", "pprof", "-unit=ms", "-top", &base, target.to_str().unwrap()]);
    assert_eq!(row(&top, INLINED)[3], "-600ms", "{top}");
    let difference = folder.path().join("difference.pb.gz");
    let output = format!("-output={}", difference.display());
    go(folder.path(), &["tool", "pprof", "-proto", &output, &base, target.to_str().unwrap()]);
    let refused = pprof::decode(&std::fs::read(difference).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("differences of profiles are not read"), "{refused}");
}

#[test]
fn profiles_of_gos_runtime_are_read() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("main.go"), GO_PROGRAM).unwrap();
    go(folder.path(), &["run", "main.go", "cpu.pb.gz", "heap.pb.gz"]);
    let read = |name: &str| pprof::decode(&std::fs::read(folder.path().join(name)).unwrap()).unwrap();
    let cpu = read("cpu.pb.gz");
    assert_eq!(cpu.values, [ValueType::new("samples", "count"), ValueType::new("cpu", "nanoseconds")]);
    let in_planted = |sample: &&Sample| cpu.frames(&sample.stack).any(|frame| frame.name == "main.planted");
    let planted: Vec<_> = cpu.samples.iter().filter(in_planted).collect();
    assert!(planted.iter().any(|sample| sample.label("op") == Some("join")), "{cpu:?}");
    let heap = read("heap.pb.gz");
    assert_eq!(heap.values, [ValueType::new("alloc_objects", "count"), ValueType::new("inuse_space", "bytes")]);
    assert!(heap.weight() >= 32 << 20, "64 MiB are kept: {}", heap.weight());
    assert!(heap.samples.iter().any(|sample| sample.label("bytes") == Some("1048576")), "{heap:?}");
}
