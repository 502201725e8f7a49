//! Rules of one session: tokens, replies, held pushes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::{
    ids::{Epoch, Offset, Seq},
    protocol::v1::{SignalPush, server_frame::Body},
};

fn claims(generation: u64) -> ResumeClaims {
    ResumeClaims {
        session: "SE_1".into(),
        room: "r".into(),
        key: "k".to_owned(),
        identity: "ann".to_owned(),
        generation,
        lives: Lives::default(),
    }
}

fn session() -> Session {
    Session::new("SE_1".into(), "k".into(), "ann".into(), (ConnectionId(1), Labels::default()))
}

fn signal() -> Directed {
    Directed::Signal(Box::new(SignalPush { from: "bob".to_owned(), ..SignalPush::default() }))
}

const BOUNDS: HoldBounds = HoldBounds { pushes: 3, bytes: 10_000 };

#[test]
fn a_resume_token_says_what_it_was_minted_for() {
    let tokens = ResumeTokens::new(&[7; 32]);
    let mut elsewhere = claims(3);
    elsewhere.lives.add(Came { epoch: Epoch(u64::MAX), upto: Offset(7), anew: false });
    elsewhere.lives.add(Came { epoch: Epoch(0), upto: Offset(u64::MAX), anew: true });
    let odd = ResumeClaims { room: "".into(), identity: "ü\0".to_owned(), ..claims(u64::MAX) };
    for claims in [claims(0), odd, elsewhere] {
        assert_eq!(tokens.verify(&tokens.mint(&claims)), Ok(claims));
    }
}

#[test]
fn a_resume_token_of_who_came_from_nowhere_else_is_one_that_the_version_before_reads() {
    let signed = URL_SAFE_NO_PAD.decode(ResumeTokens::new(&[7; 32]).mint(&claims(1))).unwrap();
    let expected = b"\x01\0\0\0\0\0\0\0\x01\0\0\0\x04SE_1\0\0\0\x01r\0\0\0\x01k\0\0\0\x03ann";
    assert_eq!(signed[..signed.len() - 32], expected[..]);
}

#[test]
fn what_is_signed_and_no_token_of_a_version_that_is_known_is_refused() {
    let tokens = ResumeTokens::new(&[7; 32]);
    let mut claims = claims(1);
    claims.lives.add(Came { epoch: Epoch(1), upto: Offset(2), anew: true });
    let whole = URL_SAFE_NO_PAD.decode(tokens.mint(&claims)).unwrap();
    let whole = &whole[..whole.len() - 32];
    let is_read = |bytes: &[u8]| tokens.verify(&tokens.signed(bytes.to_vec())).is_ok();
    assert!(is_read(whole));
    for end in 0..whole.len() {
        assert!(!is_read(&whole[..end]), "{end} bytes of {}", whole.len());
    }
    assert!(!is_read(&[whole, &[0]].concat()), "more than a token");
    for version in [0, 1, 3] {
        assert!(!is_read(&[&[version], &whole[1..]].concat()), "as version {version}");
    }
}

#[test]
fn a_resume_token_that_was_touched_is_refused() {
    let tokens = ResumeTokens::new(&[7; 32]);
    let token = tokens.mint(&claims(1));
    for end in 0..token.len() {
        assert_eq!(tokens.verify(&token[..end]).unwrap_err().code, Code::ResumeTokenInvalid);
    }
    for place in 0..token.len() - 1 {
        let mut forged = token.clone().into_bytes();
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        assert!(tokens.verify(std::str::from_utf8(&forged).unwrap()).is_err(), "byte {place}");
    }
    let foreign = ResumeTokens::new(&[8; 32]).mint(&claims(1));
    for broken in ["", "no token", "====", &foreign, &"A".repeat(10_000)] {
        assert!(tokens.verify(broken).is_err());
    }
}

#[test]
fn a_token_is_spent_when_its_successor_is_used_and_not_before() {
    let mut session = session();
    session.use_token(&claims(0)).unwrap();
    assert_eq!(session.next_generation(), 1);
    session.use_token(&claims(0)).unwrap();
    session.use_token(&claims(1)).unwrap();
    assert_eq!(session.use_token(&claims(0)).unwrap_err().code, Code::ResumeTokenSpent);
    session.use_token(&claims(1)).unwrap();
}

