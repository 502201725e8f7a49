use std::fs;

use super::*;
use crate::telemetry::PROMISE;

const SECOND: Duration = Duration::from_secs(1);
/// 2026-11-25, 21:27:30 UTC.
const AT: Duration = Duration::from_secs(1_795_642_050);

/// A moment so many seconds after the beginning.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn at(self, seconds: u32) -> Now {
        Now { at: self.0 + SECOND * seconds, unix: AT + SECOND * seconds }
    }
}

fn settings(folder: Option<PathBuf>) -> CaptureSettings {
    CaptureSettings {
        router: Router { id: "r1".to_owned(), version: "1.2.3".to_owned() },
        folder,
        bounds: Bounds { captures: 32, bytes: 1_000_000 },
        pace: PaceSettings::default(),
    }
}

fn open(folder: Option<PathBuf>) -> (Captures, Clock) {
    let (captures, told) = Captures::open(settings(folder));
    assert_eq!(told, []);
    (captures, Clock(Instant::now()))
}

fn p99(op: &'static str, region: &str, ms: u64) -> RecentP99 {
    RecentP99 { op, region: region.to_owned(), p99: Duration::from_millis(ms), count: 1_000, usual: None }
}

/// Two windows above the promise, the second of which ends after so many seconds.
fn breach(captures: &Captures, clock: Clock, seconds: u32, seen: &[RecentP99]) -> Vec<Told> {
    assert_eq!(captures.look(clock.at(seconds - 10), seen), []);
    captures.look(clock.at(seconds), seen)
}

fn parts() -> Parts {
    Parts::default().profile(vec![7; 70]).latency(&Latencies::default())
}

/// One that an operator asked for at that second, finished with these parts.
fn asked(captures: &Captures, clock: Clock, seconds: u32, parts: Parts) -> (CaptureId, Vec<Told>) {
    let id = captures.ask(clock.at(seconds), "why is it slow?").unwrap().id;
    (id.clone(), captures.finish(clock.at(seconds + 30), &id, parts))
}

fn ids(captures: &Captures) -> Vec<String> {
    captures.list().into_iter().map(|capture| capture.id.to_string()).collect()
}

