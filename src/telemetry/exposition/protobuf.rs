//! Delimited protobuf: each family behind its length.

use prost::Message as _;

use super::model::Family;

pub(super) fn encode(families: &[Family]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Family { message, .. } in families {
        message.encode_length_delimited(&mut bytes).expect("a vector grows as needed");
    }
    bytes
}
