//! What a router writes about itself and the media nodes that registered with it, and how what others wrote is read.
//!
//! JSON with a `version`. Fields that this version does not know are kept and ignored; what cannot be read says why, and
//! never quotes what stands there.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::rules::RulesStanding;

/// The version of records that is written, and the only one that is read: another one means something else by its fields.
/// A field more is no other version.
pub const RECORD_VERSION: u32 = 1;
/// A record is some three hundred bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Ids, regions, versions.
const WORD_BYTES_MAX: usize = 64;
/// URLs.
const URL_BYTES_MAX: usize = 512;
/// What changes all the time, and is not part of the digest.
const LOAD: &str = "load";

/// What a router says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Its `server.id`, as in its key.
    pub id: String,
    /// Drawn at its start: another one under the same id is another process.
    pub incarnation: String,
    /// Where it is.
    pub region: String,
    /// Its program's version.
    pub build: String,
    /// Where clients reach it itself; may be empty.
    #[serde(default)]
    pub url: String,
    /// Where operators reach it; may be empty.
    #[serde(default)]
    pub ops_url: String,
    /// Where other routers reach it that have clients of its rooms; empty: nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub relay_url: String,
    /// Seconds since the Unix epoch.
    pub started_unix: u64,
    /// It is about to end.
    #[serde(default)]
    pub draining: bool,
    /// How far it follows the rules of the fleet; absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesStanding>,
    /// How much it carries.
    #[serde(default)]
    pub load: Load,
    /// What later versions say.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a router says of a media node that registered with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Its id, as in its key.
    pub id: String,
    /// Which start of it this is.
    pub incarnation: String,
    /// Where it is.
    pub region: String,
    /// Whom it serves.
    pub variant: String,
    /// Where it is called.
    pub control_url: String,
    /// Told to clients; may be empty.
    #[serde(default)]
    pub public_url: String,
    /// A node of twice the weight gets twice the rooms.
    pub base_weight: u32,
    /// It said that it is about to go.
    #[serde(default)]
    pub leaving: bool,
    /// The router that it registered with,
    pub by: String,
    /// and which start of that.
    pub by_incarnation: String,
    /// What later versions say.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Which router has a room; the same is the notice to the one that had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The router,
    pub router: String,
    /// and which start of it.
    pub incarnation: String,
    /// Where clients reach it itself.
    pub url: String,
    /// Where other routers reach it that have clients of the room; empty: nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub relay_url: String,
    /// What later versions say.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// How much a router carries, when it said so last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Sessions, lingering ones included.
    #[serde(default)]
    pub sessions: u64,
    /// Rooms.
    #[serde(default)]
    pub rooms: u64,
    /// For how long nothing had proven that its view of the fleet is new, in milliseconds.
    #[serde(default)]
    pub watch_lag_ms: u64,
    /// Of its view of the fleet; absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<u64>,
    /// Writes that wait in its journal for Redis,
    #[serde(default)]
    pub journal_writes: u64,
    /// and for how long the oldest has, in milliseconds.
    #[serde(default)]
    pub journal_age_ms: u64,
}

impl RouterRecord {
    /// As it is written.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads what stands at the key of that id.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub fn read(id: &str, bytes: &[u8]) -> Result<Self, String> {
        let record: Self = of_this_version(bytes)?;
        let words = [&record.id, &record.incarnation, &record.region, &record.build];
        if record.id != id {
            return Err("its id is not that of its key".to_owned());
        }
        if !is_word(id) || words.iter().any(|word| word.len() > WORD_BYTES_MAX) {
            return Err(format!("its id, incarnation, region or build is not a word of 1 to {WORD_BYTES_MAX} bytes"));
        }
        if [&record.url, &record.ops_url, &record.relay_url].iter().any(|url| url.len() > URL_BYTES_MAX) {
            return Err(format!("a URL of it is longer than {URL_BYTES_MAX} bytes"));
        }
        Ok(record)
    }
}

impl NodeRecord {
    /// As it is written.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads what stands at the key of that id. Whether a node may be such a one here is not asked.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub fn read(id: &str, bytes: &[u8]) -> Result<Self, String> {
        let record: Self = of_this_version(bytes)?;
        match record.id == id {
            true => Ok(record),
            false => Err("its id is not that of its key".to_owned()),
        }
    }

    /// Whether both are one process.
    pub fn is_of_the_start_of(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation
    }
}

impl RoomRecord {
    /// As it is written.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads what stands for a room.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = of_this_version(bytes)?;
        is_reachable(&record.router, &record.url)?;
        match record.relay_url.len() {
            0..=URL_BYTES_MAX => Ok(record),
            _ => Err(format!("its relay URL is longer than {URL_BYTES_MAX} bytes")),
        }
    }
}

