//! Whether a frame that could be read says what its op needs, within the limits.
//!
//! Pure, and on the path of every signal: nothing is copied, and messages are only built for refusals. Knows no
//! room and no grant: what a participant may do is decided further in. The admin API uses the pieces.

mod json_value;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::{
    Code, Encoding, Limits, Refusal,
    v1::{self, ClientFrame, client_frame::Op},
};

/// The greatest integer that JSON numbers carry exactly everywhere (2^53-1, RFC 8259 section 6).
const ID_MAX: u64 = (1 << 53) - 1;

type Checked = Result<(), Refusal>;

/// Checks one frame that came in `encoding`.
///
/// # Errors
/// `bad_request` names the field, `limit_exceeded` the limit's config key, the value found and the value allowed.
pub fn validate(encoding: Encoding, frame: &ClientFrame, limits: &Limits) -> Checked {
    if let Some(id) = frame.id
        && !(1..=ID_MAX).contains(&id)
    {
        return Err(bad(format!("id: {id} is not between 1 and 2^53-1")));
    }
    within("traceparent", frame.traceparent.len(), NAME.of(limits))?;
    match &frame.op {
        Some(Op::Send(send)) => check_send(encoding, send, limits),
        Some(Op::Signal(signal)) => check_signal(signal, limits),
        Some(Op::Join(join)) => check_join(join, limits),
        Some(Op::Resume(resume)) => check_resume(resume, limits),
        Some(Op::Publish(publish)) => check_publish(publish, limits),
        Some(Op::Unpublish(unpublish)) => name("unpublish.track", &unpublish.track, limits),
        Some(Op::Mute(mute)) => name("mute.track", &mute.track, limits),
        Some(Op::Subscribe(subscribe)) => check_subscribe(subscribe, limits),
        Some(Op::Update(update)) => check_update(update, limits),
        Some(Op::Ping(_) | Op::Leave(_)) => Ok(()),
        None => Err(bad("no op".to_owned())),
    }
}

fn check_send(encoding: Encoding, send: &v1::Send, limits: &Limits) -> Checked {
    recipients("send.to", &send.to, limits)?;
    topic("send.topic", &send.topic, limits)?;
    payload("send", encoding, (send.data.as_deref(), send.bytes.as_deref()), limits)
}

/// What `send` and the admin API's `SendData` carry: exactly one of `data`, which came in `encoding`, and `bytes`.
///
/// # Errors
/// As [`validate`]; `field` is the name of the message.
pub fn payload(field: &str, encoding: Encoding, parts: (Option<&str>, Option<&[u8]>), limits: &Limits) -> Checked {
    match parts {
        (Some(text), None) => json_value::check(field, encoding, text, limits),
        (None, Some(_)) => Ok(()),
        (None, None) => Err(bad(format!("{field}: data or bytes is missing"))),
        (Some(_), Some(_)) => Err(bad(format!("{field}: exactly one of data and bytes is allowed, not both"))),
    }
}

/// One JSON value to be relayed as it is: `data` that came in `encoding`.
///
/// JSON frames were parsed as a whole, so only protobuf's `data` is read here.
///
/// # Errors
/// `bad_request` when it is not one JSON value, `limit_exceeded` when it is nested too deeply.
pub fn data(field: &str, encoding: Encoding, text: &str, limits: &Limits) -> Checked {
    json_value::check(field, encoding, text, limits)
}