#[test]
fn a_breach_is_recorded_until_its_window_has_passed_and_then_has_its_parts() {
    let (captures, clock) = open(None);
    let told = breach(&captures, clock, 20, &[p99("join", "eu-west", 143)]);
    let [Told::Made(made)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(made.id.as_str(), "20261125T212750Z-join-eu-west");
    let Cause::Latency(slowness) = &made.cause else { panic!("{made:?}") };
    assert_eq!(
        (slowness.p99_ms, slowness.bound_ms, slowness.since_unix_ms),
        (143.0, millis(PROMISE), AT.as_millis() as u64)
    );
    assert_eq!((made.window.from(), made.window.until()), (AT - 10 * SECOND, AT + 50 * SECOND));
    assert_eq!(made.ready_in(clock.at(25).unix), 25 * SECOND);
    let recording = captures.part(clock.at(25), made.id.as_str(), Part::Profile);
    assert_eq!(recording, Err(PartError::Recording { ready_in: 25 * SECOND }));
    assert_eq!(captures.due(clock.at(49)), (Vec::new(), Vec::new()));
    assert_eq!(captures.due(clock.at(50)).0, [*made.clone()]);
    let told = captures.finish(clock.at(51), &made.id, parts());
    let [Told::Ready { capture, bytes }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((capture.state, capture.window, capture.part(Part::Profile)), (State::Ready, made.window, Some(70)));
    assert!(*bytes > 70 && capture.kept == Kept::Memory("server.data_dir is not set".to_owned()), "{told:?}");
    assert_eq!(captures.get(made.id.as_str()).as_ref(), Some(&**capture));
    let part = |part| captures.part(clock.at(51), made.id.as_str(), part);
    assert_eq!(part(Part::Profile).unwrap(), vec![7; 70]);
    assert_eq!(part(Part::Slow), Err(PartError::NoSuchPart));
    assert_eq!(captures.due(clock.at(52)), (Vec::new(), Vec::new()));
    assert_eq!(captures.finish(clock.at(52), &made.id, parts()), [], "it is finished once");
}

#[test]
fn all_that_left_their_bands_in_one_incident_share_a_capture() {
    let (captures, clock) = open(None);
    let seen = [p99("join", "sh", 90), p99("send", "sh", 900), p99("ping", "sh", 20)];
    let told = breach(&captures, clock, 20, &seen);
    let [Told::Made(made), Told::Joined { id, slowness }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((made.id.as_str(), id, slowness.op.as_str()), ("20261125T212750Z-send-sh", &made.id, "join"));
    // and another one ten seconds later
    let later = breach(&captures, clock, 40, &[p99("leave", "sz", 200)]);
    assert!(matches!(later.as_slice(), [Told::Joined { .. }]), "{later:?}");
    let also: Vec<_> = captures.list()[0].also.iter().map(|slowness| slowness.op.clone()).collect();
    assert_eq!((captures.list().len(), also), (1, vec!["join".to_owned(), "leave".to_owned()]));
    let latest = |op, region| captures.latest(op, region).map(|capture| capture.id);
    assert_eq!(latest(Some("leave"), Some("sz")), Some(made.id.clone()));
    assert_eq!((latest(None, None), latest(Some("ping"), None)), (Some(made.id.clone()), None));
}

#[test]
fn a_stall_has_the_stack_that_was_seen_when_it_was_found() {
    let (captures, clock) = open(None);
    let stack = vec!["std::thread::sleep".to_owned(), "main".to_owned()];
    let stall = Stall { worker: 1, stalled_for: SECOND, state: StallState::Blocked, stack };
    let made = captures.stalled(clock.at(0), stall.clone()).unwrap();
    assert_eq!(made.window.from(), AT - 21 * SECOND);
    let refused = captures.stalled(clock.at(60), stall).unwrap_err();
    assert_eq!((refused.why, refused.retry_after), (RefusedWhy::Pace, 240 * SECOND));
    assert!(refused.to_string().ends_with("come back in 240 s"), "{refused}");
    captures.finish(clock.at(30), &made.id, Parts::default());
    let stack = captures.part(clock.at(30), made.id.as_str(), Part::Stall).unwrap();
    assert_eq!(stack, "std::thread::sleep\nmain\n");
}

#[test]
fn captures_are_there_after_a_restart_with_their_parts() {
    let place = tempfile::tempdir().unwrap();
    let folder = Some(place.path().join("captures"));
    let (captures, clock) = open(folder.clone());
    let (id, told) = asked(&captures, clock, 0, parts());
    assert!(matches!(told.as_slice(), [Told::Ready { .. }]), "{told:?}");
    // and one that was being recorded
    breach(&captures, clock, 60, &[p99("join", "sh", 900)]);
    let before = captures.get(id.as_str()).unwrap();
    assert_eq!((before.kept.clone(), captures.weight().in_memory), (Kept::Folder, 0));
    drop(captures);
    let (captures, clock) = open(folder);
    assert_eq!(captures.list(), [before]);
    assert_eq!(captures.part(clock.at(0), id.as_str(), Part::Profile).unwrap(), vec![7; 70]);
    fs::remove_dir_all(place.path().join("captures").join(id.as_str())).unwrap();
    let gone = captures.part(clock.at(0), id.as_str(), Part::Profile);
    assert!(matches!(gone, Err(PartError::Unreadable(_))), "{gone:?}");
}

#[test]
fn a_corrupt_capture_is_told_of_and_the_others_are_there() {
    let place = tempfile::tempdir().unwrap();
    let (captures, clock) = open(Some(place.path().to_owned()));
    let (first, second) = (asked(&captures, clock, 0, parts()).0, asked(&captures, clock, 100, parts()).0);
    fs::write(place.path().join(first.as_str()).join("capture.json"), "{").unwrap();
    let (captures, told) = Captures::open(settings(Some(place.path().to_owned())));
    let [Told::Corrupt(corrupt)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((corrupt.name.as_str(), ids(&captures)), (first.as_str(), vec![second.to_string()]));
    assert!(place.path().join(format!("{first}.corrupt")).is_dir());
}

#[test]
fn the_bounds_hold_on_disk_while_it_runs_and_at_a_start_with_tighter_ones() {
    let place = tempfile::tempdir().unwrap();
    let on_disk = || fs::read_dir(place.path()).unwrap().count();
    let bounds = Bounds { captures: 3, bytes: 1_000_000 };
    let settings = CaptureSettings { bounds, ..settings(Some(place.path().to_owned())) };
    let (captures, _) = Captures::open(settings.clone());
    let clock = Clock(Instant::now());
    let made: Vec<_> = (0..5).map(|n| asked(&captures, clock, n * 100, parts())).collect();
    assert_eq!(made[3].1[0], Told::MadeWay { id: made[0].0.clone(), why: MadeWay::Number });
    assert_eq!((captures.weight().captures, on_disk()), (3, 3));
    assert_eq!(captures.part(clock.at(500), made[0].0.as_str(), Part::Profile), Err(PartError::UnknownCapture));
    drop(captures);
    let bounds = Bounds { captures: 9, bytes: 1_000 };
    let (captures, told) = Captures::open(CaptureSettings { bounds, ..settings });
    assert_eq!(
        told,
        [
            Told::MadeWay { id: made[2].0.clone(), why: MadeWay::Bytes },
            Told::MadeWay { id: made[3].0.clone(), why: MadeWay::Bytes }
        ]
    );
    assert_eq!((ids(&captures), on_disk()), (vec![made[4].0.to_string()], 1));
    assert!(captures.weight().bytes <= 1_000);
}

#[test]
fn what_is_heavier_than_all_may_be_is_lost_and_leaves_the_others() {
    let (captures, clock) = open(None);
    let (kept, _) = asked(&captures, clock, 0, parts());
    let (lost, told) = asked(&captures, clock, 100, Parts::default().profile(vec![0; 1_000_001]));
    assert!(matches!(told.as_slice(), [Told::Lost { id, why }] if *id == lost && why.contains("1000000")), "{told:?}");
    assert_eq!(ids(&captures), [kept.to_string()]);
}

#[test]
fn in_a_folder_that_cannot_be_used_captures_stay_in_memory_and_say_why() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("captures");
    fs::write(&path, "a file where the folder should be").unwrap();
    let (captures, told) = Captures::open(settings(Some(path.clone())));
    assert!(matches!(told.as_slice(), [Told::FolderUnusable { .. }]), "{told:?}");
    let clock = Clock(Instant::now());
    let (id, _) = asked(&captures, clock, 0, parts());
    let Kept::Memory(why) = captures.get(id.as_str()).unwrap().kept else { panic!("it cannot be there") };
    assert!(why.contains("captures cannot be written: "), "{why}");
    assert_eq!(captures.part(clock.at(30), id.as_str(), Part::Profile).unwrap(), vec![7; 70]);
    assert_eq!(captures.weight(), Weight { captures: 1, in_memory: 1, bytes: captures.weight().bytes });
    // and when it can be used again, the next one is there
    fs::remove_file(&path).unwrap();
    let (id, _) = asked(&captures, clock, 100, parts());
    assert_eq!(captures.get(id.as_str()).unwrap().kept, Kept::Folder);
}

#[test]
fn a_storm_makes_a_bounded_number_and_leaves_operators_theirs() {
    let (captures, clock) = open(None);
    let (mut made, mut refused) = (0, 0);
    // an hour in which every minute another region is slow, and then fine again
    for minute in 0..59 {
        let region = format!("r{minute}");
        let told = breach(&captures, clock, 20 + minute * 60, &[p99("join", &region, 500)]);
        for told in told {
            match told {
                Told::Made(capture) => {
                    made += 1;
                    captures.finish(clock.at(20 + minute * 60 + 30), &capture.id, parts());
                }
                Told::Refused(Refused { why: RefusedWhy::Pace, retry_after, .. }) => {
                    refused += 1;
                    assert!(retry_after <= 3_600 * SECOND && retry_after > Duration::ZERO);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((made, refused, captures.list().len()), (12, 47, 12));
    assert!(captures.ask(clock.at(3_590), "storm").is_ok());
}

#[test]
fn one_that_nobody_finishes_is_given_up_and_told_of() {
    let (captures, clock) = open(None);
    let id = captures.ask(clock.at(0), "").unwrap().id;
    assert_eq!(captures.due(clock.at(330)).0.len(), 1);
    let (due, told) = captures.due(clock.at(331));
    assert_eq!(due, []);
    assert!(matches!(told.as_slice(), [Told::Lost { id: lost, .. }] if *lost == id), "{told:?}");
    assert_eq!(captures.list(), []);
}

#[test]
fn at_the_end_of_the_process_a_recording_is_finished_early() {
    let (captures, clock) = open(None);
    let id = captures.ask(clock.at(0), &"x".repeat(500)).unwrap().id;
    assert_eq!(captures.recordings().len(), 1);
    captures.finish(clock.at(7), &id, parts());
    let capture = captures.get(id.as_str()).unwrap();
    assert_eq!((capture.state, capture.window.until()), (State::Ready, AT + 7 * SECOND));
    assert!(matches!(capture.cause, Cause::Operator { note } if note.len() == NOTE_CHARS_MAX));
}

#[test]
fn runtime_is_of_the_window_and_of_the_hour_before() {
    let (captures, clock) = open(None);
    for step in 0..360 {
        let inbox_depth_max = if step >= 354 { 800 } else { 0 };
        let unix_ms = clock.at(step * 10).unix.as_millis() as u64;
        captures.push(Moment { unix_ms, inbox_depth_max, threads: 9, ..Moment::default() });
    }
    let made = captures.ask(clock.at(3_590), "").unwrap();
    let runtime = captures.runtime(&made);
    assert_eq!((runtime.window.len(), runtime.quiet.len()), (6, 348));
    assert_eq!(runtime.differences[0].name, "inputs waiting for the fullest shard");
    assert!(runtime.differences[0].quiet == 0.0 && runtime.differences[0].bad > 600.0);
}

#[test]
fn no_name_from_outside_is_ever_a_path() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("captures")).unwrap();
    fs::write(place.path().join("profile.pb.gz"), "secret").unwrap();
    let (captures, clock) = open(Some(place.path().join("captures")));
    asked(&captures, clock, 0, parts());
    for stranger in ["..", ".", "", "../captures", "/etc", "%2e%2e", "20261125T212730Z-operator/.", "\0"] {
        assert_eq!(captures.get(stranger), None);
        assert_eq!(captures.part(clock.at(30), stranger, Part::Profile), Err(PartError::UnknownCapture));
    }
}
