//! Where a room is, for who wants into it: with which router of the fleet, and if with this one, whether it has to be brought back.

use super::{directory::Homes, keeping::Keeper};
use crate::{
    fabric::Ask,
    ids::{Epoch, RoomId, RouterId},
    protocol::{Code, Refusal},
};

/// How soon a resume that found no answer is worth another try: a Redis that was lost is tried again about as often.
const RETRY_MS: u64 = 500;

/// Another router of the fleet has a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Which.
    pub router: RouterId,
    /// Where it takes connections that other routers carry to it; empty: nowhere.
    pub relay_url: String,
    /// To a client that is to go there itself.
    pub refusal: Refusal,
}

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
    /// Which one has it.
    pub(crate) async fn is_here(&self, room: &RoomId, founds: bool) -> Result<(), Elsewhere> {
        match &self.homes {
            Some(homes) => homes.elsewhere(room, founds).await.map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// A room that is kept, and not here, is here when this is done, if that can be. Who comes to a session of it waits until it can
    /// be; who joins makes the room anew.
    ///
    /// # Errors
    /// `room_unavailable` to who `returns`: whether it is kept is not known.
    pub(crate) async fn bring_back(&self, room: &RoomId, returns: bool) -> Result<(), Refusal> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        if keeper.bring_back(room).await || !returns {
            return Ok(());
        }
        let why = "what is kept of the room cannot be reached now; resume again in a moment";
        Err(Code::RoomUnavailable.because(why).retry_after_ms(RETRY_MS))
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
