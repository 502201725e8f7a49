//! Files that others have, that cannot be read, and disks that are full.

use redb::{StorageBackend, backends::InMemoryBackend};

use super::{super::disk::Disk, *};
use crate::event::JournalWork;

#[test]
fn a_file_that_another_process_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_first, _) = Disk::open(folder.path(), "x").unwrap();
    let refused = Disk::open(folder.path(), "x").unwrap_err();
    assert!(refused.to_string().contains("another process has"), "{refused}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_set_aside_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(disk::NAME);
    let (journal, _, away) = one_that_stands(folder.path()).await;
    away.set(true);
    for said in 3..=20 {
        say(&journal, 1, said).await;
    }
    drop(journal);
    drop(reopened(settings(folder.path()), &away).await);
    while matches!(Disk::open(folder.path(), &settings(folder.path()).of), Err(Unopened::Taken(_))) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let good = fs::read(&file).unwrap();
    let half = good.len() / 2;
    let garbage: Vec<u8> = (0..good.len()).map(|at| (at * 31 % 251) as u8).collect();
    let torn = [&good[..4_096], &garbage[4_096..]].concat();
    for (what, bytes) in
        [("garbage", &garbage[..]), ("cut short", &good[..half]), ("short", &good[..100]), ("torn", &torn)]
    {
        fs::write(&file, bytes).unwrap();
        let (opened, facts) = open(settings(folder.path()), &away);
        let told = facts.lock().unwrap().clone();
        let [JournalFact::Failed { doing: JournalWork::SetAside, why }] = &*told else { panic!("{what}: {told:?}") };
        assert!(why.contains(disk::NAME) && why.contains("it is journal.aside now"), "{what}: {why}");
        assert_eq!(fs::read(folder.path().join("journal.aside")).unwrap().len(), bytes.len(), "{what}");
        // and it works
        assert_eq!(opened.write(&"r".into(), &whole(1, 2)).await, Ok(Written::Written), "{what}");
        drop(opened);
        while matches!(Disk::open(folder.path(), &settings(folder.path()).of), Err(Unopened::Taken(_))) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (_other, facts) = open(JournalSettings { of: "other:fleet".to_owned(), ..settings(folder.path()) }, &away);
    let told = facts.lock().unwrap().clone();
    let [JournalFact::Failed { doing: JournalWork::SetAside, why }] = &*told else { panic!("{told:?}") };
    assert!(why.contains("is of other rooms"), "{why}");
}

/// A disk that has no place any more when it is told so.
#[derive(Debug, Clone)]
struct FullDisk {
    bytes: Arc<dyn StorageBackend>,
    full: Arc<AtomicBool>,
}

impl FullDisk {
    fn room(&self) -> std::io::Result<()> {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        if self.full.load(SeqCst) { Err(full) } else { Ok(()) }
    }
}

impl StorageBackend for FullDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.room()?;
        self.bytes.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.room()?;
        self.bytes.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.room()?;
        self.bytes.write(offset, data)
    }
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_and_a_new_file_is_begun_when_there_is_place() {
    let folder = tempfile::tempdir().unwrap();
    let away = Away::of("a");
    let disk = FullDisk { bytes: Arc::new(InMemoryBackend::new()), full: Arc::default() };
    let (facts, observe) = observer();
    let settings = settings(folder.path());
    let place = Place { folder: settings.folder.clone(), of: settings.of.clone() };
    let behind: Box<dyn Behind> = Box::new(away.clone());
    let journal = Journal::over(disk::Disk::on(disk.clone()), place, settings, (behind, observe)).unwrap();
    assert_eq!(journal.take(&"r".into(), false).await, Ok(Taken::Nothing { fence: 1 }));
    away.set(true);
    disk.full.store(true, SeqCst);
    assert_eq!(
        journal.write(&"r".into(), &whole(1, 2)).await,
        Err(Unanswered),
        "nothing is said to be kept that is not"
    );
    assert_eq!(ended(&facts, JournalOutcome::Failed), 1);
    assert!(
        facts.lock().unwrap().iter().any(|fact| matches!(fact, JournalFact::Failed { doing: JournalWork::Write, .. }))
    );
    // by and by the file, another one here, is opened again
    let again = async {
        while journal.write(&"r".into(), &whole(1, 2)).await != Ok(Written::Written) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    away.set(false);
    brought(&journal).await;
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=2));
}

