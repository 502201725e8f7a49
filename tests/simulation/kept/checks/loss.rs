//! Nothing acknowledged is lost, but for what a router that was killed, or that another took the room from, had not yet written: what
//! it gathered, what its calls to Redis took; or as long as the world kept it from writing.

use super::super::{
    chronicle::{Chronicle, Ended, Entry, Life, LifeId, What},
    plan::Ack,
};

/// As of the core.
const ENTRIES_A_WRITE: u64 = 512;

/// Judges what was acknowledged in lives of a room that are over, and is not in the one that goes on. `unknown`: that was made anew
/// while it was not known whether the room was kept, as whoever joins then may; what was before is let go of. Also how much is lost.
pub(crate) fn judge(
    chronicle: &mut Chronicle,
    room: usize,
    goes_on: Option<LifeId>,
    unknown: bool,
) -> (Vec<String>, usize) {
    let (mut broken, mut lost) = (Vec::new(), 0);
    for id in 0..chronicle.lives.len() {
        let life = &chronicle.lives[id];
        // one that lives hands on what it has when it makes way, and what was handed on so another rule looks at
        if life.room != room || life.ended.is_none() || life.beside.is_some() {
            continue;
        }
        // what has left the history nobody could have come back to
        let first = (life.tip + 1).saturating_sub(life.events);
        let is_there = |offset: u64| {
            goes_on.is_some_and(|goes_on| {
                chronicle.is_of(goes_on, (id, offset)) || chronicle.is_merged(goes_on, (id, offset))
            })
        };
        let gone: Vec<u64> =
            life.entries.keys().copied().filter(|offset| *offset >= first && !is_there(*offset)).collect();
        for offset in gone {
            let life = &chronicle.lives[id];
            let entry = &life.entries[&offset];
            lost += usize::from(entry.acknowledged && !entry.excused);
            if entry.acknowledged && !entry.excused && !unknown && !is_excused(life, entry) {
                broken.push(format!(
                    "[loss] room {room}: {:?} at {offset} was acknowledged by r{} at {} and is lost (stands {}): ended {:?}, \
                     fenced {:?}, hindered {}, taken back {:?}, slack {}",
                    entry.what,
                    life.router,
                    entry.at,
                    entry.stands,
                    life.ended,
                    life.fenced,
                    life.hindered,
                    life.taken_back,
                    life.slack()
                ));
            }
            if let Some(entry) = chronicle.lives[id].entries.get_mut(&offset) {
                entry.excused = true;
            }
        }
    }
    (broken, lost)
}

/// All have left a room: nobody waits for what was said in it.
pub(crate) fn empty(chronicle: &mut Chronicle, life: LifeId) {
    let (mut at, mut last) = (Some(life), u64::MAX);
    while let Some(life) = at {
        let life = &mut chronicle.lives[life];
        life.entries.range_mut(..=last).for_each(|(_, entry)| entry.excused = true);
        (at, last) = life.parent.map_or((None, 0), |(parent, last)| (Some(parent), last));
    }
}

/// Whether its router could not have written it in time.
fn is_excused(life: &Life, entry: &Entry) -> bool {
    if entry.stands {
        return false;
    }
    // what the disk of a router has that was killed comes into the room of the one that took it, and another rule looks at that
    if entry.on_disk && life.fenced.is_some() {
        return true;
    }
    // what is more than goes into one write comes with the next
    let writes = 1 + life.entries.len() as u64 / ENTRIES_A_WRITE;
    let due = entry.at.max(life.hindered) + life.slack() * writes;
    let ended = match life.ended {
        Some((at, Ended::Killed | Ended::Dropped)) => at <= due,
        // the last write has all of it
        Some((at, Ended::HandedOver)) => !life.parted && at <= life.hindered,
        Some((_, Ended::Empty)) | None => false,
    };
    // what Redis had was lost there: its router finds out with what it writes next, which is after `refresh` at the latest
    let over = life.ended.map(|(at, _)| at).into_iter().chain(life.fenced).min();
    let taken_back = life.taken_back.is_some_and(|back| {
        let found_out = back.max(life.hindered) + life.refresh + 2 * life.slack();
        entry.at <= back && over.is_some_and(|over| over <= found_out)
    });
    let is_late = ended || life.fenced.is_some_and(|at| at <= due);
    // what was acknowledged once it was kept no kill takes away
    let waited = life.ack != Ack::Local && matches!(entry.what, What::Said { .. });
    (is_late && !waited) || taken_back
}
