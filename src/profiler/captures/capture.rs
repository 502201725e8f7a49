//! What is known of a capture beside its parts: why it was made, which minutes it holds, where it is kept.
//!
//! Written as `capture.json` and read back from it, so nothing here takes a file's word for granted:
//! [`Capture::checked`] says what is wrong with one. Knows no file and no clock.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{pace::For, parts::Part};

/// Of `capture.json`; another one is not read.
pub const FORMAT: u32 = 1;
/// Breaches of other ops and regions that one capture tells of.
pub const ALSO_MAX: usize = 64;
/// Of an operator's note; what is longer is cut.
pub const NOTE_CHARS_MAX: usize = 200;
const ID_BYTES_MAX: usize = 96;
/// Of the part of an id that says what it is about.
const ABOUT_BYTES_MAX: usize = 64;
/// Of any word that was read back.
const WORD_BYTES_MAX: usize = 1_024;
/// The end of the year 9999: the last moment that can be written as a date.
const UNIX_MS_MAX: u64 = 253_402_300_799_000;

/// The hour that a window is held against,
const QUIET: Duration = Duration::from_secs(3_600);
/// and how long before the window it ends.
const QUIET_ENDS_BEFORE: Duration = Duration::from_secs(60);

/// The name of a capture: letters, digits and hyphens, a digit first, so that it can be the name of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaptureId(String);

impl CaptureId {
    /// Of text that is one.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
        (begins && text.len() <= ID_BYTES_MAX && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// Of a capture for that cause at that moment since the Unix epoch, as `20261125T212730Z-join-eu-west`; when that
    /// is known already, with a number.
    pub fn new(at: Duration, cause: &Cause, known: impl Fn(&Self) -> bool) -> Self {
        let at = UNIX_EPOCH + at.min(Duration::from_millis(UNIX_MS_MAX));
        let moment: String =
            humantime::format_rfc3339_seconds(at).to_string().chars().filter(|c| !"-:".contains(*c)).collect();
        let first = format!("{moment}-{}", plain(&cause.about()));
        let numbered = (2_u64..).map(|number| Self(format!("{first}-{number}")));
        let mut all = std::iter::once(Self(first.clone())).chain(numbered);
        all.find(|id| !known(id)).expect("there are more numbers than captures")
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What else there is becomes a hyphen, several become one.
fn plain(about: &str) -> String {
    let words = about.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    joined[..joined.len().min(ABOUT_BYTES_MAX)].trim_end_matches('-').to_owned()
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CaptureId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("an id is 1 to 96 letters, digits and hyphens, a digit first")
    }
}

impl From<CaptureId> for String {
    fn from(id: CaptureId) -> Self {
        id.0
    }
}

impl std::borrow::Borrow<str> for CaptureId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a capture was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A P99 left its band.
    Latency(Slowness),
    /// A worker did not come back from a task.
    Stall {
        /// Its number in the runtime.
        worker: usize,
        /// How long it had been away when it was found.
        stalled_for_ms: u64,
        /// What it was doing.
        state: StallState,
    },
    /// An operator asked.
    Operator {
        /// In their words.
        note: String,
    },
}

impl Cause {
    /// In as few words as an id has room for.
    fn about(&self) -> String {
        match self {
            Self::Latency(Slowness { op, region, .. }) => format!("{op}-{region}"),
            Self::Stall { worker, .. } => format!("stall-worker-{worker}"),
            Self::Operator { .. } => "operator".to_owned(),
        }
    }

    /// What it cools down as.
    pub fn what(&self) -> For {
        match self {
            Self::Latency(Slowness { op, region, .. }) => For::Latency { op: op.clone(), region: region.clone() },
            Self::Stall { .. } => For::Stall,
            Self::Operator { .. } => For::Operator,
        }
    }
}

/// A P99 that left its band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slowness {
    /// The kind of the signals.
    pub op: String,
    /// The clients' region.
    pub region: String,
    /// The P99 of the ten seconds before it was found.
    pub p99_ms: f64,
    /// What it should not have passed.
    pub bound_ms: f64,
    /// When it first did.
    pub since_unix_ms: u64,
}

