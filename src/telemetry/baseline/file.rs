//! A baseline as bytes, to be kept over restarts, and back. Whatever is read is checked as a stranger's.
//!
//! One line that says what it is, its version and the SHA-256 of the rest; then JSON, the series in it as base64 of
//! little-endian 32-bit floats, the oldest first, gaps as NaN.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Baseline, OpRegion, PAIRS_MAX, Slot, WEEK,
    alarm::{Alarm, LeftOut},
    ring::Ring,
    series::{LAG, Series},
};
use crate::protocol::OpKind;

const HEAD: &str = "signalbox-baseline 1 sha256:";
/// More than all pairs need.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;
const REGION_BYTES_MAX: usize = 256;
/// Ten thousand years.
const LATEST_MAX: Slot = 1 << 30;

/// Why bytes are no baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It does not begin as one does, or is of another version.
    #[error("it is no baseline of version 1")]
    Unknown,
    /// It is not what was written.
    #[error("its checksum is another")]
    Checksum,
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

#[derive(Serialize, Deserialize)]
struct Written {
    latest: Option<Slot>,
    pairs: Vec<WrittenPair>,
}

#[derive(Serialize, Deserialize)]
struct WrittenPair {
    op: String,
    region: String,
    before: Option<f64>,
    points: [Option<f64>; LAG as usize + 1],
    alarm: Alarm,
    left_out: LeftOut,
    clean: String,
    relative: String,
}

impl Baseline {
    /// All of it.
    pub fn encode(&self) -> Vec<u8> {
        let pairs = self.pairs.iter().map(|(pair, series)| WrittenPair {
            op: pair.op.name().to_owned(),
            region: pair.region.clone(),
            before: series.before,
            points: series.points,
            alarm: series.alarm,
            left_out: series.left_out.clone(),
            clean: text(&series.clean),
            relative: text(&series.relative),
        });
        let written = Written { latest: self.latest, pairs: pairs.collect() };
        let body = serde_json::to_vec(&written).expect("plain values can be written as JSON");
        signed(body)
    }

    /// What was encoded.
    ///
    /// # Errors
    /// When it was not, or not by this version, or is not what it was.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(FileError::Unknown)?;
        let (head, body) = (&bytes[..end], &bytes[end + 1..]);
        let told = head.strip_prefix(HEAD.as_bytes()).ok_or(FileError::Unknown)?;
        if told != checksum(body).as_bytes() {
            return Err(FileError::Checksum);
        }
        let written: Written =
            serde_json::from_slice(body).map_err(|error| FileError::Unreadable(error.to_string()))?;
        let unreadable = |what: &str| FileError::Unreadable(what.to_owned());
        if written.pairs.len() > PAIRS_MAX {
            return Err(unreadable("it has more series than there may be"));
        }
        let Some(latest) = written.latest else { return Ok(Self::default()) };
        if !(0..=LATEST_MAX).contains(&latest) {
            return Err(unreadable("its time is none"));
        }
        let mut pairs = BTreeMap::new();
        for written in written.pairs {
            let op = OpKind::ALL.into_iter().find(|op| op.name() == written.op);
            // of an op that there is no more nothing will be asked
            let Some(op) = op else { continue };
            let (region, series) = written.read(latest).ok_or_else(|| unreadable("one of its series is none"))?;
            pairs.insert(OpRegion { op, region }, series);
        }
        Ok(Self { latest: Some(latest), pairs })
    }
}

impl WrittenPair {
    fn read(self, latest: Slot) -> Option<(String, Series)> {
        let sound = self.region.len() <= REGION_BYTES_MAX
            && self.left_out.is_sound(latest)
            && self.alarm.is_sound(latest)
            && self.points.iter().chain([&self.before]).flatten().all(|point| point.is_finite() && *point >= 0.0);
        let series = Series {
            before: self.before,
            points: self.points,
            clean: ring(&self.clean, Ring::CLEAN_SLOTS, latest)?,
            relative: ring(&self.relative, WEEK, latest)?,
            alarm: self.alarm,
            left_out: self.left_out,
            band: None,
        };
        sound.then(|| (self.region, series.with_band()))
    }
}

/// With the line that says what it is.
pub(super) fn signed(body: Vec<u8>) -> Vec<u8> {
    let mut bytes = format!("{HEAD}{}\n", checksum(&body)).into_bytes();
    bytes.extend(body);
    bytes
}

fn text(ring: &Ring) -> String {
    STANDARD.encode(ring.values().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
}

/// Exactly so many slots, each a gap or a number that a P99 can be.
fn ring(text: &str, slots: Slot, latest: Slot) -> Option<Ring> {
    let bytes = STANDARD.decode(text).ok()?;
    let (values, rest) = bytes.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let sound = rest.is_empty()
        && values.len() as Slot == slots
        && values.iter().all(|value| value.is_nan() || (value.is_finite() && *value >= 0.0));
    sound.then(|| Ring::of(&values, latest))
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
