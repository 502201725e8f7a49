//! The scopes of a connection, and what it has taken of them; given back on drop.

use std::sync::Arc;

use super::cell::{Cell, Full};
use crate::{
    event::Scope,
    guard::limits::{Check, Slot},
};

/// The cells of a connection's scopes, by scope; of those that are not known yet there is none.
#[derive(Debug)]
pub struct Scopes {
    cells: [Option<Arc<Cell>>; Scope::ALL.len()],
}

impl Scopes {
    /// In the order of [`Scope::ALL`].
    pub(super) const fn new(cells: [Option<Arc<Cell>>; Scope::ALL.len()]) -> Self {
        Self { cells }
    }

    #[inline]
    fn of(&self, scope: Scope) -> Option<&Cell> {
        self.cells[scope as usize].as_deref()
    }
}

/// Places that one signal, or one connection, has taken.
#[derive(Debug)]
pub struct UnderWay {
    scopes: Arc<Scopes>,
    taken: Taken,
}

/// Which places, by scope and slot; a slot that is not the one for all is the own one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    own: Option<Slot>,
    /// A bit a scope.
    of_own: u8,
    of_any: u8,
}

impl Taken {
    fn add(&mut self, check: &Check) {
        let bit = 1 << check.scope as u8;
        if check.slot == Slot::Any {
            self.of_any |= bit;
        } else {
            self.own = Some(check.slot);
            self.of_own |= bit;
        }
    }

    const fn is_nothing(self) -> bool {
        self.of_own | self.of_any == 0
    }

    fn give_back(self, scopes: &Scopes) {
        for scope in Scope::ALL {
            let (bit, Some(cell)) = (1 << scope as u8, scopes.of(scope)) else { continue };
            if let (Some(own), true) = (self.own, self.of_own & bit != 0) {
                cell.give_back(own);
            }
            if self.of_any & bit != 0 {
                cell.give_back(Slot::Any);
            }
        }
    }
}

impl UnderWay {
    /// Asks each of the checks whose scope is known; nothing when none of them counts places. Who is refused has taken
    /// no place.
    pub(super) fn take<'a>(
        scopes: &Arc<Scopes>,
        checks: impl IntoIterator<Item = &'a Check>,
        now_ns: u64,
    ) -> Result<Option<Self>, (&'a Check, Full)> {
        let mut taken = Taken::default();
        for check in checks {
            let Some(cell) = scopes.of(check.scope) else { continue };
            match cell.take(check.slot, check.bound, now_ns) {
                Ok(true) => taken.add(check),
                Ok(false) => {}
                Err(full) => {
                    taken.give_back(scopes);
                    return Err((check, full));
                }
            }
        }
        Ok((!taken.is_nothing()).then(|| Self { scopes: scopes.clone(), taken }))
    }

    /// With what another has taken of the same slot, under scopes that know the cells of both.
    pub(super) fn with(mut self, other: Option<Self>, scopes: &Arc<Scopes>) -> Self {
        self.scopes = scopes.clone();
        // taken over, so that it is given back once
        let more = other.map(|mut other| std::mem::take(&mut other.taken)).unwrap_or_default();
        self.taken.own = self.taken.own.or(more.own);
        self.taken.of_own |= more.of_own;
        self.taken.of_any |= more.of_any;
        self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.taken.give_back(&self.scopes);
    }
}
