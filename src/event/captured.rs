//! What happens to captures of bad minutes.

/// What happens to captures of bad minutes.
#[derive(Clone, Debug, PartialEq)]
pub enum Captured {
    /// A capture of a bad minute was begun.
    Made {
        /// Its name.
        id: String,
        /// `latency`, `stall`, `operator`.
        cause: &'static str,
    },
    /// Another P99 left its band while a capture is being recorded: it is in that one.
    Joined {
        /// The capture.
        id: String,
        /// The kind of the signal.
        op: String,
        /// The client's region.
        region: String,
    },
    /// No capture was made, because there have been enough.
    Refused {
        /// `latency`, `stall`, `operator`.
        cause: &'static str,
        /// `pace`, `recording`.
        reason: &'static str,
    },
    /// A capture has all its parts.
    Ready {
        /// Its name.
        id: String,
        /// What it weighs.
        bytes: u64,
    },
    /// A capture was let go of for a newer one.
    MadeWay {
        /// Its name.
        id: String,
    },
    /// A capture that was begun will not be there.
    Lost {
        /// Its name.
        id: String,
        /// Why.
        why: String,
    },
    /// Something in the folder of captures cannot be used, or the folder itself.
    FolderFailed {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
}
