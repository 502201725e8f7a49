//! Routers where nobody listens any more, as this one found when it wanted to reach them again: the lease of a router that was killed
//! says so only much later.
//!
//! It is believed until the router is heard of again. Then it runs, and something is between the two: of that start of it no such
//! word is believed again, so that two routers do not take rooms from each other in turns.

use std::collections::BTreeMap;

use super::{
    RouterRecord,
    view::{Kept, View},
};
use crate::ids::RouterId;

/// No record has it: etcd counts from 1.
const NEVER: i64 = 0;

/// By their ids; none that is not known.
#[derive(Debug, Default)]
pub(super) struct Refusing(BTreeMap<String, Refused>);

/// What was known of a router when nobody listened there.
#[derive(Debug)]
struct Refused {
    incarnation: String,
    revision: i64,
}

impl Refusing {
    /// Nobody listens where that router should. Answers whether this tells anything.
    pub(super) fn note(&mut self, router: &RouterId, routers: &View<RouterRecord>) -> bool {
        let known = |id: &str| Some((routers.find(id)?, routers.find(id)?.record.as_ref().ok()?));
        self.0.retain(|id, refused| known(id).is_some_and(|(_, record)| record.incarnation == refused.incarnation));
        let Some((kept, record)) = known(router.as_str()) else { return false };
        if self.0.contains_key(router.as_str()) {
            return false;
        }
        let refused = Refused { incarnation: record.incarnation.clone(), revision: kept.revision };
        self.0.insert(router.as_str().to_owned(), refused);
        true
    }

    /// It was heard of by other means than its record: it runs.
    pub(super) fn runs(&mut self, router: &RouterId) {
        if let Some(refused) = self.0.get_mut(router.as_str()) {
            refused.revision = NEVER;
        }
    }

    /// Whether nobody listens where that router should, and nothing was heard of it since.
    pub(super) fn is_gone(&self, id: &str, kept: &Kept<RouterRecord>) -> bool {
        self.0.get(id).is_some_and(|refused| refused.revision == kept.revision)
    }
}
