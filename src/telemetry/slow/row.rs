//! A slow signal as JSON and pages have it: read back from a capture it is the same as told by the router itself.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::SlowSignal;
use crate::{event::Stage, protocol::Code, telemetry::views::millis};

/// See the module. All in it is told by a stranger once it was read back: text to show and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowRow {
    /// The kind of the signal.
    pub op: String,
    /// Whether this is the way of a push to one recipient, rather than of the signal itself.
    pub delivery: bool,
    /// How it ended.
    pub outcome: String,
    /// Why it was refused.
    pub code: Option<String>,
    /// When its frame arrived, UTC.
    pub started: String,
    /// Its length, milliseconds.
    pub took_ms: f64,
    /// In their order.
    pub stages: Vec<StagePart>,
    /// The room, when it is known.
    pub room: Option<String>,
    /// The session, when there is one.
    pub session: Option<String>,
    /// The client's address; of a delivery, the recipient's.
    pub peer_ip: Option<String>,
    /// `websocket`, `grpc`.
    pub transport: String,
    /// The client's region, as metrics have it.
    pub region: String,
    /// The client's variant; empty where one was kept before there were any.
    #[serde(default)]
    pub variant: String,
    /// The client's SDK and version, while it is watched.
    pub sdk_version: Option<String>,
    /// The client's scenario, while it is watched.
    pub scenario: Option<String>,
    /// The shard that took it.
    pub shard: Option<u16>,
    /// Inputs that waited for the shard when it was admitted.
    pub inbox_waiting: u32,
    /// Its trace, when that was kept.
    pub trace_id: Option<String>,
}

/// A part of a slow signal's way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StagePart {
    /// Its name.
    pub stage: String,
    /// Its length, milliseconds.
    pub took_ms: f64,
}

impl SlowRow {
    /// Of one that was kept.
    pub fn of(SlowSignal { case, trace }: &SlowSignal) -> Self {
        let part =
            |(stage, took): &(Stage, Duration)| StagePart { stage: stage.name().to_owned(), took_ms: millis(*took) };
        Self {
            op: case.op.name().to_owned(),
            delivery: case.delivery,
            outcome: case.outcome.name().to_owned(),
            code: case.outcome.code().map(|code| Code::name(code).to_owned()),
            started: humantime::format_rfc3339_millis(UNIX_EPOCH + case.started).to_string(),
            took_ms: millis(case.took),
            stages: case.stages.iter().map(part).collect(),
            room: case.room.clone(),
            session: case.session.clone(),
            peer_ip: case.peer_ip.map(|ip| ip.to_string()),
            transport: case.transport.to_owned(),
            region: case.region.clone(),
            variant: case.variant.clone(),
            sdk_version: case.sdk_version.clone(),
            scenario: case.scenario.clone(),
            shard: case.shard,
            inbox_waiting: case.waiting,
            trace_id: trace.map(|trace| trace.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Outcome, protocol::OpKind, telemetry::case::Case};

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let took = Duration::from_micros(94_250);
        let case = Case {
            outcome: Outcome::Refused(Code::BadRequest),
            took,
            stages: vec![(Stage::Decode, Duration::from_micros(250)), (Stage::Admit, Duration::from_millis(94))],
            room: Some("standup".to_owned()),
            peer_ip: Some("2001:db8::1".parse().unwrap()),
            shard: Some(1),
            ..Case::of(OpKind::Join)
        };
        let row = SlowRow::of(&SlowSignal { case, trace: None });
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<SlowRow>(&text).unwrap(), row);
        assert!(text.starts_with(r#"{"op":"join","delivery":false,"outcome":"error","code":"bad_request","#), "{text}");
        assert!(text.contains(r#""started":"2027-01-15T08:00:00.000Z","took_ms":94.25,"#), "{text}");
        assert!(text.contains(r#"{"stage":"admit","took_ms":94.0}"#), "{text}");
        assert!(serde_json::from_str::<SlowRow>(r#"{"op":"join"}"#).is_err());
    }
}
