//! The JSON mapping of the generated messages: `oneof` as one key beside the others, enum values in lower
//! case, `bytes` as base64, `data` as the JSON value itself.
//!
//! The derives that `build.rs` adds call into this module.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};

use super::v1;

/// Whether an enum's value is the unspecified one, which JSON leaves out.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
pub(crate) fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// `data`: one JSON value, kept as its text.
pub(crate) mod raw {
    use serde_json::value::RawValue;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(text: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
        let value: Option<&RawValue> = match text {
            Some(text) => Some(serde_json::from_str(text).map_err(serde::ser::Error::custom)?),
            None => None,
        };
        value.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
        // a `null` is a JSON value like any other, so this is not `Option<Box<RawValue>>`
        let value = Box::<RawValue>::deserialize(from)?;
        Ok(Some(Box::<str>::from(value).into_string()))
    }
}

/// `bytes`: standard base64 with padding (RFC 4648 section 4).
pub(crate) mod base64 {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;

    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Bytes>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|b| STANDARD.encode(b)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let bytes = STANDARD.decode(text).map_err(|e| de::Error::custom(format_args!("not base64: {e}")))?;
        Ok(Some(bytes.into()))
    }
}

macro_rules! enum_json {
    ($module:ident, $Enum:ident, $prefix:literal, [$($variant:ident),*]) => {
        pub(crate) mod $module {
            use super::*;

            fn name(value: i32) -> Option<String> {
                let value = v1::$Enum::try_from(value).ok()?;
                Some(value.as_str_name().strip_prefix($prefix)?.to_ascii_lowercase())
            }

            fn value<E: de::Error>(name: &str) -> Result<i32, E> {
                let upper = format!(concat!($prefix, "{}"), name.to_ascii_uppercase());
                match v1::$Enum::from_str_name(&upper) {
                    Some(value) => Ok(value as i32),
                    None => Err(E::custom(format_args!("`{name:.64}` is not one of {}", allowed()))),
                }
            }

            fn allowed() -> String {
                [$(v1::$Enum::$variant as i32),*].into_iter().filter_map(name).collect::<Vec<_>>().join(", ")
            }

            #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
            pub(crate) fn serialize<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
                name(*value).serialize(to)
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
                value(&String::deserialize(from)?)
            }

            #[allow(dead_code)] // not every enum is repeated somewhere
            pub(crate) mod many {
                use super::*;

                pub(crate) fn serialize<S: Serializer>(values: &[i32], to: S) -> Result<S::Ok, S::Error> {
                    to.collect_seq(values.iter().filter_map(|v| name(*v)))
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i32>, D::Error> {
                    Vec::<String>::deserialize(from)?.iter().map(|n| value(n)).collect()
                }
            }
        }
    };
}

enum_json!(track_kind, TrackKind, "TRACK_KIND_", [Audio, Video, Data]);
enum_json!(track_source, TrackSource, "TRACK_SOURCE_", [Camera, Microphone, ScreenShare, ScreenShareAudio, Data]);
enum_json!(participant_state, ParticipantState, "PARTICIPANT_STATE_", [Connected, Reconnecting]);

/// What JSON leaves out: the absent and the empty.
trait LeftOut {
    fn left_out(&self) -> bool;
}

impl<T> LeftOut for Option<T> {
    fn left_out(&self) -> bool {
        self.is_none()
    }
}

impl LeftOut for String {
    fn left_out(&self) -> bool {
        self.is_empty()
    }
}

impl LeftOut for u64 {
    fn left_out(&self) -> bool {
        false
    }
}

/// Maps a message that has one `oneof`: its keys stand beside the message's other fields, at most one of them.
macro_rules! oneof_message {
    ($Message:ident { $($field:ident),* } $oneof:ident: $Oneof:path { $($key:ident => $Variant:ident),* $(,)? } required: $required:literal) => {
        impl Serialize for v1::$Message {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use $Oneof as Oneof;

                let mut map = to.serialize_map(None)?;
                $(if !self.$field.left_out() {
                    map.serialize_entry(stringify!($field), &self.$field)?;
                })*
                match &self.$oneof {
                    $(Some(Oneof::$Variant(value)) => map.serialize_entry(stringify!($key), value)?,)*
                    None => {}
                }
                map.end()
            }
        }

        impl<'de> Deserialize<'de> for v1::$Message {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                use $Oneof as Oneof;

                #[derive(Deserialize)]
                #[serde(field_identifier, rename_all = "snake_case")]
                #[allow(non_camel_case_types)]
                enum Key { $($field,)* $($key,)* Unknown(String) }

                struct Visitor;

                impl<'de> de::Visitor<'de> for Visitor {
                    type Value = v1::$Message;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a frame (a JSON object)")
                    }

                    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut message = v1::$Message::default();
                        let mut unknown = None;
                        while let Some(key) = map.next_key::<Key>()? {
                            match key {
                                $(Key::$field => message.$field = map.next_value()?,)*
                                $(Key::$key => {
                                    if message.$oneof.is_some() {
                                        return Err(de::Error::custom(concat!("more than one ", stringify!($oneof), " in one frame")));
                                    }
                                    message.$oneof = Some(Oneof::$Variant(map.next_value()?));
                                })*
                                Key::Unknown(name) => {
                                    unknown = unknown.or(Some(name));
                                    map.next_value::<de::IgnoredAny>()?;
                                }
                            }
                        }
                        if $required && message.$oneof.is_none() {
                            const ALLOWED: &str = concat!($(stringify!($key), " "),*).trim_ascii_end();
                            return Err(match unknown {
                                Some(name) => de::Error::custom(format_args!("unknown {} `{:.64}`; allowed: {ALLOWED}", stringify!($oneof), name)),
                                None => de::Error::custom(format_args!("no {}; allowed: {ALLOWED}", stringify!($oneof))),
                            });
                        }
                        Ok(message)
                    }
                }

                from.deserialize_map(Visitor)
            }
        }
    };
}

oneof_message!(ClientFrame { id, traceparent } op: v1::client_frame::Op {
    join => Join, leave => Leave, resume => Resume, publish => Publish, unpublish => Unpublish, mute => Mute,
    subscribe => Subscribe, signal => Signal, send => Send, update => Update, ping => Ping,
} required: true);

oneof_message!(ServerFrame { id } body: v1::server_frame::Body {
    joined => Joined, resumed => Resumed, ok => Ok, error => Error, pong => Pong, answer => Answer,
    event => Event, signal => Signal, data => Data, advice => Advice, leave => Leave,
} required: true);

oneof_message!(Event { room, epoch, offset } kind: v1::event::Kind {
    participant_joined => ParticipantJoined, participant_left => ParticipantLeft,
    participant_reconnecting => ParticipantReconnecting, participant_resumed => ParticipantResumed,
    participant_updated => ParticipantUpdated, track_published => TrackPublished,
    track_unpublished => TrackUnpublished, track_muted => TrackMuted, track_subscribed => TrackSubscribed,
    room_updated => RoomUpdated, room_closed => RoomClosed, media_moved => MediaMoved, room_continued => RoomContinued,
    room_merged => RoomMerged,
} required: false);
