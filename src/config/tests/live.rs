//! What runs, and what is to replace it: all or nothing, and no secret in any of it.

use std::path::PathBuf;

use super::{super::*, SECRET, file, sources};

const OTHER: &str = "another-secret-another-secret-another";

/// What runs by that file, which lives as long as the directory beside it.
fn running(text: &str) -> (tempfile::TempDir, PathBuf, InForce) {
    let (dir, path) = file(text);
    let sources = Sources { file: Some(path.clone()), ..sources(&[]) };
    let loaded = load(&sources).unwrap();
    (dir, path, InForce::new(sources, loaded))
}

fn changes(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::NeedsRestart(changes) | Verdict::Applicable(_, changes) => {
            changes.iter().map(ToString::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_of_live_keys_is_told_and_runs_once_it_was_taken_up() {
    let (_dir, path, in_force) = running("[limits]\nrooms = 5\n");
    assert!(matches!(in_force.judge(Taken::File), Verdict::Unchanged(_)));
    std::fs::write(&path, "[limits]\nrooms = 6\n[drain]\nseconds = 9\n").unwrap();
    let Verdict::Applicable(loaded, changes) = in_force.judge(Taken::File) else { panic!("it is live") };
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["drain.seconds: 30 -> 9", "limits.rooms: 5 -> 6"]);
    assert_eq!(in_force.edition().loaded.config.limits.rooms, 5, "judging takes nothing up");
    let before = in_force.edition();
    let now = in_force.replace(*loaded, Taken::File);
    assert_eq!((before.generation, now.generation), (1, 2));
    assert_ne!(before.hash, now.hash);
    assert_eq!(in_force.edition().loaded.config.limits.rooms, 6);
}

#[test]
fn one_key_that_needs_a_restart_refuses_all() {
    let (_dir, path, in_force) = running("");
    std::fs::write(&path, "[limits]\nrooms = 6\n[server]\nworkers = 3\n").unwrap();
    let Verdict::NeedsRestart(changes) = in_force.judge(Taken::File) else { panic!("workers are fixed at start") };
    let live: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.live)).collect();
    assert_eq!(live, [("limits.rooms", true), ("server.workers", false)]);
    assert_eq!(in_force.edition().loaded.config.limits.rooms, Config::default().limits.rooms);
}

#[test]
fn mistakes_are_all_told_and_come_before_what_could_change() {
    let (_dir, path, in_force) = running("");
    for (bad, key) in [("[limits]\nrooms = 0\nroms = 1\n", "limits.roms"), ("[limits\n", "(file)")] {
        std::fs::write(&path, bad).unwrap();
        let Verdict::Mistaken(error) = in_force.judge(Taken::File) else { panic!("{bad}") };
        assert!(error.mistakes.iter().any(|mistake| mistake.key == key), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let Verdict::Mistaken(error) = in_force.judge(Taken::File) else { panic!("it is gone") };
    assert!(error.to_string().contains("cannot read it"), "{error}");
}

#[test]
fn environment_and_flags_win_over_the_file_as_at_start() {
    let (_dir, path) = file("");
    let layers = Sources { file: Some(path.clone()), ..sources(&[("SIGNALBOX_LIMITS__ROOMS", "7")]) };
    let loaded = load(&layers).unwrap();
    let in_force = InForce::new(layers, loaded);
    std::fs::write(&path, "[limits]\nrooms = 6\n").unwrap();
    assert!(matches!(in_force.judge(Taken::File), Verdict::Unchanged(_)));
    assert!(matches!(in_force.propose("[limits]\nrooms = 8\n"), Verdict::Unchanged(_)));
}

#[test]
fn a_proposed_text_is_judged_as_the_file_would_be_and_the_file_is_not_read() {
    let (_dir, path, in_force) = running("[limits]\nrooms = 5\n");
    std::fs::remove_file(path).unwrap();
    assert_eq!(changes(in_force.propose("[limits]\nrooms = 6\n")), ["limits.rooms: 5 -> 6"]);
    assert!(matches!(in_force.propose("[limits]\nrooms = 5\n"), Verdict::Unchanged(_)));
}

#[test]
fn a_key_that_is_added_or_goes_is_live_and_told_without_its_secret() {
    let text = format!("[[auth.keys.web]]\nsecret = \"{SECRET}\"\nkid = \"old\"\n");
    let (_dir, path, in_force) = running(&text);
    std::fs::write(&path, format!("{text}[[auth.keys.web]]\nsecret = \"{OTHER}\"\nkid = \"new\"\n")).unwrap();
    let Verdict::Applicable(loaded, added) = in_force.judge(Taken::File) else { panic!("keys are live") };
    let told: Vec<String> = added.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["auth.keys.web.1.kid: (none) -> \"new\"", "auth.keys.web.1.secret: (none) -> \"<hidden>\""]);
    in_force.replace(*loaded, Taken::File);
    std::fs::write(&path, text).unwrap();
    assert_eq!(changes(in_force.judge(Taken::File))[0], "auth.keys.web.1.kid: \"new\" -> (none)");
}

#[test]
fn a_secret_that_changed_in_place_or_in_its_file_is_told_as_other_content() {
    let (_dir, path, in_force) = running(&format!("[auth.keys.web]\nsecret = \"{SECRET}\"\n"));
    std::fs::write(&path, format!("[auth.keys.web]\nsecret = \"{OTHER}\"\n")).unwrap();
    let told = changes(in_force.judge(Taken::File));
    assert_eq!(told, ["auth.keys.web.0.secret: \"<hidden>\" -> \"<hidden>\" (other content)"]);

    let (_secret_dir, secret) = file(SECRET);
    let named = format!("[auth.keys.web]\nsecret_file = {secret:?}\n[resume]\nsecret_file = {secret:?}\n");
    let (_dir, _path, in_force) = running(&named);
    assert!(in_force.files().contains(&secret), "{:?}", in_force.files());
    std::fs::write(&secret, OTHER).unwrap();
    let Verdict::NeedsRestart(changed) = in_force.judge(Taken::File) else { panic!("resume.secret is fixed at start") };
    let live: Vec<_> = changed.iter().map(|change| (change.key.as_str(), change.live)).collect();
    assert_eq!(live, [("auth.keys.web.0.secret", true), ("resume.secret", false)]);
}

#[test]
fn what_is_in_a_file_that_is_no_secret_counts_as_well() {
    let pem = |seed: u8| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        format!("{}# {seed}\n", key.public_key_pem())
    };
    let (_key_dir, key) = file(&pem(1));
    let (_dir, _path, in_force) = running(&format!("[auth.keys.web]\npublic_key_file = {key:?}\n"));
    std::fs::write(&key, pem(2)).unwrap();
    let told = changes(in_force.judge(Taken::File));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("auth.keys.web.0.public_key_file: ") && told[0].ends_with(" (other content)"));
}

