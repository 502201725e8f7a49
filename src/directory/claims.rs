//! The media nodes that registered with this router, as they stand for all routers: written when they are not there, or not as they
//! are; taken away when they are gone.
//!
//! Nothing is written over a record that this router has not seen: of two routers that write at once the first one has it, and the
//! other hears of it by its watch, as everybody does.

use std::{collections::BTreeMap, time::Instant};

use super::{Answer, Fault, pace::Pace, record::NodeRecord, view::View};

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This is to stand there, if what stands there is still of that revision; 0: nothing.
    Claim { id: String, value: Vec<u8>, expected: i64 },
    /// Nothing is to stand there, if what stands there is still of that revision.
    Release { id: String, expected: i64 },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Claims {
    /// This router and this start of it: whose records are ours.
    by: (String, String),
    /// The nodes that registered here.
    wanted: BTreeMap<String, NodeRecord>,
    /// The node that a step is under way for.
    under_way: Option<String>,
    /// Nothing is done about a node until the view goes up to that revision.
    settling: BTreeMap<String, i64>,
    /// Something changed since nothing was left to be done.
    stirred: bool,
    due: Instant,
    pace: Pace,
}

impl Claims {
    pub(super) fn new(by: (String, String), seed: u64, now: Instant) -> Self {
        Self {
            by,
            wanted: BTreeMap::new(),
            under_way: None,
            settling: BTreeMap::new(),
            stirred: false,
            due: now,
            pace: Pace::new(seed),
        }
    }

    /// These nodes, and no others, are registered here now.
    pub(super) fn registered(&mut self, nodes: Vec<NodeRecord>) {
        let signed = |mut node: NodeRecord| {
            (node.by, node.by_incarnation) = self.by.clone();
            (node.id.clone(), node)
        };
        let wanted: BTreeMap<_, _> = nodes.into_iter().map(signed).collect();
        if wanted != self.wanted {
            (self.wanted, self.stirred) = (wanted, true);
        }
    }

    /// What is seen, or the lease, may be another.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// All was read again: what was waited for may never come.
    pub(super) fn forget_revisions(&mut self) {
        self.settling.clear();
        self.stirred = true;
    }

    /// When the next step is due; absent: there is none, or one is under way.
    pub(super) fn wake(&self) -> Option<Instant> {
        (self.stirred && self.under_way.is_none()).then_some(self.due)
    }

    /// The next step, if there is one and it is time. `view` goes up to `revision`.
    pub(super) fn step(&mut self, view: &View<NodeRecord>, revision: i64, now: Instant) -> Option<Step> {
        if self.under_way.is_some() || !self.stirred || self.due > now {
            return None;
        }
        self.settling.retain(|_, until| *until > revision);
        let step = self.claim(view).or_else(|| self.release(view));
        match &step {
            Some(Step::Claim { id, .. } | Step::Release { id, .. }) => self.under_way = Some(id.clone()),
            None => self.stirred = false,
        }
        step
    }

    fn claim(&self, view: &View<NodeRecord>) -> Option<Step> {
        let mut free = self.wanted.iter().filter(|(id, _)| !self.settling.contains_key(*id));
        free.find_map(|(id, node)| {
            let expected = match view.get(id) {
                None => 0,
                Some((Ok(there), _)) if there == node => return None,
                // the same process registered with another router as well: it stands for both
                Some((Ok(there), _)) if there.by != self.by.0 && there.is_of_the_start_of(node) => return None,
                Some((_, revision)) => revision,
            };
            Some(Step::Claim { id: id.clone(), value: node.bytes(), expected })
        })
    }

    fn release(&self, view: &View<NodeRecord>) -> Option<Step> {
        view.kept().find_map(|(id, kept)| {
            let ours = kept.record.as_ref().is_ok_and(|there| self.is_ours(there));
            let free = !self.wanted.contains_key(id) && !self.settling.contains_key(id);
            (ours && free).then(|| Step::Release { id: id.to_owned(), expected: kept.revision })
        })
    }

    fn is_ours(&self, node: &NodeRecord) -> bool {
        (&node.by, &node.by_incarnation) == (&self.by.0, &self.by.1)
    }

    /// How the step that is under way ended.
    pub(super) fn answered(&mut self, answer: Result<&Answer, &Fault>, now: Instant) {
        let Some(id) = self.under_way.take() else { return };
        self.stirred = true;
        match answer {
            Ok(Answer::Written { revision, .. }) => {
                self.settling.insert(id, *revision);
                self.pace.done();
                self.due = now;
            }
            // somebody else was first, which is yet to be heard of; or it could not be done
            Ok(_) | Err(_) => self.due = now + self.pace.failed(),
        }
    }
}
