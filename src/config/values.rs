//! The types that keys have: how each is read, shown, and what it says is allowed.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use figment::value::Value;
use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::schema::{Given, Setting};
use crate::{
    auth::{Algorithm, AlgorithmSet, settings::Secret},
    protocol::v1::TrackSource,
    telemetry::logs::Format,
};

/// A time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// A time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

impl Millis {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Seconds {
    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// Stands for a secret wherever one would be shown.
pub(super) const HIDDEN: &str = "<hidden>";

/// An `http` or `https` address; a name and password in it are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text without what stands before an `@`: it may be a name and a password.
pub(super) fn redacted(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
    format!("{scheme}{HIDDEN}@{after}")
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

/// Which texts are allowed.
pub(super) struct Text {
    pub(super) allowed: &'static str,
    pub(super) test: fn(&str) -> bool,
}

/// How long a list may be, and what its items may be.
pub(super) struct List<R> {
    pub(super) count: RangeInclusive<usize>,
    pub(super) each: R,
}

fn text<'a>(given: Given<'a>) -> Option<&'a str> {
    given.value.as_str()
}

fn whole<T: TryFrom<i128> + PartialOrd>(given: Given<'_>, range: &RangeInclusive<T>) -> Option<T> {
    let number = match given.value {
        // 64_000 is good TOML, so it is good in the environment too
        Value::String(_, digits) if given.text => digits.trim().replace('_', "").parse().ok()?,
        value => value.to_i128().or_else(|| value.to_u128().and_then(|n| n.try_into().ok()))?,
    };
    T::try_from(number).ok().filter(|n| range.contains(n))
}

macro_rules! whole_setting {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            type Rule = RangeInclusive<Self>;

            fn decode(given: Given<'_>, rule: &Self::Rule) -> Option<Self> {
                whole(given, rule)
            }

            fn shown(&self) -> Json {
                json!(self)
            }

            fn allowed(rule: &Self::Rule) -> String {
                format!("{} to {}", rule.start(), rule.end())
            }
        }
    )+};
}
whole_setting!(u32, u64, usize);

macro_rules! time_setting {
    ($($type:ident $unit:literal),+) => {$(
        impl Setting for $type {
            type Rule = RangeInclusive<u64>;

            fn decode(given: Given<'_>, rule: &Self::Rule) -> Option<Self> {
                whole(given, rule).map(Self)
            }

            fn shown(&self) -> Json {
                json!(self.0)
            }

            fn allowed(rule: &Self::Rule) -> String {
                format!("{} to {} {}", rule.start(), rule.end(), $unit)
            }
        }
    )+};
}
time_setting!(Millis "milliseconds", Seconds "seconds");

impl Setting for bool {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        match given.value {
            Value::String(_, word) if given.text => word.trim().parse().ok(),
            value => value.to_bool(),
        }
    }

    fn shown(&self) -> Json {
        json!(self)
    }

    fn allowed((): &()) -> String {
        "true or false".to_owned()
    }
}

impl Setting for String {
    type Rule = Text;

    fn decode(given: Given<'_>, rule: &Text) -> Option<Self> {
        text(given).filter(|t| (rule.test)(t)).map(str::to_owned)
    }

    fn shown(&self) -> Json {
        json!(self)
    }

    fn allowed(rule: &Text) -> String {
        rule.allowed.to_owned()
    }
}

/// Without a value: the empty text.
impl<T: Setting> Setting for Option<T> {
    type Rule = T::Rule;
    const SECRET: bool = T::SECRET;

    fn decode(given: Given<'_>, rule: &T::Rule) -> Option<Self> {
        match text(given) {
            Some("") => Some(None),
            _ => T::decode(given, rule).map(Some),
        }
    }

    fn shown(&self) -> Json {
        self.as_ref().map_or_else(|| json!(""), T::shown)
    }

    fn whole(&self) -> Json {
        self.as_ref().map_or_else(|| json!(""), T::whole)
    }

    fn allowed(rule: &T::Rule) -> String {
        format!("{}, or empty", T::allowed(rule))
    }
}

/// A list; one item may stand without brackets, and text is split at commas.
impl<T: Setting> Setting for Vec<T> {
    type Rule = List<T::Rule>;
    const SECRET: bool = T::SECRET;

    fn decode(given: Given<'_>, rule: &Self::Rule) -> Option<Self> {
        let items: Vec<Value> = match given.value {
            Value::Array(_, items) => items.clone(),
            Value::String(_, text) if given.text => {
                text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect()
            }
            one => vec![one.clone()],
        };
        if !rule.count.contains(&items.len()) {
            return None;
        }
        items.iter().map(|value| T::decode(Given { value, text: given.text }, &rule.each)).collect()
    }

