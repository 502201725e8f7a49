//! The folder of captures: one folder each, `capture.json` last, so that what has it is whole.
//!
//! Every path is the folder's own, an id that is known to be one, and a fixed file name. Whatever stands there is read
//! as a stranger's: what is not a capture is told of and set aside. Only what has the name of a capture is ever
//! deleted.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::profiler::captures::{
    capture::{Capture, CaptureId, Kept},
    parts::{Part, Parts},
};

const METADATA: &str = "capture.json";
const METADATA_BYTES_MAX: u64 = 64 * 1024;
/// Of what is not a capture: `<name>.corrupt`.
const SET_ASIDE: &str = ".corrupt";
/// Set aside at most. For a further one that has the name of a capture the oldest such is deleted; whatever else
/// there is stays where it is.
const SET_ASIDE_MAX: usize = 8;
/// Entries of the folder that are looked at.
const ENTRIES_MAX: usize = 4_096;
/// Rooms and addresses of clients are in there.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// An entry of the folder that is not a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What it was called.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
    /// What it is called now; absent: it stays where it is.
    pub set_aside: Option<String>,
}

/// What was there at the start.
#[derive(Debug, Default)]
pub(in crate::profiler::captures) struct Found {
    /// Each with its weight.
    pub(in crate::profiler::captures) captures: Vec<(Capture, u64)>,
    pub(in crate::profiler::captures) corrupt: Vec<Corrupt>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::profiler::captures) struct Folder(PathBuf);

impl Folder {
    /// In that place, which need not exist.
    pub(in crate::profiler::captures) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the folder when it is not there, and reads back what is in it.
    ///
    /// # Errors
    /// When it cannot be made or listed.
    pub(in crate::profiler::captures) fn read_back(&self) -> io::Result<Found> {
        self.make()?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)?.take(ENTRIES_MAX) {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        let (mut aside, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.ends_with(SET_ASIDE));
        let mut found = Found::default();
        for name in names {
            match self.read(&name) {
                Ok(capture) => found.captures.push(capture),
                Err(why) => {
                    let set_aside = self.set_aside(&name, &mut aside);
                    found.corrupt.push(Corrupt { name, why, set_aside });
                }
            }
        }
        Ok(found)
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.0)
    }

    /// The capture of that name and its weight, or why it is none.
    fn read(&self, name: &str) -> Result<(Capture, u64), String> {
        let id = CaptureId::parse(name).ok_or("its name is not one of a capture")?;
        let folder = self.of(&id);
        let is_folder = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder {
            return Err("it is not a folder".to_owned());
        }
        let unreadable = |error: &dyn std::fmt::Display| format!("{METADATA} cannot be read: {error}");
        let metadata = read_bounded(&folder.join(METADATA), METADATA_BYTES_MAX).map_err(|error| unreadable(&error))?;
        let capture: Capture = serde_json::from_slice(&metadata).map_err(|error| unreadable(&error))?;
        let mut capture = capture.checked(&id)?;
        capture.kept = Kept::Folder;
        for piece in &capture.parts {
            let file = piece.part.file();
            let told = fs::symlink_metadata(folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
            if !told.is_file() || told.len() != piece.bytes {
                return Err(format!("{file} has {} bytes; {} were written", told.len(), piece.bytes));
            }
        }
        let bytes = metadata.len() as u64 + capture.parts.iter().map(|piece| piece.bytes).sum::<u64>();
        Ok((capture, bytes))
    }

    /// Under another name, when there is room beside those that are aside already.
    fn set_aside(&self, name: &str, aside: &mut Vec<String>) -> Option<String> {
        if aside.len() >= SET_ASIDE_MAX {
            CaptureId::parse(name)?;
            let ours = |name: &String| name.strip_suffix(SET_ASIDE).is_some_and(|id| CaptureId::parse(id).is_some());
            let oldest = aside.remove(aside.iter().position(ours)?);
            fs::remove_dir_all(self.0.join(oldest)).ok()?;
        }
        let new = format!("{name}{SET_ASIDE}");
        // on a name that is taken, `rename` would replace it
        let free = fs::symlink_metadata(self.0.join(&new)).is_err();
        (free && fs::rename(self.0.join(name), self.0.join(&new)).is_ok()).then(|| {
            aside.push(new.clone());
            new
        })
    }

    /// Writes a capture, whole or not at all, and answers what it weighs.
    ///
    /// # Errors
    /// When the system does not take it; what was written of it is gone again.
    pub(in crate::profiler::captures) fn write(&self, capture: &Capture, parts: &Parts) -> io::Result<()> {
        self.make()?;
        let folder = self.of(&capture.id);
        // whatever has this name already is not ours to replace
        DirBuilder::new().mode(FOLDER_MODE).create(&folder)?;
        let written = write_all(&folder, capture, parts).and_then(|()| sync(&self.0));
        if written.is_err() {
            // as much as the system lets go of; without its metadata it is none
            fs::remove_dir_all(&folder).ok();
        }
        written
    }

    /// The bytes of a part that has so many.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub(in crate::profiler::captures) fn part(&self, id: &CaptureId, part: Part, bytes: u64) -> io::Result<Bytes> {
        let read = read_bounded(&self.of(id).join(part.file()), bytes)?;
        if read.len() as u64 == bytes {
            return Ok(read.into());
        }
        Err(io::Error::other(format!("it has {} bytes; {bytes} were written", read.len())))
    }

    /// Deletes a capture.
    ///
    /// # Errors
    /// When the system does not let go of it.
    pub(in crate::profiler::captures) fn delete(&self, id: &CaptureId) -> io::Result<()> {
        // first that without which the rest is no capture, should it be cut short
        fs::remove_file(self.of(id).join(METADATA))?;
        fs::remove_dir_all(self.of(id))
    }

    fn of(&self, id: &CaptureId) -> PathBuf {
        self.0.join(id.as_str())
    }

    /// Where it is.
    pub(in crate::profiler::captures) fn path(&self) -> &Path {
        &self.0
    }
}