#[tokio::test]
async fn what_a_disk_does_not_show_any_more_the_room_writes_itself_and_then_the_file_goes() {
    let folder = tempfile::tempdir().unwrap();
    let away = Away::of("a");
    let disk = FullDisk { bytes: Arc::new(InMemoryBackend::new()), full: Arc::default() };
    let (facts, observe) = observer();
    let settings = settings(folder.path());
    // where its file is opened again there is none, and none can be
    let nowhere = folder.path().join("file");
    fs::write(&nowhere, "no folder").unwrap();
    let place = Place { folder: nowhere.clone(), of: settings.of.clone() };
    let behind: Box<dyn Behind> = Box::new(away.clone());
    let journal = Journal::over(disk::Disk::on(disk.clone()), place, settings, (behind, observe)).unwrap();
    let told = told_by(&journal);
    assert_eq!(journal.take(&"r".into(), false).await, Ok(Taken::Nothing { fence: 1 }));
    away.set(true);
    for room in ["r", "s"] {
        assert_eq!(journal.write(&room.into(), &whole(1, 2)).await, Ok(Written::Written));
    }
    disk.full.store(true, SeqCst);
    assert_eq!(journal.write(&"r".into(), &next(1, 3)).await, Err(Unanswered));
    assert_eq!(journal.0.bring(&"r".into()).await, Err(Unanswered));
    away.set(false);
    let tells = async {
        while told.lock().unwrap().is_empty() {
            assert_eq!(journal.0.bring(&"r".into()).await, Err(Unanswered));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, tells).await.expect("the room hears of it");
    let mut all = told.lock().unwrap().clone();
    all.sort();
    assert_eq!(all, [RoomId::from("r"), RoomId::from("s")], "each of them, once");
    assert!(journal.0.index(|index| index.has("r")), "not before it is elsewhere");
    assert_eq!(journal.write(&"r".into(), &next(1, 3)).await, Ok(Written::Missing), "all of it is asked for");
    assert_eq!(journal.write(&"r".into(), &whole(1, 3)).await, Ok(Written::Written));
    assert_eq!(ended(&facts, JournalOutcome::Superseded), 1);
    assert_eq!(journal.write(&"r".into(), &next(1, 4)).await, Ok(Written::Written), "and what follows, too");
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=4));
    assert_eq!(journal.0.bring(&"r".into()).await, Ok(()), "it counts no more");
    assert!(journal.0.index(|index| index.lies("r") && index.has("s")), "the file stays for the other one");
    assert_eq!(journal.write(&"s".into(), &whole(1, 3)).await, Ok(Written::Written));
    // a folder again: there is no file in it to go
    fs::remove_file(&nowhere).unwrap();
    brought(&journal).await;
    assert_eq!(journal.0.bring(&"s".into()).await, Ok(()));
    assert!(!journal.0.index(|index| index.lies("r") || index.lies("s")));
}

#[tokio::test]
async fn a_disk_that_fails_for_a_moment_while_the_store_is_back_loses_nothing_and_asks_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let away = Away::of("a");
    let file = fs::File::create_new(folder.path().join(disk::NAME)).unwrap();
    let disk = FullDisk { bytes: Arc::new(redb::backends::FileBackend::new(file).unwrap()), full: Arc::default() };
    let full = disk.full.clone();
    let (facts, observe) = observer();
    let settings = settings(folder.path());
    let place = Place { folder: settings.folder.clone(), of: settings.of.clone() };
    let behind: Box<dyn Behind> = Box::new(away.clone());
    let journal = Journal::over(disk::Disk::on(disk), place, settings, (behind, observe)).unwrap();
    let told = told_by(&journal);
    assert_eq!(journal.take(&"r".into(), false).await, Ok(Taken::Nothing { fence: 1 }));
    away.set(true);
    for said in 3..=40 {
        say(&journal, 1, said).await;
    }
    full.store(true, SeqCst);
    assert_eq!(journal.write(&"r".into(), &next(1, 41)).await, Err(Unanswered));
    away.set(false);
    brought(&journal).await;
    assert_eq!((ended(&facts, JournalOutcome::Superseded), told.lock().unwrap().len()), (0, 0));
    say(&journal, 1, 41).await;
    assert_eq!(kept(away.taken("r", true)).entries, entries(1..=41));
}
