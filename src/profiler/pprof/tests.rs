use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::{wire, *};
use crate::profiler::{
    profile::{Function, Line, Location, Mapping, Profile, Sample, ValueType},
    views::fixture::Stacks,
};

fn planted() -> Profile {
    let labels = [("thread", "worker-0"), ("op", "join")];
    let mut profile = Stacks::default()
        .labelled("main;run:7+<signalbox::Room as Step<[u8; 8]>>::step:12", 20_000_000, &labels)
        .labelled("main;@/usr/lib/libc.so.6", 10_000_000, &[("thread", "ops")])
        .profile();
    profile.comments.push("2 stacks were cut short".to_owned());
    profile
}

/// The parts of a profile as the wire has them, to break one.
fn parts() -> wire::Profile {
    let strings = ["", "samples", "count", "cpu", "nanoseconds", "main", "main.go", "bytes", "size"];
    wire::Profile {
        sample_type: vec![wire::ValueType { kind: 1, unit: 2 }, wire::ValueType { kind: 3, unit: 4 }],
        sample: vec![wire::Sample { location_id: vec![70], value: vec![1, 10], label: Vec::new() }],
        mapping: vec![wire::Mapping { id: 90, memory_start: 1, memory_limit: 9, ..wire::Mapping::default() }],
        location: vec![wire::Location {
            id: 70,
            mapping_id: 90,
            address: 5,
            line: vec![wire::Line { function_id: 80, line: 3 }],
        }],
        function: vec![wire::Function { id: 80, name: 5, filename: 6 }],
        string_table: strings.map(str::to_owned).to_vec(),
        ..wire::Profile::default()
    }
}

fn broken(how: impl FnOnce(&mut wire::Profile)) -> String {
    let mut parts = parts();
    how(&mut parts);
    decode(&parts.encode_to_vec()).unwrap_err().to_string()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn what_is_encoded_is_decoded_as_it_was() {
    let profile = planted();
    let bytes = encode(&profile);
    assert!(bytes.starts_with(&[0x1f, 0x8b]));
    assert_eq!(decode(&bytes).unwrap(), profile);
    let empty = Profile::cpu(Duration::from_millis(10), Duration::from_secs(1), Duration::from_secs(2));
    assert_eq!(decode(&encode(&empty)).unwrap(), empty);
}

#[test]
fn a_profile_of_gos_is_read_whatever_its_ids_and_sample_types() {
    let mut heap = parts();
    let kind = |kind, unit| wire::ValueType { kind, unit };
    heap.sample_type = vec![kind(1, 2), kind(3, 4), kind(5, 2), kind(8, 7)];
    heap.sample[0].value = vec![11, 22, 33, 44];
    let size = wire::Label { key: 8, text: 0, number: 4_096, number_unit: 7 };
    heap.sample[0].label = vec![size, wire::Label { number: 1, ..size }];
    for bytes in [heap.encode_to_vec(), gzipped(&heap.encode_to_vec())] {
        let read = decode(&bytes).unwrap();
        assert_eq!(read.values, [ValueType::new("samples", "count"), ValueType::new("size", "bytes")]);
        assert_eq!((read.samples[0].count, read.samples[0].weight), (11, 44));
        assert_eq!(read.samples[0].label("size"), Some("4096 bytes"), "of one name the first");
        let frame = read.frames(&read.samples[0].stack).next().unwrap();
        assert_eq!((frame.name, frame.file, frame.line), ("main", "main.go", 3));
    }
}

#[test]
fn one_sample_type_is_count_and_weight() {
    let mut parts = parts();
    parts.sample_type.truncate(1);
    parts.sample[0].value.truncate(1);
    let read = decode(&parts.encode_to_vec()).unwrap();
    assert_eq!((read.count(), read.weight()), (1, 1));
}

#[test]
fn what_breaks_the_rules_is_named() {
    for (said, wanted) in [
        (broken(|p| p.sample_type.clear()), "sample_type"),
        (broken(|p| p.sample[0].value.push(3)), "3 values where the profile has 2"),
        (broken(|p| p.sample[0].value[1] = -5), "negative value -5"),
        (broken(|p| p.sample[0].location_id[0] = 71), "a sample refers to location 71"),
        (broken(|p| p.location[0].mapping_id = 4), "a location refers to mapping 4"),
        (broken(|p| p.location[0].line[0].function_id = 4), "a location refers to function 4"),
        (broken(|p| p.function[0].name = 99), "a function refers to text 99"),
        (broken(|p| p.function[0].name = -1), "a function refers to text -1"),
        (broken(|p| p.function[0].id = 0), "function 0"),
        (broken(|p| p.location.push(p.location[0].clone())), "location 70 is there twice"),
        (broken(|p| p.comment.push(1_000)), "a comment refers to text 1000"),
        (broken(|p| p.sample[0].label = vec![wire::Label { key: 77, ..wire::Label::default() }]), "text 77"),
    ] {
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn bytes_that_are_no_profile_are_refused() {
    assert_eq!(decode(b""), Err(DecodeError::Valueless));
    assert!(decode(b"<html>not found</html>").is_err());
    let cut = encode(&planted());
    let said = decode(&cut[..cut.len() / 2]).unwrap_err().to_string();
    assert!(said.starts_with("the gzip stream cannot be unpacked"), "{said}");
    assert!(matches!(decode(&[0x32, 2, 0xff, 0xfe]), Err(DecodeError::Malformed("a text"))));
}

#[test]
fn bounds_are_held_before_memory_is_taken() {
    let mut many = parts();
    many.sample[0].label = vec![wire::Label::default(); 65];
    assert!(decode(&many.encode_to_vec()).unwrap_err().to_string().contains("labels of one sample, at most 64"));
    many.sample = vec![wire::Sample { location_id: vec![70; 600_000], value: vec![1, 1], label: Vec::new() }; 28];
    assert!(decode(&many.encode_to_vec()).unwrap_err().to_string().contains("frames of all stacks"));
    many.sample = vec![wire::Sample { location_id: Vec::new(), value: vec![1, i64::MAX], label: Vec::new() }; 2];
    assert!(decode(&many.encode_to_vec()).unwrap_err().to_string().contains("counts or weights in all"));
    // empty functions, two bytes each, without end
    let functions = [0x2a, 0].repeat((1 << 20) + 1);
    assert!(decode(&functions).unwrap_err().to_string().contains("functions, at most 1048576"));
}

#[test]
fn a_small_file_cannot_unpack_into_a_large_one() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let block = vec![0_u8; 1 << 20];
    for _ in 0..=INFLATED_BYTES_MAX >> 20 {
        packed.write_all(&block).unwrap();
    }
    let bomb = packed.finish().unwrap();
    assert!(decode(&bomb).unwrap_err().to_string().contains("bytes, at most 268435456"), "{}", bomb.len());
}

#[test]
fn places_that_lead_nowhere_are_left_out_and_an_empty_label_as_well() {
    let mut profile = planted();
    profile.samples[0].stack.push(999);
    profile.samples[0].labels.push(("region".into(), "".into()));
    profile.locations[0].mapping = Some(999);
    profile.locations[1].lines.push(Line { function: 999, line: 1 });
    profile.samples[1].weight = u64::MAX;
    let mut wanted = planted();
    wanted.samples[1].weight = i64::MAX as u64;
    // 2^63 is what the sum of all may not pass
    wanted.samples[0].weight = 0;
    profile.samples[0].weight = 0;
    assert_eq!(decode(&encode(&profile)).unwrap(), wanted);
}

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z:<>;\\[\\] ]{1,12}", "\\PC{1,8}", Just("thread".to_owned())].prop_map(Arc::from)
}

