//! The fuzzers' seed corpus and seeded mutations of it, through both decoders: a bounded run of `make fuzz`.

use std::{fs, path::Path};

use signalbox::protocol::Encoding;

#[path = "../fuzz/check.rs"]
mod check;

/// Of each seed file.
const MUTATIONS: u32 = 4_000;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    seeds.sort();
    assert!(seeds.len() >= 15, "{target} has {} seeds", seeds.len());
    seeds
}

/// A few random edits: bytes changed, put in, taken out, repeated, and pieces of another seed.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut fastrand::Rng) {
    for _ in 0..random.u32(1..=4) {
        let at = random.usize(..=bytes.len());
        let end = random.usize(at..=bytes.len());
        match random.u8(..6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.insert(at, *random.choice(br#"{}[]":,\0e-."#).unwrap()),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let from = random.usize(..=other.len());
                bytes.splice(at..end, other[from..].iter().copied());
            }
        }
    }
}

fn run(target: &str, encoding: Encoding) {
    let seeds = seeds(target);
    for (number, (name, seed)) in seeds.iter().enumerate() {
        check::decoder(encoding, seed);
        for round in 0..MUTATIONS {
            let mut random = fastrand::Rng::with_seed(number as u64 * u64::from(MUTATIONS) + u64::from(round));
            let (mut bytes, other) = (seed.clone(), &random.choice(&seeds).unwrap().1);
            mutate(&mut bytes, other, &mut random);
            let checked = std::panic::catch_unwind(|| check::decoder(encoding, &bytes));
            assert!(checked.is_ok(), "{name}, mutation {round}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn no_mutation_of_the_json_corpus_breaks_a_promise_of_the_decoder() {
    run("decode_json", Encoding::Json);
}

#[test]
fn no_mutation_of_the_protobuf_corpus_breaks_a_promise_of_the_decoder() {
    run("decode_protobuf", Encoding::Protobuf);
}
