//! Bounds on what one client may say. Each is a config key of the same name under `limits`.

/// Limits of the protocol; sizes in bytes of UTF-8, counts of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One client frame.
    pub frame_bytes: usize,
    /// A room's name.
    pub room_name_bytes: usize,
    /// An identity, a display name, a track's name, cid, codec or rid, a region, a client's sdk, version or device.
    pub name_bytes: usize,
    /// Room or participant metadata.
    pub metadata_bytes: usize,
    /// Attributes of a participant.
    pub attributes: usize,
    /// Names and values of a participant's attributes together.
    pub attributes_bytes: usize,
    /// Tracks that one participant publishes.
    pub tracks: usize,
    /// Layers of a track.
    pub layers: usize,
    /// Identities in `send.to`, and tracks in `subscribe.tracks`.
    pub recipients: usize,
    /// A message's topic.
    pub topic_bytes: usize,
    /// Nesting of `data`.
    pub json_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            room_name_bytes: 128,
            name_bytes: 256,
            metadata_bytes: 16 * 1024,
            attributes: 64,
            attributes_bytes: 16 * 1024,
            tracks: 32,
            layers: 8,
            recipients: 256,
            topic_bytes: 64,
            json_depth: 64,
        }
    }
}