#[test]
fn no_verdict_shows_a_secret() {
    let secret = |text: &str| {
        format!(
            "[auth.keys.web]\nsecret = \"{text}\"\n[resume]\nsecret = \"{text}\"\n[ice]\nturn_urls = \"turn:t.example\"\n\
             turn_secret = \"{text}\"\n[auth.jwks]\nurl = \"https://me:{text}@keys.example\"\n"
        )
    };
    let (_dir, path, in_force) = running(&secret(SECRET));
    std::fs::write(path, secret(OTHER)).unwrap();
    let Verdict::NeedsRestart(changes) = in_force.judge(Taken::File) else { panic!("some are fixed") };
    let keys: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["auth.jwks.url", "auth.keys.web.0.secret", "ice.turn_secret", "resume.secret"]);
    let shown = format!("{changes:?} {}", serde_json::to_string(&changes).unwrap());
    assert!(!shown.contains(SECRET) && !shown.contains(OTHER), "{shown}");
}

#[test]
fn the_hash_is_of_what_a_fleet_has_in_common() {
    let hash = |text: &str| running(text).2.edition().hash;
    let plain = hash("");
    assert!(plain > 0 && plain < 1 << 48);
    assert_eq!(plain, hash("[server]\nid = \"r7\"\nregion = \"sh\"\n[client]\nlisten = \"127.0.0.1:1\"\n"));
    assert_eq!(plain, hash(&format!("[resume]\nsecret = \"{SECRET}\"\n")), "secrets are not in it");
    assert_ne!(plain, hash("[limits]\nrooms = 6\n"));
    // the same on every machine and after every build, or routers that agree would seem to differ
    assert_eq!(hash("[limits]\nrooms = 6\n"), hash("[limits]\nrooms = 6\n[drain]\nseconds = 30\n"));
}

#[test]
fn the_same_values_from_elsewhere_are_no_new_generation() {
    let (_dir, path, in_force) = running("[limits]\nrooms = 5\n");
    std::fs::write(&path, "# said otherwise\nlimits.rooms = 5\n[drain]\nseconds = 30\n").unwrap();
    let Verdict::Unchanged(loaded) = in_force.judge(Taken::File) else { panic!("nothing changed") };
    in_force.refuse();
    assert_eq!(in_force.replace(*loaded, Taken::File).generation, 1);
    assert!(!in_force.is_refused());
    assert!(in_force.edition().loaded.provenance["drain.seconds"].to_string().starts_with("file:"));
}

#[test]
fn a_pipe_is_not_waited_for_while_the_router_runs() {
    let (dir, path, in_force) = running("");
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(&path, format!("[auth.keys.web]\nsecret_file = {pipe:?}\n")).unwrap();
    let Verdict::Mistaken(error) = in_force.judge(Taken::File) else { panic!("it would wait") };
    assert!(error.to_string().contains("regular file"), "{error}");
    assert!(matches!(in_force.propose(&std::fs::read_to_string(&path).unwrap()), Verdict::Mistaken(_)));
}
