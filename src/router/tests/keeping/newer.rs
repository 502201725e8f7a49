//! What a newer build wrote of a room: an older one goes on with it, and takes nothing of it away.

use bytes::Bytes;

use super::*;

#[test]
fn what_a_newer_version_wrote_beside_is_kept_and_a_newer_format_is_left_alone() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    a.world.join(1, "ann");
    a.pass(Duration::from_secs(1), &mut memory);
    let Taken::Kept(mut kept) = memory.take("r", memory.next("r", "b"), true) else { panic!("kept") };
    for (name, value) in &mut kept.fields {
        if name != fabric::TIP_FIELD {
            let text = String::from_utf8(value.to_vec()).unwrap();
            *value = text.replacen('{', "{\"newer\":{\"deep\":[1]},", 1).into();
        }
    }
    let mut b = Keeps::new("b", 2);
    b.world.handle(Input::Restore { room: "r".into(), kept: Box::new(kept.clone()) });
    b.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    let asks = std::mem::take(&mut b.world.asks);
    let Some((_, _, Ask::Leave(last))) = asks.into_iter().next_back() else { panic!("the last write") };
    let newer = last
        .write
        .set
        .iter()
        .filter(|(_, value)| std::str::from_utf8(value).unwrap().contains("\"newer\":{\"deep\":[1]}"));
    assert_eq!(newer.count(), 2, "of the room, and of ann");

    let record = kept.fields.iter_mut().find(|(name, _)| name == fabric::ROOM_FIELD).unwrap();
    record.1 = String::from_utf8(record.1.to_vec()).unwrap().replace("\"format\":1", "\"format\":2").into();
    let mut c = Keeps::new("c", 3);
    c.world.handle(Input::Restore { room: "r".into(), kept: Box::new(kept) });
    let facts = c.facts();
    let [KeepingFact::RoomNotRestored { why, .. }] = &*facts else { panic!("left alone: {facts:?}") };
    assert!(why.contains("its format is 2; this router knows up to 1"), "{why}");
}

/// As a newer build writes an event: with a field that this one does not know, of something that happened or beside it.
fn newer(entry: &Bytes) -> Bytes {
    [&entry[..], &[0x98, 0x06, 0x07]].concat().into()
}

#[test]
fn what_a_newer_version_said_in_the_log_stays_in_its_place_and_is_written_again_as_it_was() {
    let (mut a, mut memory) = (Keeps::new("a", 1), Memory::default());
    let ann = a.world.join(1, "ann");
    a.world.join(2, "bob");
    let all = ["one", "two", "three"];
    all.iter().for_each(|text| drop(a.world.done(2, say(text))));
    a.pass(Duration::from_secs(1), &mut memory);
    let Taken::Kept(mut kept) = memory.take("r", memory.next("r", "b"), true) else { panic!("kept") };
    let [.., one, two, three] = &mut kept.entries[..] else { panic!("{:?}", kept.entries) };
    // nothing of what `two` says is known here, and a little of `three` is not
    two.1 = newer(&Bytes::new());
    three.1 = newer(&three.1);
    let written = [one.clone(), two.clone(), three.clone()];
    let mut b = Keeps::new("b", 2);
    b.world.handle(Input::Restore { room: "r".into(), kept: Box::new(kept) });
    let resumed = b.back(&mut memory, (7, "ann"), v1::Resume { offset: ann.offset, ..resume_of(&ann) });
    assert!(resumed.recovered, "there is no gap");
    assert_eq!(said(&mut b.world, 7), ["\"one\"", "\"three\""]);
    b.world.asks.clear();
    b.world.handle(Input::Elsewhere { room: "r".into(), refusal: elsewhere() });
    let asks = std::mem::take(&mut b.world.asks);
    let Some((_, _, Ask::Leave(last))) = asks.into_iter().next_back() else { panic!("the last write") };
    let at = last.write.entries.iter().position(|entry| *entry == written[0]).expect("as it is known");
    assert_eq!(last.write.entries[at..at + 3], written);
}
