//! What must hold for any bytes that a client may send; the fuzz targets and `make test` share it.

use prost::Message;
use signalbox::protocol::{Code, Encoding, Limits, codec, decode, v1::ClientFrame, validate::validate};

/// Decodes, validates, and reads the id of what is broken. Panics when a promise does not hold.
pub(crate) fn decoder(encoding: Encoding, bytes: &[u8]) {
    match decode(encoding, bytes) {
        Ok(frame) => {
            assert_eq!(decode(encoding, &encode(encoding, &frame)).as_ref(), Ok(&frame), "a round trip changed it");
            if let Err(refusal) = validate(encoding, &frame, &Limits::default()) {
                assert!([Code::BadRequest, Code::LimitExceeded].contains(&refusal.code), "{refusal}");
                assert!(refusal.message.len() < 1024, "{} bytes of complaint", refusal.message.len());
            }
        }
        Err(refusal) => {
            assert_eq!(refusal.code, Code::BadRequest);
            assert!(refusal.message.len() < 1024, "{} bytes of complaint", refusal.message.len());
        }
    }
    codec::id_of_broken(encoding, bytes);
}

fn encode(encoding: Encoding, frame: &ClientFrame) -> Vec<u8> {
    match encoding {
        Encoding::Json => serde_json::to_vec(frame).expect("a frame that was read can be written"),
        Encoding::Protobuf => frame.encode_to_vec(),
    }
}