/// What is known of a capture, as its file has it.
pub(in crate::profiler::captures) fn metadata(capture: &Capture) -> Vec<u8> {
    let capture = Capture { kept: Kept::Folder, ..capture.clone() };
    serde_json::to_vec_pretty(&capture).expect("plain values can be written as JSON")
}

fn write_all(folder: &Path, capture: &Capture, parts: &Parts) -> io::Result<()> {
    for (part, bytes) in parts.iter() {
        write_file(folder, part.file(), bytes)?;
    }
    // the names before the one that says that they are all there
    sync(folder)?;
    write_file(folder, METADATA, &metadata(capture))?;
    sync(folder)
}

/// Under a name of its own until it is whole.
fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}.tmp"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, folder.join(name))
}

/// Names of a folder are on the disk when this answers.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// One byte more than allowed shows that there is more.
fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::captures::{
        capture::{
            Cause,
            tests::{capture, slowness},
        },
        moments::Moment,
        parts::Runtime,
    };

    const PROFILE: &[u8] = b"profile";

    fn parts() -> Parts {
        Parts::default().profile(PROFILE).runtime(&Runtime::of(Vec::new(), vec![Moment::default()]))
    }

    fn told(region: &str) -> Capture {
        Capture { parts: parts().pieces(), ..capture(Cause::Latency(slowness("join", region))) }
    }

    fn with(regions: &[&str]) -> (tempfile::TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("data/captures"));
        regions.iter().for_each(|region| folder.write(&told(region), &parts()).unwrap());
        (place, folder)
    }

    fn ids(found: &Found) -> Vec<&str> {
        found.captures.iter().map(|(capture, _)| capture.id.as_str()).collect()
    }

    #[test]
    fn what_was_written_is_read_back_after_a_restart() {
        let (_place, folder) = with(&["sh", "sz"]);
        let found = folder.read_back().unwrap();
        assert_eq!(found.corrupt, []);
        let [(sh, weight), (sz, _)] = found.captures.as_slice() else { panic!("{found:?}") };
        assert_eq!((sh, sz), (&told("sh"), &told("sz")));
        let size = |part: Part| told("sh").part(part).unwrap();
        assert_eq!(*weight, size(Part::Profile) + size(Part::Runtime) + metadata(sh).len() as u64);
        assert_eq!(folder.part(&sh.id, Part::Profile, 7).unwrap(), PROFILE);
        let mode = |path: PathBuf| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode(folder.of(&sh.id)), mode(folder.of(&sh.id).join(METADATA))), (0o700, 0o600));
        folder.delete(&sh.id).unwrap();
        assert_eq!(ids(&folder.read_back().unwrap()), [sz.id.as_str()]);
    }

    /// What is found when a file of a capture was changed.
    fn spoilt(file: &str, contents: Option<&[u8]>) -> Corrupt {
        let (_place, folder) = with(&["sh", "sz"]);
        let path = folder.of(&told("sh").id).join(file);
        match contents {
            Some(contents) => fs::write(&path, contents).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let found = folder.read_back().unwrap();
        assert_eq!(ids(&found), [told("sz").id.as_str()], "the other is as it was");
        let [corrupt] = found.corrupt.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (corrupt.name.as_str(), corrupt.set_aside.clone()),
            (told("sh").id.as_str(), Some(format!("{}.corrupt", told("sh").id)))
        );
        assert_eq!(folder.read_back().unwrap().corrupt, [], "it is looked at once");
        assert!(folder.path().join(format!("{}.corrupt", told("sh").id)).is_dir());
        corrupt.clone()
    }

    #[test]
    fn a_capture_that_is_not_as_it_was_written_is_set_aside_and_told_of() {
        assert!(spoilt(METADATA, Some(b"{\"format\":1,")).why.contains("capture.json cannot be read"));
        assert!(spoilt(METADATA, Some(b"\xff\xfe")).why.contains("capture.json cannot be read"));
        assert!(spoilt(METADATA, Some(&vec![b' '; 65 * 1024])).why.contains("more than 65536 bytes"));
        assert!(spoilt(METADATA, None).why.contains("capture.json cannot be read"), "it was never finished");
        assert!(spoilt(METADATA, Some(&metadata(&told("sz")))).why.contains("not the name of its folder"));
        assert!(spoilt("profile.pb.gz", Some(b"prof")).why.contains("has 4 bytes; 7 were written"));
        assert!(spoilt("runtime.json", None).why.contains("runtime.json"));
    }

    #[test]
    fn what_is_not_ours_is_set_aside_in_a_bounded_number_and_never_deleted() {
        let (place, folder) = with(&["sh"]);
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        for number in 0..20 {
            fs::create_dir(folder.path().join(format!("holiday {number:02}"))).unwrap();
        }
        std::os::unix::fs::symlink(place.path(), folder.path().join("20261125T212730Z-link")).unwrap();
        let found = folder.read_back().unwrap();
        assert_eq!((found.captures.len(), found.corrupt.len()), (1, 22));
        assert_eq!(found.corrupt.iter().filter(|corrupt| corrupt.set_aside.is_some()).count(), SET_ASIDE_MAX);
        assert!(found.corrupt[0].name.ends_with("link") && found.corrupt[0].why == "it is not a folder");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 23);
        assert_eq!(folder.read_back().unwrap().corrupt.len(), 22 - SET_ASIDE_MAX, "no further ones are set aside");
        assert_eq!(fs::read_to_string(folder.path().join("notes.txt")).unwrap(), "mine");
    }

    #[test]
    fn of_corrupt_captures_the_newest_few_are_kept() {
        let (_place, folder) = with(&[]);
        folder.make().unwrap();
        fs::create_dir(folder.path().join("0 holidays.corrupt")).unwrap();
        for number in 0..20 {
            fs::create_dir(folder.path().join(format!("20261125T2127{number:02}Z-operator"))).unwrap();
        }
        assert_eq!(folder.read_back().unwrap().corrupt.len(), 20);
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!((left.len(), left[0].to_str()), (SET_ASIDE_MAX, Some("0 holidays.corrupt")));
        assert_eq!(left[1].to_str(), Some("20261125T212713Z-operator.corrupt"));
    }

    #[test]
    fn a_file_where_the_folder_should_be_is_an_error_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("captures"), "in the way").unwrap();
        let folder = Folder::new(place.path().join("captures"));
        assert!(folder.read_back().is_err() && folder.write(&told("sh"), &parts()).is_err());
        assert_eq!(fs::read_to_string(place.path().join("captures")).unwrap(), "in the way");
    }

    #[test]
    fn a_capture_that_cannot_be_written_leaves_nothing_behind_nor_does_one_replace_another() {
        let (_place, folder) = with(&["sh"]);
        let error = folder.write(&told("sh"), &Parts::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(folder.read_back().unwrap().captures[0].0, told("sh"));
        let unfinished = folder.of(&told("sz").id);
        fs::create_dir(&unfinished).unwrap();
        fs::create_dir(unfinished.join("profile.pb.gz")).unwrap();
        assert!(write_all(&unfinished, &told("sz"), &parts()).is_err(), "a file cannot replace a folder");
        assert!(!unfinished.join(METADATA).exists(), "so it is none");
    }

    #[test]
    fn a_part_that_changed_since_is_an_error() {
        let (_place, folder) = with(&["sh"]);
        let id = told("sh").id;
        let read = || folder.part(&id, Part::Profile, 7).map_err(|error| error.to_string());
        fs::write(folder.of(&id).join("profile.pb.gz"), "prof").unwrap();
        assert!(read().unwrap_err().contains("it has 4 bytes; 7 were written"));
        fs::write(folder.of(&id).join("profile.pb.gz"), "profiles and more").unwrap();
        assert!(read().unwrap_err().contains("more than 7 bytes"));
        fs::remove_dir_all(folder.of(&id)).unwrap();
        assert!(read().is_err() && folder.delete(&id).is_err());
    }
}
