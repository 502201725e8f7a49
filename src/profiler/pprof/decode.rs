//! A profile from bytes: ours, Go's, or a stranger's.

use std::{collections::HashMap, io::Read as _, sync::Arc, time::Duration};

use flate2::read::MultiGzDecoder;
use prost::Message;

use super::wire::{self, Malformed, Value, fields, packed, tag};
use crate::profiler::profile::{Function, Line, Location, Mapping, Profile, Sample, ValueType};

/// What a profile may be at most once it is unpacked. An hour of ours is a tenth of it.
pub const INFLATED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Samples, locations, functions, mappings, comments and texts may be so many each.
const ENTRIES_MAX: usize = 1 << 20;
/// Locations of all stacks together, and lines of all locations together.
const FRAMES_MAX: usize = 1 << 24;
/// Labels of all samples together, of one, and bytes of the unit of a number among them.
const LABELS_MAX: usize = 1 << 21;
const LABELS_OF_ONE_MAX: usize = 64;
const UNIT_BYTES_MAX: usize = 64;
/// A message of a sample or of anything else but the whole: two bytes of it may become a hundred of ours.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Every profile that has samples says what their values are; this many kinds are more than anybody has.
const KINDS_MAX: usize = 64;

/// Why bytes are no profile.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The compression is damaged.
    #[error("the gzip stream cannot be unpacked: {0}")]
    Gzip(String),
    /// It is past a bound.
    #[error("too large: {what}, at most {max} are read")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much may be there.
        max: u64,
    },
    /// It is not of this format.
    #[error("not a profile of pprof's format: {0} cannot be read")]
    Malformed(&'static str),
    /// Something refers to what is not there.
    #[error("a {what} refers to {to} {number}, which is not there")]
    Dangling {
        /// What refers.
        what: &'static str,
        /// To what kind of thing.
        to: &'static str,
        /// To which.
        number: i128,
    },
    /// Two things have one id, or one has none.
    #[error("{what} {id} is there twice, or has no id")]
    Repeated {
        /// A location, function or mapping.
        what: &'static str,
        /// Which.
        id: u64,
    },
    /// It does not say what its values are.
    #[error("the profile does not say what its values are (sample_type)")]
    Valueless,
    /// A sample has another number of values than the profile.
    #[error("a sample has {has} values where the profile has {wants}")]
    Values {
        /// So many.
        has: usize,
        /// As many as there are sample types.
        wants: usize,
    },
    /// It is the difference of two profiles, not a profile.
    #[error("a sample has the negative value {0}: differences of profiles are not read")]
    Negative(i64),
}

impl From<Malformed> for DecodeError {
    fn from(_: Malformed) -> Self {
        Self::Malformed("a field")
    }
}

/// A profile of any sample types: the first is taken for the count and the last for the weight, as tools show the last.
/// Labels that are numbers become texts with their unit; what the format has besides is left out.
///
/// # Errors
/// Bytes that are neither protobuf nor gzip of it, that break the format's rules, or that are past a bound.
pub fn decode(bytes: &[u8]) -> Result<Profile, DecodeError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        check(bytes.len() as u64, INFLATED_BYTES_MAX, "bytes")?;
        return read(bytes);
    }
    let mut inflated = Vec::new();
    let mut unpacked = MultiGzDecoder::new(bytes).take(INFLATED_BYTES_MAX + 1);
    unpacked.read_to_end(&mut inflated).map_err(|e| DecodeError::Gzip(e.to_string()))?;
    check(inflated.len() as u64, INFLATED_BYTES_MAX, "bytes")?;
    read(&inflated)
}

/// Samples come first in the bytes, and what they refer to comes after: they are read last.
fn read(message: &[u8]) -> Result<Profile, DecodeError> {
    let tables = Tables::read(message)?;
    let kinds = tables.kinds.len();
    let (Some(first), Some(last)) = (tables.kinds.first(), tables.kinds.last()) else {
        return Err(DecodeError::Valueless);
    };
    let values = [tables.value_type(*first)?, tables.value_type(*last)?];
    let mut reader = Samples { tables: &tables, kinds, samples: Vec::new(), frames: 0, labels: 0, sums: [0; 2] };
    for field in fields(message) {
        if let (tag::SAMPLE, Value::Bytes(bytes)) = field? {
            reader.add(part(bytes, "a sample")?)?;
        }
    }
    let samples = reader.samples;
    let comments = tables.comments.iter().map(|place| Ok(tables.text(*place, "comment")?.to_string()));
    let comments = comments.collect::<Result<_, DecodeError>>()?;
    Ok(Profile {
        values,
        period: tables.period.try_into().unwrap_or(0),
        started: nanos(tables.time_nanos),
        length: nanos(tables.duration_nanos),
        samples,
        functions: tables.functions()?,
        mappings: tables.mappings()?,
        locations: tables.locations,
        comments,
    })
}