/// What a stalled worker was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StallState {
    /// It ran, or could have.
    OnCpu,
    /// It slept in a call of the system.
    Blocked,
    /// The system did not tell.
    Unknown,
}

/// From one moment to another, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The beginning.
    pub from_unix_ms: u64,
    /// The end.
    pub until_unix_ms: u64,
}

impl Span {
    /// Between two moments since the Unix epoch.
    pub fn new(from: Duration, until: Duration) -> Self {
        Self { from_unix_ms: from.as_millis() as u64, until_unix_ms: until.as_millis() as u64 }
    }

    /// The hour before it that it is held against: it ends a minute before.
    pub fn quiet(self) -> Self {
        let until = self.from().saturating_sub(QUIET_ENDS_BEFORE);
        Self::new(until.saturating_sub(QUIET), until)
    }

    /// The beginning, since the Unix epoch.
    pub fn from(self) -> Duration {
        Duration::from_millis(self.from_unix_ms)
    }

    /// The end, since the Unix epoch.
    pub fn until(self) -> Duration {
        Duration::from_millis(self.until_unix_ms)
    }

    /// From one to the other.
    pub fn length(self) -> Duration {
        self.until().saturating_sub(self.from())
    }
}

/// How far a capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Until the end of its window.
    Recording,
    /// It has the parts that it will have.
    Ready,
}

/// Where a capture is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Kept {
    /// In its folder: it is there after a restart.
    Folder,
    /// In memory only, and why.
    Memory(String),
}

impl From<Kept> for String {
    fn from(kept: Kept) -> Self {
        kept.to_string()
    }
}

impl From<String> for Kept {
    fn from(text: String) -> Self {
        text.strip_prefix("memory: ").map_or(Self::Folder, |why| Self::Memory(why.to_owned()))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("folder"),
            Self::Memory(why) => write!(f, "memory: {why}"),
        }
    }
}

/// The router that made a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Names it among all of its kind.
    pub id: String,
    /// Of the program.
    pub version: String,
}

/// A part that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which.
    pub part: Part,
    /// Its size.
    pub bytes: u64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// [`FORMAT`].
    pub format: u32,
    /// Its name.
    pub id: CaptureId,
    /// How far it is.
    pub state: State,
    /// Why it was made.
    pub cause: Cause,
    /// Others that left their bands while it was recorded.
    pub also: Vec<Slowness>,
    /// When it was begun.
    pub at_unix_ms: u64,
    /// The minutes that it is about.
    pub window: Span,
    /// The hour before, against which they are held.
    pub quiet: Span,
    /// Who made it.
    pub router: Router,
    /// What there is.
    pub parts: Vec<Piece>,
    /// Where.
    pub kept: Kept,
}

impl Capture {
    /// The size of a part; absent: there is none.
    pub fn part(&self, part: Part) -> Option<u64> {
        self.parts.iter().find(|piece| piece.part == part).map(|piece| piece.bytes)
    }

    /// How long until it is ready, at that moment since the Unix epoch.
    pub fn ready_in(&self, unix: Duration) -> Duration {
        match self.state {
            State::Recording => self.window.until().saturating_sub(unix),
            State::Ready => Duration::ZERO,
        }
    }

    /// Everything that had left its band.
    pub fn slow(&self) -> impl Iterator<Item = &Slowness> {
        let of_cause = match &self.cause {
            Cause::Latency(slowness) => Some(slowness),
            Cause::Stall { .. } | Cause::Operator { .. } => None,
        };
        of_cause.into_iter().chain(&self.also)
    }

    /// Whether it tells of that op and region; absent: any. Only what left its band is of an op.
    pub fn is_about(&self, op: Option<&str>, region: Option<&str>) -> bool {
        let fits =
            |told: &Slowness| op.is_none_or(|op| told.op == op) && region.is_none_or(|region| told.region == region);
        (op.is_none() && region.is_none()) || self.slow().any(fits)
    }

