//! A profile as gzip'd protobuf.

use std::{collections::HashMap, io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use prost::Message as _;

use super::wire;
use crate::profiler::profile::{Function, Location, Mapping, Profile, Sample, ValueType};

/// In pprof's format: ids are places from 1, the value to show is the second.
///
/// Places that lead nowhere are left out, as [`Profile::frames`] does, and so are labels that say nothing: an empty text
/// would read as the number 0. Numbers past what the format holds (2^63 - 1) become that.
pub fn encode(profile: &Profile) -> Vec<u8> {
    let message = message(profile).encode_to_vec();
    let mut packed = GzEncoder::new(Vec::with_capacity(message.len() / 4), Compression::fast());
    packed.write_all(&message).and_then(|()| packed.finish()).expect("writing to memory does not fail")
}

fn message(profile: &Profile) -> wire::Profile {
    let mut strings = Strings::new();
    let values = profile.values.each_ref().map(|value| strings.value_type(value));
    wire::Profile {
        sample_type: values.to_vec(),
        sample: profile.samples.iter().map(|sample| strings.sample(sample, profile)).collect(),
        mapping: (1..).zip(&profile.mappings).map(|(id, mapping)| strings.mapping(id, mapping)).collect(),
        location: (1..).zip(&profile.locations).map(|(id, place)| location(id, place, profile)).collect(),
        function: (1..).zip(&profile.functions).map(|(id, function)| strings.function(id, function)).collect(),
        time_nanos: nanos(profile.started),
        duration_nanos: nanos(profile.length),
        period_type: Some(values[1]),
        period: bounded(profile.period),
        comment: profile.comments.iter().map(|comment| strings.place(comment)).collect(),
        default_sample_type: values[1].kind,
        string_table: strings.texts.into_iter().map(str::to_owned).collect(),
    }
}

/// The table of all texts; the first is empty, as the format wants it.
struct Strings<'a> {
    texts: Vec<&'a str>,
    places: HashMap<&'a str, i64>,
}

impl<'a> Strings<'a> {
    fn new() -> Self {
        Self { texts: vec![""], places: HashMap::from([("", 0)]) }
    }

    fn place(&mut self, text: &'a str) -> i64 {
        *self.places.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as i64 - 1
        })
    }

    fn value_type(&mut self, value: &'a ValueType) -> wire::ValueType {
        wire::ValueType { kind: self.place(&value.kind), unit: self.place(&value.unit) }
    }

    fn sample(&mut self, sample: &'a Sample, profile: &Profile) -> wire::Sample {
        let stack = sample.stack.iter().filter(|place| (**place as usize) < profile.locations.len());
        let labels = sample.labels.iter().filter(|(_, value)| !value.is_empty());
        wire::Sample {
            location_id: stack.map(|place| id(*place)).collect(),
            value: vec![bounded(sample.count), bounded(sample.weight)],
            label: labels
                .map(|(name, value)| wire::Label {
                    key: self.place(name),
                    text: self.place(value),
                    ..wire::Label::default()
                })
                .collect(),
        }
    }

    /// The names are there, as far as anybody could find them: without these flags tools would look for the file and
    /// read it again, on a machine that may not have it.
    fn mapping(&mut self, id: u64, mapping: &'a Mapping) -> wire::Mapping {
        wire::Mapping {
            id,
            memory_start: mapping.start,
            memory_limit: mapping.limit,
            file_offset: mapping.offset,
            filename: self.place(&mapping.file),
            build_id: self.place(&mapping.build_id),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
        }
    }

    /// Without a name of the system's, for which `go tool pprof` would take C++'s and strip all in angle brackets; and
    /// without the line at which the function starts, which is not known.
    fn function(&mut self, id: u64, function: &'a Function) -> wire::Function {
        wire::Function { id, name: self.place(&function.name), filename: self.place(&function.file) }
    }
}

fn location(id_of_it: u64, location: &Location, profile: &Profile) -> wire::Location {
    let mapping = location.mapping.filter(|place| (*place as usize) < profile.mappings.len());
    let lines = location.lines.iter().filter(|line| (line.function as usize) < profile.functions.len());
    wire::Location {
        id: id_of_it,
        mapping_id: mapping.map_or(0, id),
        address: location.address,
        line: lines.map(|line| wire::Line { function_id: id(line.function), line: line.line.into() }).collect(),
    }
}

fn id(place: u32) -> u64 {
    u64::from(place) + 1
}

fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
