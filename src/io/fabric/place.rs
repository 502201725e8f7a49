//! Which server a room falls to, by its name alone, and which connection. The same on all routers, and in all versions.

/// As Redis Cluster counts them.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a Cluster that a key is in: CRC16 (XMODEM) of its hash tag, as the Cluster specification has it.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// FNV-1a, 64 bits.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The place of one of several servers: the one that together with the key gives the highest number. A server more or less
/// moves only what falls to it.
pub(super) fn shard(key: u64, servers: impl Iterator<Item = u64>) -> usize {
    let scored = servers.enumerate().map(|(place, server)| (mixed(key ^ server), place));
    scored.max().map_or(0, |(_, place)| place)
}

/// The last step of `splitmix64`: all bits of a hash count for the highest.
fn mixed(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // the specification's own check value, and what `CLUSTER KEYSLOT` says
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!((slot("foo"), slot("{foo}.bar"), slot("x{}y")), (12_182, 12_182, crc16(b"x{}y") % SLOTS));
        assert_eq!(slot("signalbox:{r/fleet/one}:state"), slot("signalbox:{r/fleet/one}:log"));
    }

    #[test]
    fn where_a_room_is_stays_as_it_was_promised() {
        let servers = ["a:6379", "b:6379", "c:6379"].map(hash);
        let places: Vec<_> = (0..12).map(|n| shard(hash(&format!("room-{n}")), servers.into_iter())).collect();
        assert_eq!(places, [1, 0, 0, 0, 1, 0, 2, 2, 1, 1, 1, 1]);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn a_server_more_moves_what_falls_to_it_and_nothing_else() {
        let servers: Vec<_> = (0..5).map(|n| hash(&format!("10.0.0.{n}:6379"))).collect();
        let rooms: Vec<_> = (0..10_000).map(|n| hash(&format!("room-{n}"))).collect();
        let of = |count: usize| rooms.iter().map(move |room| shard(*room, servers[..count].iter().copied()));
        let (before, after): (Vec<_>, Vec<_>) = (of.clone()(4).collect(), of(5).collect());
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(_, after)| *after == 4));
        assert!((1_700..2_300).contains(&moved.count()));
    }
}