    /// What was read back from the folder of that name, when it can be shown.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self, folder: &CaptureId) -> Result<Self, String> {
        let spans = [self.window, self.quiet];
        let moments = spans.into_iter().flat_map(|span| [span.from_unix_ms, span.until_unix_ms]);
        let slow = self.also.iter().chain(match &self.cause {
            Cause::Latency(slowness) => Some(slowness),
            Cause::Stall { .. } | Cause::Operator { .. } => None,
        });
        let words =
            slow.clone().flat_map(|told| [&told.op, &told.region]).chain([&self.router.id, &self.router.version]);
        let note = if let Cause::Operator { note } = &self.cause { Some(note) } else { None };
        let mut moments = moments.chain(slow.map(|told| told.since_unix_ms)).chain([self.at_unix_ms]);
        let twice = |piece: &Piece| self.parts.iter().filter(|other| other.part == piece.part).count() > 1;
        let wrong = if self.format != FORMAT {
            format!("format is {}; this version reads {FORMAT}", self.format)
        } else if self.id != *folder {
            "its id is not the name of its folder".to_owned()
        } else if self.state != State::Ready {
            "it was never finished".to_owned()
        } else if moments.any(|unix_ms| unix_ms > UNIX_MS_MAX) || spans.iter().any(|s| s.from_unix_ms > s.until_unix_ms)
        {
            "its times are none".to_owned()
        } else if self.also.len() > ALSO_MAX || words.chain(note).any(|word| word.len() > WORD_BYTES_MAX) {
            "it tells more than a capture may".to_owned()
        } else if self.parts.iter().any(twice) {
            "it names a part twice".to_owned()
        } else {
            return Ok(self);
        };
        Err(wrong)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 2026-11-25, 21:27:30 UTC.
    pub(in crate::profiler::captures) const AT: Duration = Duration::from_secs(1_795_642_050);

    pub(in crate::profiler::captures) fn slowness(op: &str, region: &str) -> Slowness {
        let since_unix_ms = AT.as_millis() as u64 - 20_000;
        Slowness { op: op.to_owned(), region: region.to_owned(), p99_ms: 143.0, bound_ms: 25.0, since_unix_ms }
    }

    pub(in crate::profiler::captures) fn capture(cause: Cause) -> Capture {
        let window = Span::new(AT - Duration::from_secs(30), AT + Duration::from_secs(30));
        Capture {
            format: FORMAT,
            id: CaptureId::new(AT, &cause, |_| false),
            state: State::Ready,
            cause,
            also: Vec::new(),
            at_unix_ms: AT.as_millis() as u64,
            window,
            quiet: window.quiet(),
            router: Router { id: "r1".to_owned(), version: "1.2.3".to_owned() },
            parts: vec![Piece { part: Part::Profile, bytes: 7 }],
            kept: Kept::Folder,
        }
    }

    fn stall() -> Cause {
        Cause::Stall { worker: 3, stalled_for_ms: 900, state: StallState::Blocked }
    }

    #[test]
    fn an_id_says_when_and_what_in_plain_letters_and_is_like_no_other() {
        let id = |cause: Cause| CaptureId::new(AT, &cause, |_| false).to_string();
        assert_eq!(id(Cause::Latency(slowness("join", "eu-west"))), "20261125T212730Z-join-eu-west");
        assert_eq!(id(Cause::Latency(slowness("join", "../ü/ b"))), "20261125T212730Z-join-b");
        assert_eq!(id(stall()), "20261125T212730Z-stall-worker-3");
        assert_eq!(id(Cause::Operator { note: "../..".to_owned() }), "20261125T212730Z-operator");
        let long = id(Cause::Latency(slowness("join", &"x-".repeat(500))));
        assert!(CaptureId::parse(&long).is_some() && !long.ends_with('-'), "{long}");
        let known = ["20261125T212730Z-operator", "20261125T212730Z-operator-2"];
        let third = CaptureId::new(AT, &Cause::Operator { note: String::new() }, |id| known.contains(&id.as_str()));
        assert_eq!(third.as_str(), "20261125T212730Z-operator-3");
        assert!(CaptureId::parse(CaptureId::new(Duration::MAX, &stall(), |_| false).as_str()).is_some());
    }

