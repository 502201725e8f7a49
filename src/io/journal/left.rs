//! What lies here of a room that nobody here has any more: a process of before left it, or its router did. Nowhere else is it known what
//! was said in it last.

use super::{Entry, Inner, Waits, locked};
use crate::{
    event::JournalOutcome,
    fabric::{Taken, memory::Fold},
    ids::RoomId,
    io::keeping::Unanswered,
};

impl Inner {
    /// Redis does not answer, and a process of this router's name left the room here: as it was then. What is written of it next is all
    /// of it: should Redis have more than is here, that is not mixed with it.
    pub(super) async fn go_on(&self, room: &RoomId) -> Option<Taken> {
        let _turn = self.lane(room).lock().await;
        let waits = self.index(|index| index.waits(room.as_str()))?;
        let Waits { brings: Some(last), left: true, brought: false, .. } = waits else { return None };
        if !self.takes {
            return None;
        }
        let stored = self.folded(room, last).await.ok()??.end().filter(|stored| stored.owner == self.router)?;
        self.index(|index| index.goes_on(room.as_str()));
        locked(&self.wanted).insert(room.clone());
        Some(Taken::Kept(stored.kept()))
    }

    /// What is here up to a write never will be the room, for that reason. If another router has it, all that is here lies beside the room
    /// then: should the room be here, it goes there by itself later, with more, and takes the place of this.
    ///
    /// # Errors
    /// Redis did not answer, or the disk.
    pub(super) async fn set_beside(
        &self,
        room: &RoomId,
        (last, why): (u64, JournalOutcome),
    ) -> Result<JournalOutcome, Unanswered> {
        if why != JournalOutcome::Fenced {
            return Ok(why);
        }
        let Some(fold) = self.folded(room, last).await? else { return Ok(why) };
        // one that ended leaves nothing
        let Some(stored) = fold.end() else { return Ok(JournalOutcome::Superseded) };
        match stored.into_last() {
            Some(last) if self.behind.put_beside(room, &last).await? => Ok(JournalOutcome::SetBeside),
            // its beginning alone, of a room that has the rest
            None if !self.index(|index| index.is_left(room.as_str())) => Ok(JournalOutcome::Superseded),
            Some(_) | None => Ok(why),
        }
    }

    /// What is here of a room, up to a write. None: it cannot be read.
    ///
    /// # Errors
    /// The disk does not show it now, or not yet.
    async fn folded(&self, room: &RoomId, last: u64) -> Result<Option<Fold>, Unanswered> {
        let (mut fold, mut after) = (Fold::default(), 0);
        while after < last {
            let writes = self.writer.read(room.as_str(), after).await.ok_or(Unanswered)?;
            after = writes.last().ok_or(Unanswered)?.0;
            for (_, bytes) in writes.into_iter().filter(|(number, _)| *number <= last) {
                let Ok(entry) = Entry::read(bytes) else { return Ok(None) };
                let (owner, ends) = (entry.owner.clone(), entry.ends);
                if !fold.add(&owner, (!ends).then(|| entry.into_write())) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(fold))
    }
}