fn check_signal(signal: &v1::Signal, limits: &Limits) -> Checked {
    if !signal.to.is_empty() {
        name("signal.to", &signal.to, limits)?;
    }
    let said = [
        signal.offer.is_some(),
        signal.answer.is_some(),
        signal.candidate.is_some(),
        signal.end_of_candidates.is_some(),
    ];
    match said.into_iter().filter(|said| *said).count() {
        1 => {}
        0 => return Err(bad("signal: one of offer, answer, candidate, end_of_candidates is missing".to_owned())),
        n => {
            let message = format!("signal: exactly one of offer, answer, candidate, end_of_candidates, not {n}");
            return Err(bad(message));
        }
    }
    for (field, description) in [("signal.offer.sdp", &signal.offer), ("signal.answer.sdp", &signal.answer)] {
        if description.as_ref().is_some_and(|d| d.sdp.is_empty()) {
            return Err(missing(field));
        }
    }
    if let Some(candidate) = &signal.candidate {
        // an empty `candidate` is W3C's own end of candidates and passes
        let short = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        within("signal.candidate.sdp_mid", short(&candidate.sdp_mid), NAME.of(limits))?;
        within("signal.candidate.username_fragment", short(&candidate.username_fragment), NAME.of(limits))?;
    }
    match &signal.end_of_candidates {
        Some(v1::EndOfCandidates { sdp_mid: Some(mid) }) => {
            within("signal.end_of_candidates.sdp_mid", mid.len(), NAME.of(limits))
        }
        _ => Ok(()),
    }
}

fn check_join(join: &v1::Join, limits: &Limits) -> Checked {
    room_name("join.room", &join.room, limits)?;
    label("join.region", &join.region, limits)?;
    label("join.scenario", &join.scenario, limits)?;
    label("join.name", &join.name, limits)?;
    if let Some(client) = &join.client {
        label("join.client.sdk", &client.sdk, limits)?;
        label("join.client.version", &client.version, limits)?;
        label("join.client.device", &client.device, limits)?;
    }
    metadata("join.metadata", &join.metadata, limits)?;
    attributes("join.attributes", &join.attributes, limits)
}

fn check_resume(resume: &v1::Resume, limits: &Limits) -> Checked {
    if resume.resume_token.is_empty() {
        return Err(missing("resume.resume_token"));
    }
    name("resume.epoch", &resume.epoch, limits)
}

fn check_publish(publish: &v1::Publish, limits: &Limits) -> Checked {
    name("publish.cid", &publish.cid, limits)?;
    match v1::TrackKind::try_from(publish.kind) {
        Ok(v1::TrackKind::Unspecified) => return Err(missing("publish.kind")),
        Ok(v1::TrackKind::Audio | v1::TrackKind::Video | v1::TrackKind::Data) => {}
        Err(_) => return Err(bad(format!("publish.kind: {} is not one of audio, video, data", publish.kind))),
    }
    if v1::TrackSource::try_from(publish.source).is_err() {
        return Err(bad(format!("publish.source: {} is not a source of this version", publish.source)));
    }
    label("publish.name", &publish.name, limits)?;
    label("publish.codec", &publish.codec, limits)?;
    within("publish.layers", publish.layers.len(), LAYERS.of(limits))?;
    publish.layers.iter().try_for_each(|layer| label("publish.layers.rid", &layer.rid, limits))
}

fn check_subscribe(subscribe: &v1::Subscribe, limits: &Limits) -> Checked {
    if subscribe.tracks.is_empty() {
        return Err(missing("subscribe.tracks"));
    }
    recipients("subscribe.tracks", &subscribe.tracks, limits)
}

fn check_update(update: &v1::Update, limits: &Limits) -> Checked {
    let v1::Update { token, name, metadata: own, attributes: entries, room_metadata } = update;
    if token.is_empty() && name.is_none() && own.is_none() && entries.is_empty() && room_metadata.is_none() {
        let allowed = "update: all of token, name, metadata, attributes, room_metadata are missing; set one";
        return Err(bad(allowed.to_owned()));
    }
    label("update.name", name.as_deref().unwrap_or_default(), limits)?;
    metadata("update.metadata", own.as_deref().unwrap_or_default(), limits)?;
    metadata("update.room_metadata", room_metadata.as_deref().unwrap_or_default(), limits)?;
    attributes("update.attributes", entries, limits)
}

/// A room's name: not empty, no control characters, within `limits.room_name_bytes`.
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn room_name(field: &str, text: &str, limits: &Limits) -> Checked {
    named(field, text, ROOM_NAME.of(limits))
}

