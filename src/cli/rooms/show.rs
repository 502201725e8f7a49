//! Answers as tables for people and as JSON for programs.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::calls::Answer;
use crate::protocol::v1;

/// The answer as the HTTP API would give it; lists in one piece, always there.
pub(super) fn as_json(answer: &Answer) -> Result<String> {
    let value: Value = match answer {
        Answer::Rooms(rooms) => json!({ "rooms": rooms }),
        Answer::Room(room) => serde_json::to_value(room)?,
        Answer::Participants(participants) => json!({ "participants": participants }),
        Answer::Participant(participant) => serde_json::to_value(participant)?,
        Answer::Track(track) => serde_json::to_value(track)?,
        Answer::Sent(sent) => serde_json::to_value(sent)?,
        Answer::User(user) => json!({ "identity": user.identity, "sessions": user.sessions }),
        Answer::Done(_) => json!({}),
    };
    Ok(serde_json::to_string_pretty(&value)?)
}

/// The answer as a table, or as a sentence when there is nothing to put into one.
pub(super) fn as_text(answer: &Answer) -> String {
    match answer {
        Answer::Rooms(rooms) if rooms.is_empty() => "no rooms".to_owned(),
        Answer::Rooms(rooms) => rooms_table(rooms),
        Answer::Room(room) => room_sheet(room),
        Answer::Participants(participants) if participants.is_empty() => "nobody is in the room".to_owned(),
        Answer::Participants(participants) => participants_table(participants),
        Answer::Participant(info) => participant_sheet(info),
        Answer::Track(track) => tracks_table(std::slice::from_ref(track)),
        Answer::Sent(v1::SendDataResponse { offset: Some(offset) }) => format!("sent to the room as offset {offset}"),
        Answer::Sent(v1::SendDataResponse { offset: None }) => "sent to the recipients".to_owned(),
        Answer::User(user) if user.sessions.is_empty() => format!("{} is in no room", clean(&user.identity)),
        Answer::User(user) => sessions_table(&user.sessions),
        Answer::Done(sentence) => sentence.clone(),
    }
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

fn printed(table: &Table) -> String {
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

fn rooms_table(rooms: &[v1::RoomInfo]) -> String {
    let mut table = table(["ROOM", "PARTICIPANTS", "TRACKS", "CREATED", "METADATA"]);
    for room in rooms {
        table.add_row([
            clean(&room.name),
            format!("{}/{}", room.participants, room.participants_max),
            room.tracks.to_string(),
            utc(room.created_at_ms),
            short(&room.metadata),
        ]);
    }
    printed(&table)
}

fn room_sheet(room: &v1::RoomInfo) -> String {
    sheet(&[
        ("room", clean(&room.name)),
        ("participants", format!("{} of at most {}", room.participants, room.participants_max)),
        ("tracks", room.tracks.to_string()),
        ("variant", clean(&room.variant)),
        ("created", utc(room.created_at_ms)),
        ("stays empty for", format!("{} s", room.empty_timeout_seconds)),
        ("metadata", clean(&room.metadata)),
    ])
}

fn participants_table(participants: &[v1::ParticipantInfo]) -> String {
    let mut table = table(["IDENTITY", "NAME", "STATE", "JOINED", "REGION", "TRACKS", "MAY"]);
    for info in participants {
        let Some(one) = &info.participant else { continue };
        table.add_row([
            clean(&one.identity),
            short(&one.name),
            state(one).to_owned(),
            utc(one.joined_at_ms),
            short(&one.region),
            info.tracks.len().to_string(),
            may(one.permissions.as_ref()),
        ]);
    }
    printed(&table)
}

fn sessions_table(sessions: &[v1::UserSession]) -> String {
    let mut table = table(["ROOM", "ROUTER", "STATE", "JOINED", "REGION", "NAME"]);
    for session in sessions {
        let one = session.participant.clone().unwrap_or_default();
        table.add_row([
            clean(&session.room),
            clean(&session.router),
            state(&one).to_owned(),
            utc(one.joined_at_ms),
            short(&one.region),
            short(&one.name),
        ]);
    }
    printed(&table)
}

fn participant_sheet(info: &v1::ParticipantInfo) -> String {
    let one = info.participant.clone().unwrap_or_default();
    let attributes: Vec<String> = one.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sheet = sheet(&[
        ("identity", clean(&one.identity)),
        ("name", clean(&one.name)),
        ("id", clean(&one.id)),
        ("state", state(&one).to_owned()),
        ("joined", utc(one.joined_at_ms)),
        ("region", clean(&one.region)),
        ("may", may(one.permissions.as_ref())),
        ("attributes", clean(&attributes.join(", "))),
        ("metadata", clean(&one.metadata)),
    ]);
    if info.tracks.is_empty() { sheet } else { format!("{sheet}\n\n{}", tracks_table(&info.tracks)) }
}

fn tracks_table(tracks: &[v1::Track]) -> String {
    let mut table = table(["TRACK", "KIND", "SOURCE", "NAME", "CODEC", "MUTED"]);
    for track in tracks {
        let muted = match (track.muted_by_owner, track.muted_by_admin) {
            (true, true) => "by owner and admin",
            (true, false) => "by owner",
            (false, true) => "by admin",
            (false, false) => "no",
        };
        table.add_row([
            clean(&track.id),
            word(track.kind().as_str_name(), "TRACK_KIND_"),
            word(track.source().as_str_name(), "TRACK_SOURCE_"),
            short(&track.name),
            short(&track.codec),
            muted.to_owned(),
        ]);
    }
    printed(&table)
}

fn sheet(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let rows = rows.iter().filter(|(_, value)| !value.is_empty());
    rows.map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

fn state(participant: &v1::Participant) -> &'static str {
    match participant.state() {
        v1::ParticipantState::Connected => "connected",
        v1::ParticipantState::Reconnecting => "reconnecting",
        v1::ParticipantState::Unspecified => "",
    }
}

fn may(permissions: Option<&v1::Permissions>) -> String {
    let Some(permissions) = permissions else { return String::new() };
    let sources = permissions.can_publish_sources().map(|source| word(source.as_str_name(), "TRACK_SOURCE_"));
    let sources = sources.collect::<Vec<_>>().join("+");
    let publish = if sources.is_empty() { "publish".to_owned() } else { format!("publish({sources})") };
    let all = [
        (permissions.can_publish, publish.as_str()),
        (permissions.can_subscribe, "subscribe"),
        (permissions.can_publish_data, "data"),
        (permissions.can_update_own_metadata, "own-metadata"),
        (permissions.hidden, "hidden"),
        (permissions.room_admin, "admin"),
    ];
    all.iter().filter(|(held, _)| *held).map(|(_, word)| *word).collect::<Vec<_>>().join(",")
}

/// `TRACK_KIND_AUDIO` is `audio`; unspecified is nothing.
fn word(name: &str, prefix: &str) -> String {
    let word = name.strip_prefix(prefix).unwrap_or(name).to_lowercase();
    if word == "unspecified" { String::new() } else { word }
}

/// What others chose, without what would move a terminal's cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The same, short enough for a column.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let text = clean(text);
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Unix milliseconds as a moment that people read (RFC 3339, UTC).
fn utc(unix_ms: u64) -> String {
    let (days, second) = (unix_ms / 86_400_000, unix_ms / 1_000 % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// The Gregorian date so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    // moments that no clock shows would keep the loop busy
    while year < 9999 && days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days.min(30) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_of_the_calendar() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(unix_ms), expected);
        }
        assert_eq!(&utc(u64::MAX)[..4], "9999");
    }

    #[test]
    fn what_others_chose_cannot_steer_the_terminal_or_fill_it() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(short(&"ä".repeat(41)), format!("{}…", "ä".repeat(40)));
        assert_eq!(short(&"ä".repeat(40)), "ä".repeat(40));
    }

    #[test]
    fn empty_lists_are_said_in_words_and_as_json_in_brackets() {
        assert_eq!(as_text(&Answer::Rooms(Vec::new())), "no rooms");
        assert_eq!(as_text(&Answer::Participants(Vec::new())), "nobody is in the room");
        assert_eq!(as_json(&Answer::Rooms(Vec::new())).unwrap(), "{\n  \"rooms\": []\n}");
        assert_eq!(as_json(&Answer::Done("room r1 is deleted".to_owned())).unwrap(), "{}");
    }
}
