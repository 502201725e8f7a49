//! The rules that every world keeps, each in a file of its own. What a rule says begins with its name.

pub(crate) mod acknowledged;
pub(crate) mod branches;
pub(crate) mod delivery;
pub(crate) mod directed;
pub(crate) mod figures;
pub(crate) mod loss;
pub(crate) mod owners;
pub(crate) mod recovery;
pub(crate) mod repeats;
pub(crate) mod replaced;
pub(crate) mod sessions;
pub(crate) mod whole;
