//! Bytes to client frames and server frames to bytes, in both encodings.
//!
//! Pure: no buffer is kept between calls. A frame that cannot be read is answered with the place of the mistake.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use prost::Message;

use super::{
    Code, Refusal,
    v1::{ClientFrame, ServerFrame, server_frame::Body},
};

/// How one connection's frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text WebSocket frames.
    Json,
    /// Binary WebSocket frames, and the gRPC stream.
    Protobuf,
}

/// Reads one client frame.
///
/// # Errors
/// `bad_request` with the place of the mistake. The size is checked by who holds the socket.
pub fn decode(encoding: Encoding, bytes: &[u8]) -> Result<ClientFrame, Refusal> {
    match encoding {
        Encoding::Json => serde_json::from_slice(bytes).map_err(|_| explain_json(bytes)),
        Encoding::Protobuf => {
            let frame =
                ClientFrame::decode(bytes).map_err(|e| Code::BadRequest.because(format!("broken protobuf: {e}")))?;
            match frame.op {
                Some(_) => Ok(frame),
                None => {
                    Err(Code::BadRequest.because("unknown op or none: the frame has no op that this version knows"))
                }
            }
        }
    }
}

/// Reads a broken frame again, slowly, to name the field.
fn explain_json(bytes: &[u8]) -> Refusal {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let message = match serde_path_to_error::deserialize::<_, ClientFrame>(&mut json) {
        Err(e) if e.path().iter().next().is_none() => format!("broken JSON frame: {}", without_values(e.inner())),
        Err(e) => format!("broken JSON frame at `{:.128}`: {}", e.path().to_string(), without_values(e.inner())),
        Ok(_) => "broken JSON frame: characters after the frame's end".to_owned(),
    };
    Code::BadRequest.because(message)
}

/// The parser quotes the text that it did not expect; that may be a token or an SDP, so it is left out.
fn without_values(error: &serde_json::Error) -> String {
    let message = error.to_string();
    for kind in ["invalid type: string", "invalid value: string"] {
        if let Some(rest) = message.strip_prefix(kind)
            && let Some(end) = rest.rfind(", expected ")
        {
            return format!("{kind}{}", &rest[end..]);
        }
    }
    message
}

/// The `id` of a frame that could not be read, where it can still be made out, so that its error finds its request.
pub fn id_of_broken(encoding: Encoding, bytes: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct OnlyId {
        id: Option<u64>,
    }
    match encoding {
        Encoding::Json => serde_json::from_slice::<OnlyId>(bytes).ok()?.id,
        Encoding::Protobuf => {
            // fields that came before the mistake are kept, and writers put the id first
            let mut frame = ClientFrame::default();
            frame.merge(bytes).ok();
            frame.id
        }
    }
}

/// Writes one server frame.
pub fn encode(encoding: Encoding, frame: &ServerFrame) -> Bytes {
    match (encoding, &frame.body) {
        (Encoding::Json, Some(Body::Data(push))) => data_json(push).into(),
        // serialising our own messages into memory cannot fail: their maps have text keys, and `data` was checked on entry
        (Encoding::Json, _) => serde_json::to_vec(frame).unwrap_or_default().into(),
        (Encoding::Protobuf, _) => frame.encode_to_vec().into(),
    }
}

/// The hot frame, written by hand: `data` was checked on entry and is not parsed again.
fn data_json(push: &super::v1::DataPush) -> Vec<u8> {
    let size = push.data.as_ref().map_or(0, String::len)
        + push.bytes.as_ref().map_or(0, |b| b.len().div_ceil(3) * 4)
        + push.from.len()
        + 96;
    let mut out = Vec::with_capacity(size);
    out.extend_from_slice(b"{\"data\":{");
    if !push.from.is_empty() {
        write_key(&mut out, "from");
        write_json(&mut out, &push.from);
    }
    if let Some(data) = &push.data {
        write_key(&mut out, "data");
        out.extend_from_slice(data.as_bytes());
    }
    if let Some(bytes) = &push.bytes {
        write_key(&mut out, "bytes");
        write_json(&mut out, &base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes));
    }
    if !push.topic.is_empty() {
        write_key(&mut out, "topic");
        write_json(&mut out, &push.topic);
    }
    for (name, number) in [("offset", push.offset), ("seq", push.seq)] {
        if let Some(number) = number {
            write_key(&mut out, name);
            write_json(&mut out, &number);
        }
    }
    out.extend_from_slice(b"}}");
    out
}

fn write_key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("text and numbers always serialise into memory");
}
