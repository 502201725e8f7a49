//! Keeps which part of the fleet's limits this router allowed last, so that one that starts while etcd is away allows no more.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    guard::limits::Share,
    io::{guard::Guard, whole_file},
};

const NAME: &str = "share";
const VERSION: u32 = 1;
const BYTES_MAX: usize = 1_024;

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    version: u32,
    rank: u32,
    of: u32,
}

/// The file; without a folder nothing outlives the process.
#[derive(Clone, Debug)]
pub(super) struct KeptShare {
    folder: Option<PathBuf>,
    /// Whoever writes has it.
    writing: Arc<Mutex<()>>,
}

impl KeptShare {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, writing: Arc::default() }
    }

    /// That of the process before; absent: there was none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(&self) -> io::Result<Option<Share>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let Some(bytes) = whole_file::read(&folder.join(NAME), BYTES_MAX)? else { return Ok(None) };
        let Written { version, rank, of } = serde_json::from_slice(&bytes)?;
        if version != VERSION {
            return Err(io::Error::other(format!("its version is {version}, not {VERSION}")));
        }
        Ok(Some(Share::new(rank, of)))
    }

    /// Writes the guard's; of two that come together both write what is the newest then.
    ///
    /// # Errors
    /// What was there stays.
    pub(super) fn write(&self, guard: &Guard) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let share = guard.share();
        let written = Written { version: VERSION, rank: share.rank(), of: share.of() };
        whole_file::write(folder, NAME, &serde_json::to_vec(&written)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        guard::limits::{Bound, Rules},
        io::guard::GuardSettings,
    };

    fn guard(share: Share) -> Guard {
        let rules = Rules::new(|_, _| Bound::default());
        let guard = Guard::new(GuardSettings { rules, cells: 10, of_the_fleet: Vec::new() });
        guard.set_share(share);
        guard
    }

    #[test]
    fn what_is_written_is_read_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        let kept = KeptShare::new(Some(place.clone()));
        assert_eq!(kept.read().unwrap(), None);
        kept.write(&guard(Share::new(2, 7))).unwrap();
        kept.write(&guard(Share::new(1, 3))).unwrap();
        assert_eq!(KeptShare::new(Some(place)).read().unwrap(), Some(Share::new(1, 3)));
        let nowhere = KeptShare::new(None);
        nowhere.write(&guard(Share::new(1, 3))).unwrap();
        assert_eq!(nowhere.read().unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_share() {
        let folder = tempfile::tempdir().unwrap();
        let kept = KeptShare::new(Some(folder.path().to_owned()));
        for wrong in ["", "{}", "{\"version\":2,\"rank\":0,\"of\":3}", "{\"version\":1,\"rank\":-1,\"of\":3}"] {
            fs::write(folder.path().join(NAME), wrong).unwrap();
            assert!(kept.read().is_err(), "{wrong}");
        }
        fs::write(folder.path().join(NAME), vec![b' '; BYTES_MAX + 1]).unwrap();
        assert!(kept.read().unwrap_err().to_string().contains("1024 bytes"));
    }
}