fn sample(locations: u32) -> impl Strategy<Value = Sample> {
    let labels = proptest::collection::btree_map(text(), text(), 0..3);
    (vec(0..locations, 0..6), 0..1_000_u64, 0..1_u64 << 40, labels).prop_map(|(stack, count, weight, labels)| Sample {
        stack,
        count,
        weight,
        labels: labels.into_iter().collect(),
    })
}

fn location() -> impl Strategy<Value = Location> {
    let line = (0..4_u32, any::<u32>()).prop_map(|(function, line)| Line { function, line });
    (any::<u64>(), proptest::option::of(0..2_u32), vec(line, 0..4)).prop_map(|(address, mapping, lines)| Location {
        address,
        mapping,
        lines,
    })
}

fn mapping() -> impl Strategy<Value = Mapping> {
    (any::<[u64; 3]>(), text(), text()).prop_map(|([start, limit, offset], file, build_id)| Mapping {
        start,
        limit,
        offset,
        file,
        build_id,
    })
}

prop_compose! {
    fn profile()(
        times in (0..i64::MAX as u64, 0..i64::MAX as u64, 0..i64::MAX as u64),
        samples in vec(sample(5), 0..8),
        locations in vec(location(), 5),
        functions in vec((text(), text()).prop_map(|(name, file)| Function { name, file }), 4),
        mappings in vec(mapping(), 2),
        comments in vec("\\PC{0,9}", 0..3),
    ) -> Profile {
        let values = [ValueType::new("samples", "count"), ValueType::new("cpu", "nanoseconds")];
        let (started, length) = (Duration::from_nanos(times.0), Duration::from_nanos(times.1));
        Profile { values, period: times.2, started, length, samples, locations, functions, mappings, comments }
    }
}

proptest! {
    #[test]
    fn every_profile_comes_back_as_it_was(profile in profile()) {
        prop_assert_eq!(decode(&encode(&profile)).unwrap(), profile);
    }

    #[test]
    fn no_bytes_make_it_panic(
        profile in profile(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut inflated = Vec::new();
        let packed = encode(&profile);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut inflated).unwrap();
        for whole in [packed, inflated] {
            let mut bytes = whole.clone();
            for (place, byte) in &changes {
                *place.get_mut(&mut bytes) = *byte;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())], &whole[..cut.index(whole.len())]] {
                // what is read all the same can be looked at
                if let Ok(read) = decode(bytes) {
                    prop_assert!(read.weight() <= i64::MAX as u64 && read.count() <= i64::MAX as u64);
                    prop_assert!(read.samples.iter().all(|s| s.stack.iter().all(|l| (*l as usize) < read.locations.len())));
                    prop_assert_eq!(decode(&encode(&read)).map(|again| again.weight()), Ok(read.weight()));
                }
            }
        }
    }

    #[test]
    fn nor_do_bytes_of_chance(bytes in vec(any::<u8>(), 0..400)) {
        decode(&bytes).ok();
        decode(&gzipped(&bytes)).ok();
    }
}
