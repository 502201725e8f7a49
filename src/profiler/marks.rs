//! Marks in the stacks themselves: one function an op, so that every sample tells what was in hand.
//!
//! Each is never inlined, calls what it is given and uses a word of its own after that: so it is neither replaced by a
//! jump nor merged with another whose code would be the same. About 2 ns a call.

use std::hint::black_box;

use crate::protocol::OpKind;

/// What a shard has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InHand {
    /// A signal.
    Op(OpKind),
    /// A connection that is gone.
    Lost,
    /// A call of the admin API.
    Admin,
    /// What a media node says, or what became known of one.
    Media,
    /// A timer, or the drain.
    Tick,
}

macro_rules! marks {
    ($($function:ident $word:literal)*) => {
        $(
            #[inline(never)]
            fn $function(work: &mut dyn FnMut()) {
                work();
                black_box($word);
            }
        )*

        /// The function of each mark and its word, which is the value of the label.
        const WORDS: &[(&str, &str)] = &[$((stringify!($function), $word)),*];
    };
}

marks! {
    op_join "join"
    op_leave "leave"
    op_resume "resume"
    op_publish "publish"
    op_unpublish "unpublish"
    op_mute "mute"
    op_subscribe "subscribe"
    op_signal "signal"
    op_send "send"
    op_update "update"
    op_ping "ping"
    op_unread "unread"
    op_lost "lost"
    op_admin "admin"
    op_media "media"
    op_tick "tick"
}

impl InHand {
    const fn function(self) -> fn(&mut dyn FnMut()) {
        match self {
            Self::Op(OpKind::Join) => op_join,
            Self::Op(OpKind::Leave) => op_leave,
            Self::Op(OpKind::Resume) => op_resume,
            Self::Op(OpKind::Publish) => op_publish,
            Self::Op(OpKind::Unpublish) => op_unpublish,
            Self::Op(OpKind::Mute) => op_mute,
            Self::Op(OpKind::Subscribe) => op_subscribe,
            Self::Op(OpKind::Signal) => op_signal,
            Self::Op(OpKind::Send) => op_send,
            Self::Op(OpKind::Update) => op_update,
            Self::Op(OpKind::Ping) => op_ping,
            Self::Op(OpKind::Unknown) => op_unread,
            Self::Lost => op_lost,
            Self::Admin => op_admin,
            Self::Media => op_media,
            Self::Tick => op_tick,
        }
    }
}

/// Does something with a mark under it in the stack.
pub fn during(mark: InHand, work: &mut dyn FnMut()) {
    mark.function()(work);
}

/// The word of the mark whose function that is, by its whole path.
pub(super) fn word_of(function: &str) -> Option<&'static str> {
    let (path, name) = function.rsplit_once("::")?;
    if !path.ends_with("profiler::marks") {
        return None;
    }
    WORDS.iter().find(|(known, _)| *known == name).map(|(_, word)| *word)
}

/// All words, for those who ask for one that is none.
pub fn words() -> impl Iterator<Item = &'static str> {
    WORDS.iter().map(|(_, word)| *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_signal_has_a_mark_with_its_own_word() {
        for op in OpKind::ALL.into_iter().filter(|op| *op != OpKind::Unknown) {
            assert_eq!(word_of(&format!("signalbox::profiler::marks::op_{}", op.name())), Some(op.name()));
        }
        let addresses: std::collections::BTreeSet<usize> =
            OpKind::ALL.into_iter().map(|op| InHand::Op(op).function() as usize).collect();
        assert_eq!(addresses.len(), OpKind::ALL.len(), "no two are the same code");
    }

    #[test]
    fn what_is_done_under_a_mark_is_done_once() {
        for mark in [InHand::Op(OpKind::Send), InHand::Lost, InHand::Admin, InHand::Media, InHand::Tick] {
            let mut done = 0;
            during(mark, &mut || done += 1);
            assert_eq!(done, 1);
        }
    }

    #[test]
    fn other_functions_are_no_marks() {
        for name in ["op_join", "elsewhere::marks::op_join", "signalbox::profiler::marks::op_nothing", ""] {
            assert_eq!(word_of(name), None, "{name}");
        }
    }
}