/// An identity, a track's id or cid: not empty, no control characters, within `limits.name_bytes`.
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn name(field: &str, text: &str, limits: &Limits) -> Checked {
    named(field, text, NAME.of(limits))
}

/// A display name, a region, a codec: may be empty, otherwise as [`name`].
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn label(field: &str, text: &str, limits: &Limits) -> Checked {
    if text.is_empty() { Ok(()) } else { named(field, text, NAME.of(limits)) }
}

/// Metadata of a room or a participant: any text within `limits.metadata_bytes`.
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn metadata(field: &str, text: &str, limits: &Limits) -> Checked {
    within(field, text.len(), METADATA.of(limits))
}

/// A participant's attributes: their number, their names, and names and values together.
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn attributes(field: &str, entries: &BTreeMap<String, String>, limits: &Limits) -> Checked {
    within(field, entries.len(), ATTRIBUTES.of(limits))?;
    let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    within(field, bytes, ATTRIBUTES_BYTES.of(limits))?;
    entries.keys().try_for_each(|key| name(field, key, limits))
}

/// A message's topic: may be empty, within `limits.topic_bytes`.
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn topic(field: &str, text: &str, limits: &Limits) -> Checked {
    within(field, text.len(), TOPIC.of(limits))
}

/// Identities or tracks that something is meant for: how many, and each as [`name`].
///
/// # Errors
/// As [`validate`]; `field` is named in the message.
pub fn recipients(field: &str, names: &[String], limits: &Limits) -> Checked {
    within(field, names.len(), RECIPIENTS.of(limits))?;
    names.iter().try_for_each(|one| name(field, one, limits))
}

/// A row of the table of limits: its config key, its unit, and where its value is.
struct Bound {
    key: &'static str,
    unit: &'static str,
    value: fn(&Limits) -> usize,
}

impl Bound {
    fn of(&self, limits: &Limits) -> (&Self, usize) {
        (self, (self.value)(limits))
    }
}

const ROOM_NAME: Bound = Bound { key: "room_name_bytes", unit: "bytes", value: |l| l.room_name_bytes };
const NAME: Bound = Bound { key: "name_bytes", unit: "bytes", value: |l| l.name_bytes };
const METADATA: Bound = Bound { key: "metadata_bytes", unit: "bytes", value: |l| l.metadata_bytes };
const ATTRIBUTES: Bound = Bound { key: "attributes", unit: "attributes", value: |l| l.attributes };
const ATTRIBUTES_BYTES: Bound = Bound { key: "attributes_bytes", unit: "bytes", value: |l| l.attributes_bytes };
const LAYERS: Bound = Bound { key: "layers", unit: "layers", value: |l| l.layers };
const RECIPIENTS: Bound = Bound { key: "recipients", unit: "names", value: |l| l.recipients };
const TOPIC: Bound = Bound { key: "topic_bytes", unit: "bytes", value: |l| l.topic_bytes };
const JSON_DEPTH: Bound = Bound { key: "json_depth", unit: "levels", value: |l| l.json_depth };

#[inline]
fn within(field: &str, found: usize, (bound, allowed): (&Bound, usize)) -> Checked {
    if found <= allowed { Ok(()) } else { Err(exceeded(field, found, (bound, allowed))) }
}

#[inline]
fn named(field: &str, text: &str, bound: (&Bound, usize)) -> Checked {
    if text.is_empty() {
        return Err(missing(field));
    }
    within(field, text.len(), bound)?;
    if text.chars().any(char::is_control) {
        return Err(bad(format!("{field}: control characters are not allowed")));
    }
    Ok(())
}

#[cold]
fn exceeded(field: &str, found: usize, (bound, allowed): (&Bound, usize)) -> Refusal {
    let Bound { key, unit, .. } = bound;
    Code::LimitExceeded.because(format!("limits.{key}: {found} {unit}, at most {allowed} ({field})"))
}

#[cold]
fn missing(field: &str) -> Refusal {
    bad(format!("{field} is missing"))
}

#[cold]
fn bad(message: String) -> Refusal {
    Code::BadRequest.because(message)
}
