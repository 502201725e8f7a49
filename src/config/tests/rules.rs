//! Rules of the fleet and the file: two wholes, each judged over what runs of the other.

use std::path::PathBuf;

use super::{super::*, file, sources};

/// What runs by that file, which lives as long as the directory beside it.
fn running(text: &str) -> (tempfile::TempDir, PathBuf, InForce) {
    let (dir, path) = file(text);
    let sources = Sources { file: Some(path.clone()), ..sources(&[]) };
    let loaded = load(&sources).unwrap();
    (dir, path, InForce::new(sources, loaded))
}

fn rules(revision: i64, text: &str) -> Option<Rules> {
    Some(Rules { revision, text: Ok(text.into()) })
}

fn take(in_force: &InForce, of: Taken) {
    match in_force.judge(of) {
        Verdict::Applicable(loaded, _) | Verdict::Unchanged(loaded) => drop(in_force.replace(*loaded, of)),
        other => panic!("{other:?}"),
    }
}

fn joins(in_force: &InForce) -> u64 {
    in_force.edition().loaded.config.guard.queue_joins_ms.0
}

fn source(in_force: &InForce) -> String {
    in_force.edition().loaded.provenance["guard.queue_joins_ms"].to_string()
}

const FILE: &str = "[guard]\nqueue_joins_ms = 1\n";

#[test]
fn rules_run_once_they_were_taken_up_and_gone_the_file_counts_again() {
    let (_dir, path, in_force) = running(FILE);
    in_force.offer(rules(7, "guard.queue_joins_ms = 2"));
    assert_eq!((joins(&in_force), in_force.rules_revision(), in_force.rules_offered()), (1, 0, (7, false)));
    take(&in_force, Taken::Rules);
    assert_eq!((joins(&in_force), in_force.rules_revision(), in_force.edition().generation), (2, 7, 2));
    assert_eq!(source(&in_force), "etcd rules, revision 7");
    // the file changes below them
    std::fs::write(&path, "[guard]\nqueue_joins_ms = 3\nqueue_signals_ms = 9\n").unwrap();
    take(&in_force, Taken::File);
    assert_eq!((joins(&in_force), in_force.edition().loaded.config.guard.queue_signals_ms.0), (2, 9));
    in_force.offer(None);
    take(&in_force, Taken::Rules);
    assert_eq!((joins(&in_force), in_force.rules_revision(), in_force.rules_offered()), (3, 0, (0, false)));
    assert!(source(&in_force).starts_with("file:"), "{}", source(&in_force));
}

#[test]
fn rules_that_are_refused_leave_what_ran_and_do_not_hold_the_file_up() {
    let (_dir, path, in_force) = running(FILE);
    in_force.offer(rules(7, "guard.queue_joins_ms = 2"));
    take(&in_force, Taken::Rules);
    in_force.offer(rules(8, "guard.queue_joins_ms = 4\nlimits.rooms = 5"));
    let Verdict::Mistaken(error) = in_force.judge(Taken::Rules) else { panic!("rooms are not for a fleet") };
    assert_eq!(
        error.mistakes[0].to_string(),
        "limits.rooms = <hidden> (etcd rules, revision 8): not for a whole fleet; allowed: guard.*, variants.*, placement.*"
    );
    in_force.refuse_rules();
    assert_eq!((joins(&in_force), in_force.rules_revision(), in_force.rules_offered()), (2, 7, (8, true)));
    assert!(!in_force.is_refused(), "the file is none the worse");
    std::fs::write(&path, format!("{FILE}queue_signals_ms = 9\n")).unwrap();
    assert!(matches!(in_force.judge(Taken::Both), Verdict::Mistaken(_)));
    take(&in_force, Taken::File);
    assert_eq!(in_force.edition().loaded.config.guard.queue_signals_ms.0, 9);
    assert_eq!((joins(&in_force), in_force.rules_offered()), (2, (8, true)), "of rules nothing changed");
    in_force.offer(rules(9, "guard.queue_joins_ms = 5"));
    take(&in_force, Taken::Rules);
    assert_eq!((joins(&in_force), in_force.rules_offered()), (5, (9, false)));
}

#[test]
fn a_file_that_is_refused_does_not_hold_rules_up_and_stays_refused() {
    let (_dir, path, in_force) = running(FILE);
    std::fs::write(&path, "[guard\n").unwrap();
    assert!(matches!(in_force.judge(Taken::File), Verdict::Mistaken(_)));
    in_force.refuse();
    in_force.offer(rules(7, "guard.queue_signals_ms = 9"));
    take(&in_force, Taken::Rules);
    let guard = in_force.edition().loaded.config.guard.clone();
    assert_eq!((guard.queue_joins_ms.0, guard.queue_signals_ms.0), (1, 9), "over the file that runs");
    assert!(in_force.is_refused() && source(&in_force).starts_with("file:"));
    std::fs::write(&path, "[guard]\nqueue_joins_ms = 6\n").unwrap();
    take(&in_force, Taken::File);
    assert!(!in_force.is_refused() && joins(&in_force) == 6);
}

#[test]
fn a_file_and_rules_that_are_right_only_with_each_other_are_taken_up_together() {
    let (_dir, path, in_force) = running("");
    let text = "[[variants.rules]]\nname = \"a\"\nvariant = \"canary\"\npercent = 1\n";
    in_force.offer(rules(7, text));
    assert!(matches!(in_force.judge(Taken::Rules), Verdict::Mistaken(_)), "there is no such variant");
    in_force.refuse_rules();
    std::fs::write(&path, "[variants]\nnames = [\"canary\"]\n").unwrap();
    take(&in_force, Taken::Both);
    assert_eq!((in_force.rules_revision(), in_force.rules_offered()), (7, (7, false)));
    // the file cannot go back below them, nor could the rules stay without it
    std::fs::write(&path, "").unwrap();
    assert!(matches!(in_force.judge(Taken::File), Verdict::Mistaken(_)));
}

#[test]
fn proposed_rules_are_judged_over_the_file_that_runs_and_a_proposed_file_below_the_rules_that_run() {
    let (_dir, path, in_force) = running(FILE);
    std::fs::remove_file(&path).unwrap();
    let proposed = |text: &str| in_force.propose_rules(Some(Rules::proposed(text)));
    let Verdict::Applicable(_, changes) = proposed("guard.queue_joins_ms = 2") else { panic!("it is live") };
    assert_eq!(changes[0].to_string(), "guard.queue_joins_ms: 1 -> 2");
    assert!(matches!(proposed("guard.queue_joins_ms = 1"), Verdict::Unchanged(_)));
    let Verdict::Mistaken(error) = proposed("limits.rooms = 2") else { panic!("rooms are not for a fleet") };
    assert_eq!(error.mistakes[0].source.to_string(), "etcd rules, proposed");
    assert_eq!((joins(&in_force), in_force.rules_offered()), (1, (0, false)), "asking changes nothing");
    in_force.offer(rules(7, "guard.queue_joins_ms = 2"));
    take(&in_force, Taken::Rules);
    assert!(matches!(in_force.propose("[guard]\nqueue_joins_ms = 9\n"), Verdict::Unchanged(_)));
    let Verdict::Applicable(_, changes) = in_force.propose_rules(None) else { panic!("the file says otherwise") };
    assert_eq!(changes[0].to_string(), "guard.queue_joins_ms: 2 -> 1");
}
