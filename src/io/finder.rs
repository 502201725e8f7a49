//! Where a room is, for who wants into it: with which router of the fleet, and if with this one, whether it has to be brought back.

use super::{directory::Homes, keeping::Keeper};
use crate::{
    fabric::Ask,
    ids::{Epoch, RoomId},
    protocol::Refusal,
};

/// See the module. The default is of a router that is alone, and whose rooms end with it.
#[derive(Clone, Debug, Default)]
pub struct RoomFinder {
    /// Which router has a room; absent: this one has all that are asked for.
    pub homes: Option<Homes>,
    /// Keeps rooms outside of this process; absent: nobody does.
    pub keeper: Option<Keeper>,
}

impl RoomFinder {
    /// Whether all rooms that are wanted are here, and no others are anywhere.
    pub(crate) const fn asks_nobody(&self) -> bool {
        self.homes.is_none() && self.keeper.is_none()
    }

    /// Whether a room that is wanted is to be this router's, if it is no other's. `makes`: who wants in makes a room that is not there;
    /// one that is kept is there, and who `returns` knows of it.
    pub(crate) const fn founds(&self, makes: bool, returns: bool) -> bool {
        makes || (returns && self.keeper.is_some())
    }

    /// Whether no other router of the fleet has the room.
    ///
    /// # Errors
    /// `room_elsewhere`, with where.
    pub(crate) async fn is_here(&self, room: &RoomId, founds: bool) -> Result<(), Refusal> {
        match &self.homes {
            Some(homes) => homes.elsewhere(room, founds).await.map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// A room that is kept, and not here, is here when this is done, if that can be.
    pub(crate) async fn bring_back(&self, room: &RoomId) {
        if let Some(keeper) = &self.keeper {
            keeper.bring_back(room).await;
        }
    }

    /// A room came to be here, or ended here.
    pub(crate) fn changed(&self, room: &RoomId, exists: bool) {
        if let Some(homes) = &self.homes {
            homes.changed(room, exists);
        }
        if let Some(keeper) = &self.keeper {
            keeper.changed(room, exists);
        }
    }

    /// A shard asks something of whoever keeps its rooms.
    pub(crate) fn ask(&self, room: RoomId, epoch: Epoch, ask: Ask) {
        if let Some(keeper) = &self.keeper {
            keeper.ask(room, epoch, ask);
        }
    }
}
