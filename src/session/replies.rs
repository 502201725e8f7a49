//! The latest replies of one session, so that a request that is repeated after a resume is answered, not redone.

use std::collections::VecDeque;

use crate::protocol::v1::ServerFrame;

/// A bounded number of replies by request id.
#[derive(Debug, Default)]
pub struct Replies(VecDeque<(u64, ServerFrame)>);

impl Replies {
    /// Keeps a reply; the oldest goes when there are more than `bound`.
    pub fn keep(&mut self, id: u64, reply: ServerFrame, bound: usize) {
        self.0.push_back((id, reply));
        while self.0.len() > bound {
            self.0.pop_front();
        }
    }

    /// The reply that this request got.
    pub fn get(&self, id: u64) -> Option<&ServerFrame> {
        self.0.iter().rev().find(|(kept, _)| *kept == id).map(|(_, reply)| reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_no_more() {
        let mut replies = Replies::default();
        for id in 1..=5 {
            replies.keep(id, ServerFrame { id: Some(id), body: None }, 3);
        }
        assert!(replies.get(2).is_none());
        assert_eq!(replies.get(3).unwrap().id, Some(3));
    }
}