/// Everything but the samples.
#[derive(Default)]
struct Tables {
    kinds: Vec<wire::ValueType>,
    strings: Vec<Arc<str>>,
    raw_functions: Vec<wire::Function>,
    raw_mappings: Vec<wire::Mapping>,
    raw_locations: Vec<wire::Location>,
    location_places: HashMap<u64, u32>,
    locations: Vec<Location>,
    comments: Vec<i64>,
    time_nanos: i64,
    duration_nanos: i64,
    period: i64,
    lines: usize,
}

impl Tables {
    fn read(message: &[u8]) -> Result<Self, DecodeError> {
        let mut tables = Self::default();
        for field in fields(message) {
            match field? {
                (tag, Value::Number(number)) => tables.number(tag, number)?,
                (tag, Value::Bytes(bytes)) => tables.bytes(tag, bytes)?,
                (_, Value::Skipped) => {}
            }
        }
        tables.resolve_locations()?;
        Ok(tables)
    }

    fn number(&mut self, tag: u32, number: i64) -> Result<(), DecodeError> {
        match tag {
            tag::TIME_NANOS => self.time_nanos = number,
            tag::DURATION_NANOS => self.duration_nanos = number,
            tag::PERIOD => self.period = number,
            tag::COMMENT => push(&mut self.comments, number, ENTRIES_MAX, "comments")?,
            _ => {}
        }
        Ok(())
    }

    fn bytes(&mut self, tag: u32, bytes: &[u8]) -> Result<(), DecodeError> {
        match tag {
            tag::SAMPLE_TYPE => push(&mut self.kinds, part(bytes, "a sample type")?, KINDS_MAX, "sample types"),
            tag::MAPPING => push(&mut self.raw_mappings, part(bytes, "a mapping")?, ENTRIES_MAX, "mappings"),
            tag::FUNCTION => push(&mut self.raw_functions, part(bytes, "a function")?, ENTRIES_MAX, "functions"),
            tag::LOCATION => {
                let location: wire::Location = part(bytes, "a location")?;
                self.lines += location.line.len();
                check(self.lines as u64, FRAMES_MAX as u64, "lines of locations")?;
                push(&mut self.raw_locations, location, ENTRIES_MAX, "locations")
            }
            tag::STRING_TABLE => {
                let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("a text"))?;
                push(&mut self.strings, text.into(), ENTRIES_MAX, "texts")
            }
            tag::COMMENT => {
                check(bytes.len() as u64, MESSAGE_BYTES_MAX as u64, "bytes of comments")?;
                let places = packed(bytes)?;
                places.into_iter().try_for_each(|place| self.number(tag::COMMENT, place))
            }
            _ => Ok(()),
        }
    }

    fn resolve_locations(&mut self) -> Result<(), DecodeError> {
        let raw = std::mem::take(&mut self.raw_locations);
        self.location_places = places(raw.iter().map(|location| location.id), "location")?;
        let functions = places(self.raw_functions.iter().map(|function| function.id), "function")?;
        let mappings = places(self.raw_mappings.iter().map(|mapping| mapping.id), "mapping")?;
        let resolved = raw.into_iter().map(|location| {
            // a location without a mapping has 0, which no mapping is called; so do lines of no function
            let mapping = (location.mapping_id != 0).then(|| find(&mappings, location.mapping_id, "mapping"));
            let lines = location.line.iter().filter(|line| line.function_id != 0).map(|line| {
                let function = find(&functions, line.function_id, "function")?;
                Ok(Line { function, line: u32::try_from(line.line).unwrap_or(0) })
            });
            let lines = lines.collect::<Result<_, DecodeError>>()?;
            Ok(Location { address: location.address, mapping: mapping.transpose()?, lines })
        });
        self.locations = resolved.collect::<Result<_, DecodeError>>()?;
        Ok(())
    }

    fn text(&self, place: i64, what: &'static str) -> Result<Arc<str>, DecodeError> {
        let found = usize::try_from(place).ok().and_then(|place| self.strings.get(place));
        found.cloned().ok_or(DecodeError::Dangling { what, to: "text", number: place.into() })
    }

    fn value_type(&self, kind: wire::ValueType) -> Result<ValueType, DecodeError> {
        let what = "sample type";
        Ok(ValueType { kind: self.text(kind.kind, what)?, unit: self.text(kind.unit, what)? })
    }

    fn functions(&self) -> Result<Vec<Function>, DecodeError> {
        let what = "function";
        let named = self.raw_functions.iter().map(|function| {
            Ok(Function { name: self.text(function.name, what)?, file: self.text(function.filename, what)? })
        });
        named.collect()
    }

    fn mappings(&self) -> Result<Vec<Mapping>, DecodeError> {
        let what = "mapping";
        let named = self.raw_mappings.iter().map(|mapping| {
            Ok(Mapping {
                start: mapping.memory_start,
                limit: mapping.memory_limit,
                offset: mapping.file_offset,
                file: self.text(mapping.filename, what)?,
                build_id: self.text(mapping.build_id, what)?,
            })
        });
        named.collect()
    }
}