    fn shown(&self) -> Json {
        Json::Array(self.iter().map(T::shown).collect())
    }

    fn whole(&self) -> Json {
        Json::Array(self.iter().map(T::whole).collect())
    }

    fn allowed(rule: &Self::Rule) -> String {
        let (least, most, each) = (rule.count.start(), rule.count.end(), T::allowed(&rule.each));
        match least {
            0 => format!("a list of at most {most}, each {each}"),
            _ => format!("a list of {least} to {most}, each {each}"),
        }
    }
}

impl Setting for Secret {
    type Rule = RangeInclusive<usize>;
    const SECRET: bool = true;

    fn decode(given: Given<'_>, rule: &Self::Rule) -> Option<Self> {
        text(given).filter(|t| rule.contains(&t.len())).map(Self::from)
    }

    fn shown(&self) -> Json {
        json!(HIDDEN)
    }

    fn whole(&self) -> Json {
        json!(self.expose())
    }

    fn allowed(rule: &Self::Rule) -> String {
        format!("{} to {} bytes", rule.start(), rule.end())
    }
}

impl Setting for Url {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        let url = text(given)?;
        let uri: http::Uri = url.parse().ok()?;
        let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty());
        known.then(|| Self(url.to_owned()))
    }

    fn shown(&self) -> Json {
        json!(redacted(&self.0))
    }

    fn whole(&self) -> Json {
        json!(self.0)
    }

    fn allowed((): &()) -> String {
        "a URL, http:// or https://".to_owned()
    }
}

impl Setting for SocketAddr {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        text(given)?.parse().ok()
    }

    fn shown(&self) -> Json {
        json!(self.to_string())
    }

    fn allowed((): &()) -> String {
        "an address as 127.0.0.1:7800 or [::1]:7800".to_owned()
    }
}

/// A network, or one address.
impl Setting for IpNet {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        let text = text(given)?;
        text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(Self::from))
    }

    fn shown(&self) -> Json {
        json!(self.to_string())
    }

    fn allowed((): &()) -> String {
        "a network as 10.0.0.0/8 or one address".to_owned()
    }
}

impl Setting for PathBuf {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        text(given).filter(|t| !t.is_empty()).map(Self::from)
    }

    fn shown(&self) -> Json {
        json!(self.to_string_lossy())
    }

    fn allowed((): &()) -> String {
        "a path".to_owned()
    }
}

/// A source of a track, by its name in the protocol's JSON.
impl Setting for TrackSource {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        let word = text(given)?;
        SOURCES.into_iter().find(|(_, name)| *name == word).map(|(source, _)| source)
    }

    fn shown(&self) -> Json {
        SOURCES.iter().find(|(source, _)| source == self).map_or_else(|| json!(""), |(_, name)| json!(name))
    }

    fn allowed((): &()) -> String {
        format!("one of {}", SOURCES.map(|(_, name)| name).join(", "))
    }
}

const SOURCES: [(TrackSource, &str); 5] = [
    (TrackSource::Camera, "camera"),
    (TrackSource::Microphone, "microphone"),
    (TrackSource::ScreenShare, "screen_share"),
    (TrackSource::ScreenShareAudio, "screen_share_audio"),
    (TrackSource::Data, "data"),
];

impl Setting for Algorithm {
    type Rule = AlgorithmSet;

    fn decode(given: Given<'_>, rule: &AlgorithmSet) -> Option<Self> {
        Self::by_name(text(given)?).filter(|algorithm| rule.contains(*algorithm))
    }

    fn shown(&self) -> Json {
        json!(self.name())
    }

    fn allowed(rule: &AlgorithmSet) -> String {
        format!("one of {rule}")
    }
}

impl Setting for Format {
    type Rule = ();

    fn decode(given: Given<'_>, (): &()) -> Option<Self> {
        text(given)?.parse().ok()
    }

    fn shown(&self) -> Json {
        json!(match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Pretty => "pretty",
        })
    }

    fn allowed((): &()) -> String {
        "auto, json, pretty".to_owned()
    }
}

/// A closed set of words.
macro_rules! choice {
    ($(#[$doc:meta])+ pub enum $name:ident { $( $(#[$word_doc:meta])+ $variant:ident = $word:literal, )+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$word_doc])+ $variant, )+
        }

        impl $name {
            /// The word in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl $crate::config::schema::Setting for $name {
            type Rule = ();

            fn decode(given: $crate::config::schema::Given<'_>, (): &()) -> Option<Self> {
                match given.value.as_str()? {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }

            fn shown(&self) -> serde_json::Value {
                self.as_str().into()
            }

            fn allowed((): &()) -> String {
                [$($word),+].join(", ")
            }
        }
    };
}
pub(super) use choice;
