//! Memory that is taken bit by bit and not given back until the fault ends.

use std::{io, time::Duration};

use super::super::{listener::Observe, process, ticking::Ticking};

/// Between two steps.
const EVERY: Duration = Duration::from_secs(1);
/// Never more than this, however large the limit is.
const BYTES_MAX: u64 = 1 << 30;
/// At this rate the limit would be reached within the hour: slow enough to be watched, and a leak to whoever looks ahead.
const SECONDS_TO_LIMIT: u64 = 3_600;
/// The least that a step takes: what is less nobody could tell from noise.
const STEP_MIN: u64 = 1 << 20;

/// How much is taken at a time, and in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) step: u64,
    pub(super) most: u64,
}

impl Bounds {
    /// So that the process stays below six tenths of what it may take.
    pub(super) fn of(limit: u64, resident: u64) -> Self {
        let most = (limit / 10 * 6).saturating_sub(resident).min(BYTES_MAX);
        Self { step: (limit / SECONDS_TO_LIMIT).max(STEP_MIN), most }
    }
}

/// Takes memory once a second; dropped, it gives all of it back.
pub(super) struct Growing {
    _ticking: Ticking,
}

impl Growing {
    /// Begins.
    ///
    /// # Errors
    /// When the system does not tell how much there is, gives no memory or no thread.
    pub(super) fn start(observe: Observe) -> io::Result<Self> {
        let process = process::read().ok_or_else(|| io::Error::other("the system does not tell of this process"))?;
        let mut held = Held::new(Bounds::of(process.memory_limit_bytes, process.resident_bytes))?;
        let ticking = Ticking::start("faults", EVERY, move || held.grow(), move |event| observe(event))?;
        Ok(Self { _ticking: ticking })
    }
}

/// What is taken. Room for all of it is set aside at once, and costs nothing until it is touched; so it is one piece
/// that goes back to the system as a whole.
pub(super) struct Held {
    bytes: Vec<u8>,
    bounds: Bounds,
}

impl Held {
    pub(super) fn new(bounds: Bounds) -> io::Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(bounds.most as usize).map_err(io::Error::other)?;
        Ok(Self { bytes, bounds })
    }

    pub(super) fn grow(&mut self) {
        let to = (self.bytes.len() as u64 + self.bounds.step).min(self.bounds.most);
        // not zero: those pages could be shared
        self.bytes.resize(to as usize, 0xA5);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}
