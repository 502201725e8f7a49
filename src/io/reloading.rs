//! When the configuration is to be read again: its files have changed and lie still, somebody asked, or the fleet has other rules.
//!
//! On a thread of its own, which may wait for slow volumes and for shards. Knows files by their versions; what is in
//! them, and what becomes of it, is not its concern.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    file_version::{Version, version},
    listener::Observe,
    ticking::Ticking,
};

/// How often the files are looked at. They count as changed once they are the same for two looks.
const EVERY: Duration = Duration::from_millis(250);
/// Files that never lie still are read at every so many looks all the same.
const UNSETTLED_LOOKS_MAX: u32 = 20;
/// What was refused may become good without a change of the files that are watched: a file that it names may come late.
const RETRY: Duration = Duration::from_secs(10);

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Somebody asked.
    Asked,
    /// A file is another one.
    Changed,
    /// The fleet has other rules; no file is looked at for them.
    Rules,
    /// Nobody asked: to be told of only when something comes of it.
    Quiet,
}

/// What is to be watched after the configuration was read.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The configuration's file, and those that it names.
    pub files: Vec<PathBuf>,
    /// Whether it, or the rules of the fleet, were refused.
    pub refused: bool,
}

/// Files and their versions as they were seen last.
#[derive(Clone, Debug, Default)]
pub struct FileWatch {
    seen: Vec<(PathBuf, Option<Version>)>,
    settling: Option<Settling>,
}

#[derive(Clone, Debug)]
struct Settling {
    versions: Vec<Option<Version>>,
    looks: u32,
}

impl FileWatch {
    /// As they are now. To be made before they are read: what changes in between is then seen as a change.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let seen = files.into_iter().map(|path| (path.clone(), version(&path))).collect();
        Self { seen, settling: None }
    }

    fn versions(&self) -> Vec<Option<Version>> {
        self.seen.iter().map(|(path, _)| version(path)).collect()
    }

    /// Whether they are others than those seen last, and lie still.
    fn look(&mut self) -> bool {
        let now = self.versions();
        if self.seen.iter().map(|(_, seen)| seen).eq(&now) {
            self.settling = None;
            return false;
        }
        let looks = self.settling.as_ref().map_or(1, |settling| settling.looks + 1);
        let still = self.settling.as_ref().is_some_and(|settling| settling.versions == now);
        if still || looks > UNSETTLED_LOOKS_MAX {
            self.see(now);
            return true;
        }
        self.settling = Some(Settling { versions: now, looks });
        false
    }

    fn see(&mut self, versions: Vec<Option<Version>>) {
        self.settling = None;
        for ((_, seen), now) in self.seen.iter_mut().zip(versions) {
            *seen = now;
        }
    }

    /// Watches these from now on; says whether there are new ones, which may have changed since they were read.
    fn follow(&mut self, files: Vec<PathBuf>) -> bool {
        let known = std::mem::take(&mut self.seen);
        let mut grew = false;
        for path in files {
            let seen = match known.iter().find(|(known, _)| *known == path) {
                Some((_, seen)) => seen.clone(),
                None => {
                    grew = true;
                    version(&path)
                }
            };
            self.seen.push((path, seen));
        }
        // the places are others now
        self.settling = None;
        grew
    }
}

/// Looks and reads again; dropped, it ends.
#[derive(Debug)]
pub struct Reloading {
    asked: Arc<AtomicBool>,
    _ticking: Ticking,
}

impl Reloading {
    /// Starts the thread. `read` reads the configuration again; it may block. `rules_came` says each time whether the fleet has
    /// other rules.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        watch: FileWatch,
        files: Vec<PathBuf>,
        read: impl FnMut(Occasion) -> Followed + Send + 'static,
        mut rules_came: impl FnMut() -> bool + Send + 'static,
        observe: Observe,
    ) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let mut turns = Turns { watch, read, quiet_at: None };
        // those that it names were read before they were watched
        if turns.watch.follow(files) {
            turns.quiet_at = Some(Instant::now());
        }
        let flag = asked.clone();
        let tick = move || {
            if rules_came() {
                turns.read(Occasion::Rules, Instant::now());
            }
            turns.tick(flag.swap(false, Relaxed), Instant::now());
        };
        let ticking = Ticking::start("config", EVERY, tick, move |event| observe(event))?;
        Ok(Self { asked, _ticking: ticking })
    }

    /// It is read again within a moment, whether it changed or not.
    pub fn ask(&self) {
        self.asked.store(true, Relaxed);
    }
}

struct Turns<R> {
    watch: FileWatch,
    read: R,
    quiet_at: Option<Instant>,
}