#[test]
fn a_token_of_a_router_that_had_the_room_for_a_while_is_good_and_what_was_seen_there_counts() {
    let mut session = session();
    session.held.take(signal(), Offset(0), BOUNDS);
    session.detach();
    assert!(!session.returns(Seq(0), Labels::default()), "nobody had it but this router");
    session.use_token(&claims(3)).unwrap();
    assert_eq!(session.use_token(&claims(2)).unwrap_err().code, Code::ResumeTokenSpent);
    assert!(session.returns(Seq(5), Labels::default()));
    let (frame, _) = session.held.take(signal(), Offset(0), BOUNDS);
    let Some(Body::Signal(push)) = frame.body else { panic!("a signal") };
    assert_eq!(push.seq, 6, "after all that was seen");
}

#[test]
fn a_token_of_another_key_or_identity_is_invalid() {
    let mut session = session();
    for other in [
        ResumeClaims { key: "other".to_owned(), ..claims(0) },
        ResumeClaims { identity: "bob".to_owned(), ..claims(0) },
        ResumeClaims { session: "SE_2".into(), ..claims(0) },
    ] {
        assert_eq!(session.use_token(&other).unwrap_err().code, Code::ResumeTokenInvalid);
    }
}

#[test]
fn held_pushes_are_numbered_from_one_and_end_with_their_acknowledgement() {
    let mut held = Held::default();
    for _ in 0..3 {
        assert_eq!(held.take(signal(), Offset(4), BOUNDS).1, 0);
    }
    assert_eq!((held.last(), held.len()), (Seq(3), 3));
    held.acknowledge(Seq(2));
    assert_eq!(held.len(), 1);
    assert!(held.covers(Seq(2)) && held.covers(Seq(3)));
    assert!(!held.covers(Seq(1)) && !held.covers(Seq(4)));
    held.acknowledge(Seq(9));
    assert_eq!(held.len(), 1, "what was never pushed acknowledges nothing");
    held.acknowledge(Seq(3));
    assert_eq!(held.len(), 0);
}

#[test]
fn while_connected_the_oldest_gives_way() {
    let mut held = Held::default();
    let discarded: usize = (0..5).map(|_| held.take(signal(), Offset(0), BOUNDS).1).sum();
    assert_eq!((discarded, held.len()), (2, 3));
    assert!(held.covers(Seq(2)) && !held.covers(Seq(1)));
}

#[test]
fn while_away_the_sender_is_told_and_nothing_new_gives_way() {
    let mut session = session();
    session.held.take(signal(), Offset(0), BOUNDS);
    session.detach();
    for _ in 0..3 {
        session.held.admits(signal().size(), BOUNDS).unwrap();
        session.held.take(signal(), Offset(0), BOUNDS);
    }
    assert_eq!(session.held.admits(signal().size(), BOUNDS).unwrap_err().code, Code::HoldFull);
    assert_eq!(session.held.frames().count(), 3);
    session.attach(ConnectionId(2));
    session.held.admits(signal().size(), BOUNDS).unwrap();
}

#[test]
fn held_bytes_are_bounded_too() {
    let bounds = HoldBounds { pushes: 100, bytes: 2 * signal().size() + 8 };
    let mut session = session();
    for _ in 0..10 {
        session.held.take(signal(), Offset(0), bounds);
    }
    assert_eq!(session.held.len(), 2);
    session.detach();
    session.held.take(signal(), Offset(0), bounds);
    session.held.take(signal(), Offset(0), bounds);
    assert_eq!(session.held.admits(signal().size(), bounds).unwrap_err().code, Code::HoldFull);
}

#[test]
fn the_latest_replies_are_found_by_id_and_older_ones_are_gone() {
    let mut replies = Replies::default();
    for id in 1..=5 {
        replies.keep(id, Reply::done(Some(Offset(id))), 3);
    }
    assert_eq!(replies.find(5), Some(&Reply::done(Some(Offset(5)))));
    assert_eq!(replies.find(3), Some(&Reply::done(Some(Offset(3)))));
    assert_eq!(replies.find(2), None);
    assert_eq!(replies.find(6), None);
    replies.keep(1, Reply::done(None), 3);
    assert_eq!(replies.find(1), Some(&Reply::done(None)));
}