    #[test]
    fn what_could_be_a_path_is_no_id() {
        for text in ["", ".", "..", "a", "-1", "1/2", "1\\2", "1.corrupt", "1 2", "1\0", "1ü", &"1".repeat(97)] {
            assert_eq!(CaptureId::parse(text), None, "{text:?}");
            assert!(serde_json::from_value::<CaptureId>(text.into()).is_err(), "{text:?}");
        }
        assert!(CaptureId::parse("20261125T212730Z-join-eu-west").is_some());
    }

    #[test]
    fn the_quiet_hour_ends_a_minute_before_the_window() {
        let told = capture(stall());
        assert_eq!(told.window.length(), Duration::from_secs(60));
        assert_eq!(told.quiet.until(), AT - Duration::from_secs(90));
        assert_eq!(told.quiet.length(), Duration::from_secs(3_600));
        assert_eq!(Span::new(Duration::ZERO, AT).quiet().length(), Duration::ZERO);
    }

    #[test]
    fn a_capture_reads_back_as_it_was_written() {
        for cause in [Cause::Latency(slowness("join", "sh")), stall(), Cause::Operator { note: "why?".to_owned() }] {
            for kept in [Kept::Folder, Kept::Memory("no folder".to_owned())] {
                let told = Capture { also: vec![slowness("send", "sz")], kept, ..capture(cause.clone()) };
                let text = serde_json::to_string(&told).unwrap();
                assert_eq!(serde_json::from_str::<Capture>(&text).unwrap(), told);
            }
        }
        let text = serde_json::to_string(&capture(stall())).unwrap();
        let cause = r#""cause":{"kind":"stall","worker":3,"stalled_for_ms":900,"state":"blocked"}"#;
        assert!(text.contains(cause) && text.contains(r#""kept":"folder""#), "{text}");
    }

    #[test]
    fn what_a_file_says_is_checked() {
        let good = capture(Cause::Latency(slowness("join", "sh")));
        let id = good.id.clone();
        assert_eq!(good.clone().checked(&id), Ok(good.clone()));
        let wrong = |change: fn(&mut Capture)| {
            let mut told = good.clone();
            change(&mut told);
            told.checked(&id).unwrap_err()
        };
        assert!(wrong(|told| told.format = 2).contains("format is 2; this version reads 1"));
        assert!(wrong(|told| told.id = CaptureId::parse("1").unwrap()).contains("the name of its folder"));
        assert!(wrong(|told| told.state = State::Recording).contains("never finished"));
        assert!(wrong(|told| told.at_unix_ms = u64::MAX).contains("times"));
        assert!(wrong(|told| told.window.until_unix_ms = 0).contains("times"));
        assert!(
            wrong(|told| told.also = vec![Slowness { since_unix_ms: u64::MAX, ..slowness("a", "b") }])
                .contains("times")
        );
        assert!(wrong(|told| told.router.id = "x".repeat(2_000)).contains("more than"));
        assert!(wrong(|told| told.cause = Cause::Operator { note: "x".repeat(2_000) }).contains("more than"));
        assert!(wrong(|told| told.also = vec![slowness("a", "b"); ALSO_MAX + 1]).contains("more than"));
        assert!(wrong(|told| told.parts = vec![told.parts[0]; 2]).contains("twice"));
    }

    #[test]
    fn a_capture_is_about_what_left_its_band_and_of_any_op_when_none_is_asked_for() {
        let slow = Capture { also: vec![slowness("send", "sz")], ..capture(Cause::Latency(slowness("join", "sh"))) };
        for (op, region, expected) in [
            (None, None, true),
            (Some("join"), None, true),
            (Some("join"), Some("sh"), true),
            (Some("send"), Some("sz"), true),
            (None, Some("sz"), true),
            (Some("join"), Some("sz"), false),
            (Some("ping"), None, false),
        ] {
            assert_eq!(slow.is_about(op, region), expected, "{op:?} {region:?}");
        }
        assert!(capture(stall()).is_about(None, None) && !capture(stall()).is_about(Some("join"), None));
    }
}
