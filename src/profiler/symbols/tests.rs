use super::*;
use crate::profiler::ring::Stack;

#[inline(never)]
fn planted() -> u64 {
    std::hint::black_box(7)
}

fn window(stacks: &[&[u64]]) -> Window {
    let stack = |addresses: &&[u64]| Stack {
        addresses: (*addresses).into(),
        thread: "worker-0".into(),
        count: 2,
        weight: Duration::from_millis(20),
    };
    let (from, until) = (Duration::from_secs(5), Duration::from_secs(9));
    Window { from, until, stacks: stacks.iter().map(stack).collect() }
}

fn resolve(stacks: &[&[u64]]) -> Profile {
    Symbols::default().resolve(&window(stacks), Duration::from_secs(1_000), Duration::from_millis(10))
}

#[test]
fn a_function_of_this_program_has_its_whole_name_its_file_and_its_line() {
    planted();
    let inside = planted as fn() -> u64 as usize as u64 + 1;
    let profile = resolve(&[&[inside, inside]]);
    let frames: Vec<_> = profile.frames(&profile.samples[0].stack).collect();
    let frame = frames.iter().find(|frame| frame.name.contains("planted")).unwrap_or_else(|| panic!("{frames:?}"));
    assert!(frame.name.ends_with("profiler::symbols::tests::planted"), "{frame:?}");
    assert!(frame.file.ends_with("src/profiler/symbols/tests.rs") && frame.line > 0, "{frame:?}");
    assert_eq!((profile.locations.len(), profile.samples[0].stack.len()), (1, 2), "one address is one location");
    let mapping = &profile.mappings[profile.locations[0].mapping.unwrap() as usize];
    assert!(mapping.start <= inside && inside < mapping.limit && mapping.build_id.len() >= 16, "{mapping:?}");
    assert_eq!((profile.length, profile.weight()), (Duration::from_secs(4), 20_000_000));
}

#[test]
fn the_op_is_that_of_the_mark_and_a_stack_cut_short_has_an_unknown_one() {
    let mut mark = 0_usize;
    marks::during(marks::InHand::Tick, &mut || mark += 1);
    let inside = planted as fn() -> u64 as usize as u64 + 1;
    let profile = resolve(&[&[inside], &[]]);
    assert_eq!(profile.samples[0].label(OP), Some(UNKNOWN));
    assert_eq!(profile.samples[0].label(THREAD), Some("worker-0"));
    assert_eq!(profile.samples[1].label(OP), None, "thinned is not cut short");
    let names: Vec<_> = profile.frames(&profile.samples[1].stack).map(|frame| frame.name).collect();
    assert_eq!(names, [THINNED]);
}

#[test]
fn an_address_of_nothing_is_unknown_and_one_of_a_stripped_library_is_never_somebody_else() {
    let profile = resolve(&[&[8]]);
    let names: Vec<_> = profile.frames(&profile.samples[0].stack).map(|frame| frame.name).collect();
    assert_eq!(names, ["[unknown]"]);
    let mut symbols = Symbols::default();
    symbols.map_of(8);
    let libc = symbols.maps.iter().find(|map| map.path.contains("libc.so")).cloned().unwrap();
    // an hundred places in it: a name only where its size covers it
    let code = code::Code::open(&libc.open);
    for step in 0..100 {
        let offset = libc.offset + (libc.limit - libc.start) / 100 * step;
        for named in code.lines(offset) {
            assert!(!named.function.is_empty());
        }
    }
    let nameless = symbols.names(&[libc.limit - 1]);
    assert!(nameless[0].contains("libc.so"), "{nameless:?}");
}

#[test]
fn debug_information_is_let_go_of_after_a_while_and_names_stay() {
    let mut symbols = Symbols::default();
    let inside = planted as fn() -> u64 as usize as u64 + 1;
    let names = symbols.names(&[inside]);
    assert!(!symbols.names.rests());
    symbols.rest(Instant::now());
    assert!(!symbols.names.rests());
    symbols.rest(Instant::now() + Duration::from_secs(3_600));
    assert!(symbols.names.rests());
    assert_eq!(symbols.names(&[inside]), names);
    assert!(symbols.names.rests(), "nobody had to be asked");
}

#[test]
fn threads_begin_in_std_or_in_main() {
    for name in [
        "main",
        "std::sys::thread::unix::Thread::new::thread_start",
        "std::sys::pal::unix::thread::Thread::new::thread_start",
    ] {
        assert!(is_root(name), "{name}");
    }
    for name in ["signalbox::app::thread_start", "domain", "tokio::runtime::thread_start", ""] {
        assert!(!is_root(name), "{name}");
    }
}