/// Name and value.
type Labels = Vec<(Arc<str>, Arc<str>)>;

/// Samples as they come.
struct Samples<'a> {
    tables: &'a Tables,
    kinds: usize,
    samples: Vec<Sample>,
    frames: usize,
    labels: usize,
    sums: [u64; 2],
}

impl Samples<'_> {
    fn add(&mut self, raw: wire::Sample) -> Result<(), DecodeError> {
        if raw.value.len() != self.kinds {
            return Err(DecodeError::Values { has: raw.value.len(), wants: self.kinds });
        }
        self.frames += raw.location_id.len();
        check(self.frames as u64, FRAMES_MAX as u64, "frames of all stacks")?;
        let ends = [raw.value[0], raw.value[self.kinds - 1]];
        let mut values = [0; 2];
        for (place, value) in ends.into_iter().enumerate() {
            values[place] = u64::try_from(value).map_err(|_| DecodeError::Negative(value))?;
            // so that whoever adds up cannot run over
            self.sums[place] = self.sums[place].saturating_add(values[place]);
            check(self.sums[place], i64::MAX as u64, "counts or weights in all")?;
        }
        let places = &self.tables.location_places;
        let stack = raw.location_id.iter().map(|id| find(places, *id, "location")).collect::<Result<_, _>>()?;
        let labels = self.labels(&raw.label)?;
        push(&mut self.samples, Sample { stack, count: values[0], weight: values[1], labels }, ENTRIES_MAX, "samples")
    }

    /// Of labels of one name the first counts.
    fn labels(&mut self, raw: &[wire::Label]) -> Result<Labels, DecodeError> {
        self.labels += raw.len();
        check(self.labels as u64, LABELS_MAX as u64, "labels of all samples")?;
        check(raw.len() as u64, LABELS_OF_ONE_MAX as u64, "labels of one sample")?;
        let mut labels = Labels::new();
        for label in raw {
            let name = self.tables.text(label.key, "label")?;
            if labels.iter().all(|(known, _)| *known != name) {
                labels.push((name, self.label(label)?));
            }
        }
        Ok(labels)
    }

    fn label(&self, label: &wire::Label) -> Result<Arc<str>, DecodeError> {
        if label.text != 0 {
            return self.tables.text(label.text, "label");
        }
        let unit = self.tables.text(label.number_unit, "label")?;
        check(unit.len() as u64, UNIT_BYTES_MAX as u64, "bytes of a label's unit")?;
        Ok(format!("{} {unit}", label.number).trim_end().into())
    }
}

fn part<M: Message + Default>(bytes: &[u8], what: &'static str) -> Result<M, DecodeError> {
    check(bytes.len() as u64, MESSAGE_BYTES_MAX as u64, "bytes of one entry")?;
    M::decode(bytes).map_err(|_| DecodeError::Malformed(what))
}

fn check(number: u64, max: u64, what: &'static str) -> Result<(), DecodeError> {
    if number > max { Err(DecodeError::TooLarge { what, max }) } else { Ok(()) }
}

fn push<T>(all: &mut Vec<T>, one: T, max: usize, what: &'static str) -> Result<(), DecodeError> {
    check(all.len() as u64 + 1, max as u64, what)?;
    all.push(one);
    Ok(())
}

/// Places by id, each of which is there once and is not 0.
fn places(ids: impl Iterator<Item = u64>, what: &'static str) -> Result<HashMap<u64, u32>, DecodeError> {
    let mut places = HashMap::new();
    for (place, id) in (0..).zip(ids) {
        if id == 0 || places.insert(id, place).is_some() {
            return Err(DecodeError::Repeated { what, id });
        }
    }
    Ok(places)
}

fn find(places: &HashMap<u64, u32>, id: u64, to: &'static str) -> Result<u32, DecodeError> {
    let what = if to == "location" { "sample" } else { "location" };
    places.get(&id).copied().ok_or(DecodeError::Dangling { what, to, number: id.into() })
}

fn nanos(number: i64) -> Duration {
    Duration::from_nanos(number.try_into().unwrap_or(0))
}
