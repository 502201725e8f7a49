//! The rules of the fleet: told as they stand, whatever happens to watches, and what a router says of how it follows them.

use super::*;

const KEY: &str = "/s/rules";

fn news(revision: i64, text: &str) -> Option<RulesNews> {
    Some(RulesNews { revision, text: Ok(text.into()) })
}

fn started(etcd: &mut Etcd) -> Driven {
    let mut driven = Driven::new(Instant::now());
    live(&mut driven, etcd, Duration::from_secs(1));
    driven
}

#[test]
fn they_are_told_when_they_come_change_are_written_anew_and_go() {
    let mut etcd = Etcd::default();
    let mut driven = started(&mut etcd);
    assert_eq!(driven.rules, [], "nothing is told of nothing");
    for text in ["a = 1", "a = 2", "a = 2"] {
        etcd.put(KEY, text.into());
        let revision = etcd.revision();
        live(&mut driven, &mut etcd, Duration::from_secs(1));
        assert_eq!(driven.rules.pop(), Some(news(revision, text)));
        assert_eq!(driven.directory.shown(driven.now).rules_revision, revision);
    }
    etcd.delete(KEY);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert_eq!((driven.rules.pop(), driven.directory.shown(driven.now).rules_revision), (Some(None), 0));
}

#[test]
fn those_that_stood_there_before_are_told_at_start_and_other_keys_that_begin_so_are_not() {
    let mut etcd = Etcd::default();
    etcd.put("/s/rules", b"a = 1".to_vec());
    let revision = etcd.revision();
    for other in ["/s/rules-old", "/s/rules/x"] {
        etcd.put(other, b"b = 1".to_vec());
    }
    let mut driven = started(&mut etcd);
    assert_eq!(driven.rules, [news(revision, "a = 1")]);
    etcd.put("/s/rules/x", b"b = 2".to_vec());
    etcd.delete("/s/rules-old");
    live(&mut driven, &mut etcd, LEASE);
    assert_eq!(driven.rules.len(), 1, "{:?}", driven.rules);
    assert!(!driven.facts.iter().any(|fact| matches!(fact, DirectoryFact::Overfull { .. })), "{:?}", driven.facts);
}

#[test]
fn what_is_no_text_or_too_long_is_told_with_its_revision_and_why() {
    let mut etcd = Etcd::default();
    let mut driven = started(&mut etcd);
    for (bytes, why) in [(vec![0xff], "not UTF-8"), (vec![b' '; RULES_BYTES_MAX + 1], "65537 bytes, at most 65536")] {
        etcd.put(KEY, bytes);
        live(&mut driven, &mut etcd, Duration::from_secs(1));
        let told = driven.rules.pop().flatten().unwrap();
        assert_eq!((told.revision, told.text), (etcd.revision(), Err(why.to_owned())));
    }
    etcd.put(KEY, vec![b' '; RULES_BYTES_MAX]);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert!(driven.rules.pop().flatten().unwrap().text.is_ok());
}

#[test]
fn changes_that_were_compacted_away_or_an_etcd_made_anew_end_in_what_stands() {
    let mut etcd = Etcd::default();
    let mut driven = started(&mut etcd);
    etcd.put(KEY, b"a = 1".to_vec());
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    etcd.cut();
    converse(&mut driven, &mut etcd);
    etcd.delete(KEY);
    etcd.put(KEY, b"a = 2".to_vec());
    let revision = etcd.revision();
    etcd.compact();
    live(&mut driven, &mut etcd, Duration::from_secs(9));
    assert_eq!(driven.rules.last(), Some(&news(revision, "a = 2")));
    // away, all stays as it was told last
    let told = driven.rules.len();
    driven.pass(LEASE * 2);
    assert_eq!((driven.rules.len(), driven.directory.shown(driven.now).rules_revision), (told, revision));
    etcd.wipe();
    live(&mut driven, &mut etcd, LEASE);
    assert_eq!(driven.rules.last(), Some(&None));
}

#[test]
fn how_far_they_are_followed_is_written_at_once_and_all_routers_see_it() {
    let mut etcd = Etcd::default();
    let mut driven = started(&mut etcd);
    let standing = RulesStanding { revision: 7, judged: 9, refused: true };
    driven.tell(Input::RulesTaken(standing));
    converse(&mut driven, &mut etcd);
    let written = RouterRecord::read("own", &etcd.get("/s/routers/own").unwrap()).unwrap();
    assert_eq!(written.rules, Some(standing));
    assert_eq!(driven.directory.figures(driven.now).rules, standing);
    assert_eq!(driven.directory.shown(driven.now).routers[0].rules, Some(standing));
    driven.tell(Input::RulesTaken(standing));
    assert_eq!(driven.calls, [], "the same is not written again");
    // of a version that does not say
    etcd.put("/s/routers/a", record("a", "bj").bytes());
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert_eq!(driven.directory.shown(driven.now).routers[0].rules, None);
}

#[test]
fn routers_that_see_other_rules_have_other_digests() {
    let mut etcd = Etcd::default();
    let mut driven = started(&mut etcd);
    let digest = |driven: &Driven| driven.directory.figures(driven.now).digest;
    let none = digest(&driven);
    etcd.put(KEY, b"a = 1".to_vec());
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    let one = digest(&driven);
    etcd.put(KEY, b"a = 2".to_vec());
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert!(none != one && one != digest(&driven) && none != digest(&driven));
}