/// Whether clients can be sent to that router.
fn is_reachable(router: &str, url: &str) -> Result<(), String> {
    match () {
        () if !is_word(router) => Err(format!("its router is not a word of 1 to {WORD_BYTES_MAX} bytes")),
        () if url.is_empty() || url.len() > URL_BYTES_MAX => {
            Err(format!("its URL is not of 1 to {URL_BYTES_MAX} bytes"))
        }
        () => Ok(()),
    }
}

/// A record of the version that is read here.
fn of_this_version<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, String> {
    let value = json(bytes)?;
    version(&value)?;
    serde_json::from_value(value).map_err(|_| "a field is missing, or of another kind".to_owned())
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(format!("{} bytes, at most {RECORD_BYTES_MAX}", bytes.len()));
    }
    // the parser's own words may quote what stands there
    serde_json::from_slice(bytes).map_err(|e| format!("no JSON: line {} column {}", e.line(), e.column()))
}

fn version(value: &Value) -> Result<(), String> {
    match value["version"].as_u64() {
        Some(version) if version == u64::from(RECORD_VERSION) => Ok(()),
        Some(version) => Err(format!("version {version}; this router reads {RECORD_VERSION}")),
        None => Err("no version".to_owned()),
    }
}

/// A word that can be an id.
pub(super) fn is_word(text: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What a record adds to the digest of a view: all of it but its load. Also of one that cannot be read here, so that routers
/// of different versions that see the same agree.
pub(super) fn stable(bytes: &[u8]) -> [u8; 32] {
    let without_load = serde_json::from_slice::<Map<String, Value>>(bytes).map(|mut fields| {
        fields.remove(LOAD);
        fields
    });
    match without_load.map(|fields| serde_json::to_vec(&fields)) {
        Ok(Ok(fields)) => Sha256::digest(fields).into(),
        Ok(Err(_)) | Err(_) => Sha256::digest(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<RouterRecord, String> {
        RouterRecord::read("r1", value.to_string().as_bytes())
    }

    fn good() -> Value {
        json!({ "version": 1, "id": "r1", "incarnation": "x", "region": "sh", "build": "0.1.0", "started_unix": 7 })
    }

    #[test]
    fn what_is_written_is_read_back_and_fields_of_later_versions_are_kept() {
        let mut value = good();
        value["shoe_size"] = json!({ "eu": 44 });
        value["load"] = json!({ "sessions": 3, "rooms": 2, "moons": 1 });
        let record = read(&value).unwrap();
        assert_eq!((record.load, record.draining), (Load { sessions: 3, rooms: 2, ..Load::default() }, false));
        assert_eq!(record.rest["shoe_size"]["eu"], 44);
        assert_eq!(RouterRecord::read("r1", &record.bytes()), Ok(record));
    }

    #[test]
    fn what_cannot_be_read_says_why_and_quotes_nothing() {
        let with = |key: &str, value: Value| {
            let mut changed = good();
            changed[key] = value;
            read(&changed).unwrap_err()
        };
        assert_eq!(with("version", json!(2)), "version 2; this router reads 1");
        assert_eq!(with("version", json!("hide-this")), "no version");
        assert_eq!(with("region", json!({ "hide": "this" })), "a field is missing, or of another kind");
        assert_eq!(with("id", json!("r2")), "its id is not that of its key");
        assert!(with("region", json!("x".repeat(65))).contains("64 bytes"));
        assert!(with("url", json!("x".repeat(513))).contains("512 bytes"));
        assert_eq!(RouterRecord::read("r1", b"{hide-this").unwrap_err(), "no JSON: line 1 column 2");
        assert_eq!(RouterRecord::read("r1", &[b' '; 16_385]).unwrap_err(), "16385 bytes, at most 16384");
        let mut elsewhere = good();
        elsewhere["id"] = json!("a b");
        assert!(RouterRecord::read("a b", elsewhere.to_string().as_bytes()).unwrap_err().contains("not a word"));
    }

    #[test]
    fn the_load_is_not_part_of_the_digest_and_all_else_is() {
        let of = |value: &Value| stable(value.to_string().as_bytes());
        let mut loaded = good();
        loaded["load"] = json!({ "sessions": 9 });
        assert_eq!(of(&good()), of(&loaded));
        let mut later = good();
        later["shoe_size"] = json!(44);
        assert_ne!(of(&good()), of(&later));
        assert_ne!(stable(b"no json"), stable(b"no json either"));
    }
}
