//! Media nodes of the fleet: claimed by who they registered with, heard of by all, one record an id.

use super::*;

pub(super) fn node(id: &str, incarnation: &str, by: &str) -> NodeRecord {
    NodeRecord {
        version: record::RECORD_VERSION,
        id: id.to_owned(),
        incarnation: incarnation.to_owned(),
        region: "sh".to_owned(),
        variant: "default".to_owned(),
        control_url: format!("http://{id}:1"),
        public_url: String::new(),
        base_weight: 10,
        leaving: false,
        by: by.to_owned(),
        by_incarnation: if by.is_empty() { String::new() } else { "x".to_owned() },
        rest: serde_json::Map::new(),
    }
}

pub(super) fn read(etcd: &Etcd, id: &str) -> NodeRecord {
    NodeRecord::read(id, &etcd.get(&format!("/s/media/{id}")).unwrap()).unwrap()
}

/// Two routers that live with one etcd.
fn live_both(one: &mut Driven, other: &mut Driven, etcd: &mut Etcd, time: Duration) {
    let over = one.now + time;
    while one.now < over {
        // what one does, the other hears of
        for _ in 0..3 {
            converse_of(one, etcd);
            converse_of(other, etcd);
        }
        one.pass(Duration::from_millis(500));
        other.pass(Duration::from_millis(500));
        etcd.expire(one.now);
    }
}

/// As [`converse`], of one of several: streams of others are left to them.
fn converse_of(driven: &mut Driven, etcd: &mut Etcd) {
    let name = driven.directory.shown(driven.now).router;
    etcd.serve(&name);
    converse(driven, etcd);
}

fn there(driven: &Driven, id: &str) -> Vec<NodeNews> {
    let about = |news: &&NodeNews| match news {
        NodeNews::There(record) => record.id == id,
        NodeNews::Gone { node } => node.as_str() == id,
    };
    driven.nodes.iter().filter(about).cloned().collect()
}

#[test]
fn a_node_that_registers_is_heard_of_by_all_and_gone_when_it_does_not_any_more() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let (mut one, mut other) = (Driven::called("r1", now), Driven::called("r2", now));
    one.tell(Input::Registered(vec![node("m1", "x", "")]));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    let signed = node("m1", "x", "r1");
    assert_eq!((read(&etcd, "m1"), there(&other, "m1")), (signed.clone(), vec![NodeNews::There(Box::new(signed))]));
    let views = [&one, &other].map(|driven| driven.directory.shown(driven.now));
    assert_eq!((views[0].media_nodes, &views[0].digest), (1, &views[1].digest));
    let leaving = NodeRecord { leaving: true, ..node("m1", "x", "") };
    one.tell(Input::Registered(vec![leaving]));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    assert!(read(&etcd, "m1").leaving && there(&other, "m1").len() == 2);
    one.tell(Input::Registered(Vec::new()));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    assert!(etcd.get("/s/media/m1").is_none());
    assert_eq!(there(&other, "m1").last(), Some(&NodeNews::Gone { node: "m1".into() }));
}

#[test]
fn a_node_that_registered_with_two_routers_stands_once_and_outlives_either() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let (mut one, mut other) = (Driven::called("r1", now), Driven::called("r2", now));
    one.tell(Input::Registered(vec![node("m1", "x", "")]));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    other.tell(Input::Registered(vec![node("m1", "x", "")]));
    live_both(&mut one, &mut other, &mut etcd, LEASE);
    assert_eq!(read(&etcd, "m1").by, "r1", "the first one has it");
    one.tell(Input::Leave);
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    assert_eq!(read(&etcd, "m1").by, "r2");
}

#[test]
fn of_two_starts_of_a_node_the_later_one_is_written_over_what_was_seen_and_nothing_else() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let (mut one, mut other) = (Driven::called("r1", now), Driven::called("r2", now));
    one.tell(Input::Registered(vec![node("m1", "x", "")]));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    // both see that; the other writes its own over it, but what stands there is another one by then
    other.tell(Input::Registered(vec![node("m1", "y", "")]));
    let (ticket, claim) = other.take(DirectoryOp::Claim);
    etcd.put("/s/media/m1", node("m1", "z", "r3").bytes());
    let answer = etcd.answer(ticket, &claim, other.now);
    assert_eq!(answer, Ok(Answer::Overtaken));
    other.answer(ticket, answer);
    // it gives way as soon as it has heard of that
    other.tell(Input::Registered(Vec::new()));
    one.tell(Input::Registered(Vec::new()));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    assert_eq!(read(&etcd, "m1"), node("m1", "z", "r3"), "nobody takes away what is another one's");
    // and writes over it when it has seen it
    other.tell(Input::Registered(vec![node("m1", "w", "")]));
    live_both(&mut one, &mut other, &mut etcd, Duration::from_secs(2));
    assert_eq!(read(&etcd, "m1"), node("m1", "w", "r2"));
    assert_eq!(there(&one, "m1").last(), Some(&NodeNews::There(Box::new(node("m1", "w", "r2")))));
}

#[test]
fn a_router_that_was_started_anew_writes_its_nodes_anew_under_its_new_lease() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    let before = NodeRecord { by_incarnation: "before".to_owned(), ..node("m1", "x", "own") };
    etcd.put("/s/media/m1", before.bytes());
    let gone = NodeRecord { by_incarnation: "before".to_owned(), ..node("m2", "x", "own") };
    etcd.put("/s/media/m2", gone.bytes());
    let mut driven = Driven::new(now);
    driven.tell(Input::Registered(vec![node("m1", "x", "")]));
    live(&mut driven, &mut etcd, Duration::from_secs(2));
    assert_eq!(read(&etcd, "m1"), node("m1", "x", "own"));
    assert_eq!(read(&etcd, "m2"), gone, "its old lease takes it away");
}

#[test]
fn a_node_whose_record_cannot_be_read_any_more_is_gone() {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    etcd.put("/s/media/m1", node("m1", "x", "r2").bytes());
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    etcd.put("/s/media/m1", b"{\"version\":2}".to_vec());
    live(&mut driven, &mut etcd, Duration::from_secs(1));
    assert_eq!(there(&driven, "m1").last(), Some(&NodeNews::Gone { node: "m1".into() }));
    assert_eq!(driven.directory.shown(driven.now).unreadable[0].key, "media/m1");
}
