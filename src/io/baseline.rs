//! Keeps the baseline over restarts: one file in the data folder, written whole to another name and renamed, every five
//! minutes and at the end of a drain. On a thread of its own: the disk may take its time.
//!
//! A router starts without it: one that cannot be read is told of, set aside and begun anew.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{ticking::Ticking, whole_file};
use crate::{
    event::Event,
    telemetry::{
        Telemetry,
        baseline::{BYTES_MAX, Baseline, Slot},
    },
};

const NAME: &str = "baseline";
/// Of one that cannot be read; the latest of them.
const SET_ASIDE: &str = "baseline.corrupt";
/// Between two looks whether there is something new.
const EVERY: Duration = Duration::from_secs(5);

/// A baseline that is kept; dropped, it is written once more.
#[derive(Debug)]
pub struct BaselineFile {
    kept: Arc<Kept>,
    _ticking: Ticking,
}

#[derive(Debug)]
struct Kept {
    folder: PathBuf,
    telemetry: Arc<Telemetry>,
    /// The latest slot that was tried to be written; whoever writes has it.
    written: Mutex<Option<Slot>>,
}

impl BaselineFile {
    /// Gives telemetry what an earlier process kept there, and keeps what it learns.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(folder: &Path, telemetry: Arc<Telemetry>) -> io::Result<Self> {
        let kept = Kept { folder: folder.to_owned(), telemetry: telemetry.clone(), written: Mutex::default() };
        kept.read_back();
        let kept = Arc::new(kept);
        let keeping = kept.clone();
        let observe = move |event| telemetry.observe(&event, Instant::now());
        let ticking = Ticking::start("baseline", EVERY, move || keeping.write_new(), observe)?;
        Ok(Self { kept, _ticking: ticking })
    }

    /// Writes what is new: the process ends.
    pub async fn finish(&self) {
        let kept = self.kept.clone();
        // a panic is told by whoever panicked
        tokio::task::spawn_blocking(move || kept.write_new()).await.ok();
    }
}

impl Kept {
    fn read_back(&self) {
        let why = match whole_file::read(&self.folder.join(NAME), BYTES_MAX) {
            Ok(None) => return,
            Ok(Some(bytes)) => match Baseline::decode(&bytes) {
                Ok(baseline) => {
                    *self.written.lock().unwrap_or_else(PoisonError::into_inner) = baseline.latest();
                    return self.telemetry.restore_baseline(baseline);
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let aside = match fs::rename(self.folder.join(NAME), self.folder.join(SET_ASIDE)) {
            Ok(()) => format!("it is {SET_ASIDE} now"),
            Err(error) => format!("and cannot be set aside: {error}"),
        };
        self.failed("read", format!("{} cannot be read: {why}; {aside}", self.folder.join(NAME).display()));
    }

    /// Each slot once, whether or not that succeeds: the next one is five minutes away.
    fn write_new(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = self.telemetry.baseline_slot();
        if latest == *written {
            return;
        }
        *written = latest;
        if let Err(error) = whole_file::write(&self.folder, NAME, &self.telemetry.encode_baseline()) {
            self.failed("write", format!("{} cannot be written: {error}", self.folder.join(NAME).display()));
        }
    }

    fn failed(&self, doing: &'static str, why: String) {
        self.telemetry.observe(&Event::BaselineFailed { doing, why }, Instant::now());
    }
}

#[cfg(test)]
mod tests;
