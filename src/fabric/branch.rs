//! A branch of a room: all that a router had of one that another router went on with meanwhile, in one piece, to be merged there.

use bytes::Bytes;
use prost::Message;

use super::{FORMAT, Kept, Named, Placed, Unreadable, Write};
use crate::ids::Epoch;

/// What the name of a branch begins with, among the fields of its room.
pub const BRANCH_PREFIX: &str = "b:";
/// Branches that may lie beside one room, each of another life.
pub const BRANCHES_MAX: usize = 8;

/// See the module. Protobuf: what a newer version adds is passed over.
#[derive(Clone, PartialEq, Message)]
pub struct BranchKept {
    /// [`FORMAT`] of who wrote it.
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Named>,
    #[prost(message, repeated, tag = "3")]
    entries: Vec<Placed>,
}

impl BranchKept {
    /// All of a room.
    pub fn of(write: &Write) -> Self {
        Self { format: FORMAT, fields: Named::all(&write.set), entries: Placed::all(&write.entries) }
    }

    /// As it is written.
    pub fn bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// What was written, as if it were the room.
    ///
    /// # Errors
    /// It is no such thing, or of a format that is not known here.
    pub fn read(bytes: &Bytes) -> Result<Kept, Unreadable> {
        let branch = Self::decode(bytes.clone()).map_err(|why| Unreadable::new("a branch", why))?;
        if branch.format > FORMAT {
            let why = format!("its format is {}; this router knows up to {FORMAT}", branch.format);
            return Err(Unreadable::new("a branch", why));
        }
        Ok(Kept {
            fields: Named::into_fields(branch.fields),
            entries: Placed::into_entries(branch.entries),
            ..Kept::default()
        })
    }

    /// What all branches of a life are called by, up to their number: a later one takes the place of those before.
    pub fn names_of(epoch: Epoch) -> String {
        format!("{BRANCH_PREFIX}{epoch}.")
    }

    /// What a branch is called: another one each time that it is put beside its room, so that what is merged is what is taken away.
    pub fn name(epoch: Epoch, edition: u64) -> String {
        format!("{}{edition}", Self::names_of(epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_read_as_the_room_that_it_was() {
        let write = Write {
            set: vec![("f".to_owned(), Bytes::from_static(b"room")), ("m:1".to_owned(), Bytes::new())],
            entries: vec![(7, Bytes::from_static(b"e")), (8, Bytes::new())],
            ..Write::default()
        };
        let kept = BranchKept::read(&BranchKept::of(&write).bytes()).unwrap();
        assert_eq!((kept.fields, kept.entries), (write.set, write.entries));
        let newer = BranchKept { format: FORMAT + 1, ..BranchKept::default() };
        let why = BranchKept::read(&newer.bytes()).unwrap_err().to_string();
        assert!(why.contains("format"), "{why}");
        assert!(BranchKept::read(&Bytes::from_static(b"\xff\xff")).is_err());
    }

    #[test]
    fn branches_of_one_life_share_the_beginning_of_their_names() {
        let (name, of) = (BranchKept::name(Epoch(7), 9), BranchKept::names_of(Epoch(7)));
        assert!(name.starts_with(&of) && of.starts_with(BRANCH_PREFIX));
        assert!(!BranchKept::name(Epoch(8), 9).starts_with(&of));
    }
}
