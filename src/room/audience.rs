//! Who sees a push of a room.
//!
//! An audience is kept beside each event, so that a replay shows to a participant what it would have seen live.

use super::Member;

/// One participant's place. Given by the router; later joins have higher ones, and none is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Seat(pub(crate) u64);

/// Who may see an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody.
    All,
    /// Everybody but this one: messages are not echoed, nobody sees itself join.
    Except(Seat),
    /// Admins, and this hidden participant.
    AdminsAnd(Seat),
    /// Admins but this one: what a hidden participant does not see of itself.
    AdminsExcept(Seat),
    /// Everybody who is no admin, but this one: those to whom somebody appears or vanishes.
    OrdinaryExcept(Seat),
    /// Two participants (or one, twice).
    Pair(Seat, Seat),
}

impl Audience {
    pub(crate) fn includes(self, member: &Member) -> bool {
        let (seat, admin) = (member.seat, member.is_admin());
        match self {
            Self::All => true,
            Self::Except(one) => seat != one,
            Self::AdminsAnd(one) => admin || seat == one,
            Self::AdminsExcept(one) => admin && seat != one,
            Self::OrdinaryExcept(one) => !admin && seat != one,
            Self::Pair(one, other) => seat == one || seat == other,
        }
    }
}