impl<R: FnMut(Occasion) -> Followed> Turns<R> {
    fn tick(&mut self, asked: bool, now: Instant) {
        let changed = self.watch.look();
        let occasion = match () {
            () if asked => Occasion::Asked,
            () if changed => Occasion::Changed,
            () if self.quiet_at.is_some_and(|at| now >= at) => Occasion::Quiet,
            () => return,
        };
        if asked {
            let versions = self.watch.versions();
            self.watch.see(versions);
        }
        self.read(occasion, now);
    }

    fn read(&mut self, occasion: Occasion, now: Instant) {
        let Followed { files, refused } = (self.read)(occasion);
        self.quiet_at = match self.watch.follow(files) {
            true => Some(now),
            false => refused.then_some(now + RETRY),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs, os::unix::fs::symlink, rc::Rc};

    use super::*;

    /// A folder with a file, and what was read of it when.
    struct World {
        folder: tempfile::TempDir,
        occasions: Rc<RefCell<Vec<Occasion>>>,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("file"), "0").unwrap();
            Self { folder, occasions: Rc::default() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn turns(&self, refused: bool) -> Turns<impl FnMut(Occasion) -> Followed + use<>> {
            let (occasions, file) = (self.occasions.clone(), self.path("file"));
            let read = move |occasion| {
                occasions.borrow_mut().push(occasion);
                Followed { files: vec![file.clone()], refused }
            };
            Turns { watch: FileWatch::new([self.path("file")]), read, quiet_at: None }
        }

        fn told(&self) -> Vec<Occasion> {
            self.occasions.borrow_mut().drain(..).collect()
        }
    }

    #[test]
    fn a_change_is_read_once_it_lies_still_and_only_once() {
        let (world, now) = (World::new(), Instant::now());
        let mut turns = world.turns(false);
        turns.tick(false, now);
        for n in 1..4 {
            fs::write(world.path("file"), "x".repeat(n + 1)).unwrap();
            turns.tick(false, now);
        }
        assert_eq!(world.told(), [], "it never lay still");
        (0..5).for_each(|_| turns.tick(false, now));
        assert_eq!(world.told(), [Occasion::Changed]);
        fs::remove_file(world.path("file")).unwrap();
        (0..5).for_each(|_| turns.tick(false, now));
        assert_eq!(world.told(), [Occasion::Changed], "a file that goes is a change");
    }

    #[test]
    fn a_file_that_never_lies_still_is_read_all_the_same() {
        let (world, now) = (World::new(), Instant::now());
        let mut turns = world.turns(false);
        for n in 0..UNSETTLED_LOOKS_MAX as usize + 1 {
            fs::write(world.path("file"), "x".repeat(n + 2)).unwrap();
            turns.tick(false, now);
        }
        assert_eq!(world.told(), [Occasion::Changed]);
    }

    #[test]
    fn a_swapped_symlink_is_a_change_although_both_files_look_alike() {
        let (world, now) = (World::new(), Instant::now());
        for version in ["v1", "v2"] {
            fs::create_dir(world.path(version)).unwrap();
            fs::write(world.path(version).join("f"), "same").unwrap();
        }
        symlink("v1", world.path("data")).unwrap();
        fs::remove_file(world.path("file")).unwrap();
        symlink("data/f", world.path("file")).unwrap();
        let mut turns = world.turns(false);
        turns.tick(false, now);
        symlink("v2", world.path("data.new")).unwrap();
        fs::rename(world.path("data.new"), world.path("data")).unwrap();
        (0..3).for_each(|_| turns.tick(false, now));
        assert_eq!(world.told(), [Occasion::Changed]);
    }

    #[test]
    fn who_asks_is_answered_at_once_and_a_change_that_was_read_with_it_is_not_read_again() {
        let (world, now) = (World::new(), Instant::now());
        let mut turns = world.turns(false);
        fs::write(world.path("file"), "other").unwrap();
        turns.tick(true, now);
        (0..3).for_each(|_| turns.tick(false, now));
        assert_eq!(world.told(), [Occasion::Asked]);
    }

    #[test]
    fn what_was_refused_is_tried_again_quietly() {
        let (world, now) = (World::new(), Instant::now());
        let mut turns = world.turns(true);
        turns.tick(true, now);
        turns.tick(false, now + RETRY / 2);
        turns.tick(false, now + RETRY);
        assert_eq!(world.told(), [Occasion::Asked, Occasion::Quiet]);
    }

    #[test]
    fn files_that_are_named_anew_are_read_once_more_and_then_watched() {
        let world = World::new();
        let mut watch = FileWatch::new([world.path("file")]);
        assert!(watch.follow(vec![world.path("file"), world.path("secret")]));
        assert!(!watch.follow(vec![world.path("file"), world.path("secret")]));
        fs::write(world.path("secret"), "new").unwrap();
        assert!(!watch.look() && watch.look() && !watch.look());
    }
}
