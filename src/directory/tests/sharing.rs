//! Which place a router has among those that share the fleet's limits, as others come, go and are not seen.

use super::*;

const MOMENT: Duration = Duration::from_secs(1);

const fn place(rank: u32, of: u32) -> Place {
    Place { rank, of }
}

/// Of `own` beside those others, each under a record of its own.
fn among(others: &[&str]) -> (Driven, Etcd) {
    let (mut etcd, now) = (Etcd::default(), Instant::now());
    others.iter().for_each(|id| etcd.put(&format!("/s/routers/{id}"), record(id, "sh").bytes()));
    let mut driven = Driven::new(now);
    live(&mut driven, &mut etcd, MOMENT);
    (driven, etcd)
}

#[test]
fn a_part_is_unknown_until_all_were_read_and_shrinks_at_once() {
    let mut driven = Driven::new(Instant::now());
    driven.pass(LEASE * 2);
    assert_eq!(driven.places, []);
    let (mut driven, mut etcd) = among(&["a", "z"]);
    assert_eq!(driven.places, [place(1, 3)]);
    etcd.put("/s/routers/b", record("b", "sh").bytes());
    converse(&mut driven, &mut etcd);
    assert_eq!(driven.places, [place(1, 3), place(2, 4)]);
    // one that this build cannot read takes sessions as well
    etcd.put("/s/routers/c", b"of a later time".to_vec());
    converse(&mut driven, &mut etcd);
    assert_eq!(driven.places.last(), Some(&place(3, 5)));
    // what changes nothing tells nothing
    etcd.put(
        "/s/routers/b",
        RouterRecord { load: Load { sessions: 9, ..Load::default() }, ..record("b", "sh") }.bytes(),
    );
    live(&mut driven, &mut etcd, LEASE);
    assert_eq!(driven.places.len(), 3);
}

#[test]
fn one_that_is_gone_counts_for_a_lease_longer_and_one_that_drains_does_not() {
    let (mut driven, mut etcd) = among(&["a", "z"]);
    etcd.delete("/s/routers/a");
    live(&mut driven, &mut etcd, LEASE - MOMENT);
    assert_eq!(driven.places.last(), Some(&place(1, 3)), "it may only be cut off");
    live(&mut driven, &mut etcd, MOMENT * 2);
    assert_eq!(driven.places.last(), Some(&place(0, 2)));
    etcd.put("/s/routers/z", RouterRecord { draining: true, ..record("z", "sh") }.bytes());
    converse(&mut driven, &mut etcd);
    assert_eq!(driven.places.last(), Some(&place(0, 1)), "who resumes here has its place here");
    etcd.delete("/s/routers/z");
    live(&mut driven, &mut etcd, LEASE * 2);
    assert_eq!(driven.places, [place(1, 3), place(0, 2), place(0, 1)]);
}

#[test]
fn an_etcd_that_came_back_with_nothing_makes_no_part_larger() {
    let (mut driven, _) = among(&["a", "z"]);
    let mut etcd = Etcd::default();
    live(&mut driven, &mut etcd, LEASE / 2);
    assert_eq!(driven.names(), ["own"]);
    ["a", "z"].iter().for_each(|id| etcd.put(&format!("/s/routers/{id}"), record(id, "sh").bytes()));
    live(&mut driven, &mut etcd, LEASE * 2);
    assert_eq!((driven.names().len(), driven.places.as_slice()), (3, &[place(1, 3)][..]));
}

#[test]
fn one_that_is_about_to_end_keeps_its_last_part_and_sleeps() {
    let (mut driven, mut etcd) = among(&["a", "z"]);
    etcd.delete("/s/routers/a");
    converse(&mut driven, &mut etcd);
    driven.tell(Input::Draining);
    live(&mut driven, &mut etcd, LEASE * 3);
    assert_eq!(driven.places, [place(1, 3)]);
}
