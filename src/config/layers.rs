//! The layers, one over the other: what each source says, merged, each value knowing whose it is.

use std::{fmt, path::Path, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Tag, Value},
};

use super::{Rules, dev, mistake::Mistake, mistake::Source};

/// Before every name in the environment that is ours.
pub const ENV_PREFIX: &str = "SIGNALBOX_";
/// Names that the command line reads itself.
const COMMAND_LINE: [&str; 5] = ["CONFIG", "KEY", "SECRET", "TOKEN", "URL"];
/// No file of this kind is larger; it would be another one.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where configuration comes from; later ones win: `--dev`, file, rules of the fleet, environment, flags.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// What the whole fleet follows.
    pub rules: Option<Rules>,
    /// Key, value, and the flag that says so.
    pub flags: Vec<(String, String, String)>,
    /// Names and values; those that do not begin with [`ENV_PREFIX`] are ignored.
    pub env: Vec<(String, String)>,
    /// `--dev`: the well-known key, any origin, high limits, loopback only.
    pub dev: bool,
}

impl Sources {
    /// With the environment of this process.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(ENV_PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        };
        Self { file, env: std::env::vars_os().filter_map(ours).collect(), ..Self::default() }
    }
}

/// Values may be secrets, so only names show.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("rules", &self.rules.as_ref().map(|rules| rules.revision))
            .field("flags", &self.flags.iter().map(|(_, _, flag)| flag).collect::<Vec<_>>())
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("dev", &self.dev)
            .finish()
    }
}

/// When the layers are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading<'a> {
    /// When the router starts, or a command is given.
    AtStart,
    /// Again, while the router runs.
    Again,
    /// As if this text were in the file.
    Proposed(&'a str),
}

impl Reading<'_> {
    /// Which files may be read.
    pub(super) const fn files(&self) -> Files {
        match self {
            Self::AtStart => Files::Any,
            Self::Again | Self::Proposed(_) => Files::Regular,
        }
    }
}

/// Which files may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Files {
    /// Whatever can be opened: a shell's `<(…)` is a pipe.
    Any,
    /// Regular ones: a pipe could be waited for without end, and a router that runs must not.
    Regular,
}

/// All layers as one tree.
pub(super) struct Merged {
    pub(super) root: Value,
    /// What the file said.
    pub(super) text: Option<String>,
    figment: Figment,
    layers: Vec<(Source, Value)>,
}

impl Merged {
    /// Merges the layers that can be read; those that cannot are mistakes.
    pub(super) fn of(sources: &Sources, reading: &Reading<'_>) -> (Self, Vec<Mistake>) {
        let mut merged = Self::nothing();
        let mut mistakes = Vec::new();
        if sources.dev {
            merged.add(Source::Flag("--dev".to_owned()), dev::preset());
        }
        let proposed = || Path::new("(proposed)").to_owned();
        let file = match (reading, &sources.file) {
            (Reading::Proposed(text), path) => Some((Ok((*text).to_owned()), path.clone().unwrap_or_else(proposed))),
            (_, Some(path)) => Some((read_file(path, reading.files()), path.clone())),
            (_, None) => None,
        };
        if let Some((text, path)) = file {
            let source = Source::File(path);
            match text.and_then(|text| Ok((parse(&text, &source)?, text))) {
                Ok((dict, text)) => {
                    merged.add(source, dict);
                    merged.text = Some(text);
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if let Some(rules) = &sources.rules {
            match rules.dict() {
                Ok(dict) => merged.add(rules.source(), dict),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let mut env: Vec<_> =
            sources.env.iter().filter_map(|(name, value)| Some((name, path_of(name, value)?, value))).collect();
        env.sort();
        for (name, path, value) in env {
            merged.add(Source::Env(name.clone()), nest(&path, text_value(&path, value)));
        }
        for (key, value, flag) in &sources.flags {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            merged.add(Source::Flag(flag.clone()), nest(&path, text_value(&path, value)));
        }
        (merged.rooted(), mistakes)
    }

    /// One layer by itself.
    pub(super) fn alone(source: Source, dict: Dict) -> Self {
        let mut merged = Self::nothing();
        merged.add(source, dict);
        merged.rooted()
    }

    fn nothing() -> Self {
        let root = Value::from(Dict::new());
        Self { root, text: None, figment: Figment::new(), layers: Vec::new() }
    }

    fn rooted(mut self) -> Self {
        self.root = self.figment.find_value("").unwrap_or_else(|_| Value::from(Dict::new()));
        self
    }

    fn add(&mut self, source: Source, dict: Dict) {
        let layer = Layer { name: self.layers.len().to_string(), dict: dict.clone() };
        self.layers.push((source, Value::from(dict)));
        self.figment = std::mem::take(&mut self.figment).merge(layer);
    }

    /// Whose value it is. A section has none of its own; it belongs to who wrote its first value.
    pub(super) fn source_of(&self, value: &Value) -> Source {
        let first = match value {
            Value::Dict(_, dict) => dict.values().next(),
            Value::Array(_, items) => items.first(),
            _ => None,
        };
        first.map_or_else(|| self.source_of_tag(value.tag()), |first| self.source_of(first))
    }

    fn source_of_tag(&self, tag: Tag) -> Source {
        let index = self.figment.get_metadata(tag).and_then(|metadata| metadata.name.parse::<usize>().ok());
        index.and_then(|i| self.layers.get(i)).map(|(source, _)| source.clone()).unwrap_or_default()
    }

    /// What each source says by itself.
    pub(super) fn layers(&self) -> &[(Source, Value)] {
        &self.layers
    }
}

/// One source's values, under the number of the source.
struct Layer {
    name: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

fn read_file(path: &Path, files: Files) -> Result<String, Mistake> {
    let text = read_bounded(path, FILE_BYTES_MAX, files);
    text.map_err(|cause| unreadable(&Source::File(path.to_owned()), format!("cannot read it: {cause}")))
}

/// A source that cannot be read as a whole.
pub(super) fn unreadable(source: &Source, problem: String) -> Mistake {
    let key = if matches!(source, Source::Rules(_)) { "(rules)" } else { "(file)" };
    Mistake { key: key.to_owned(), value: String::new(), source: source.clone(), problem }
}

pub(super) fn parse(text: &str, source: &Source) -> Result<Dict, Mistake> {
    let mistake = |problem: String| unreadable(source, problem);
    // the library's own message would quote the line, and the line may hold a secret
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        mistake(format!("line {line} is not TOML: {}", e.message().lines().next().unwrap_or("cannot be parsed")))
    })?;
    match Value::serialize(table) {
        Ok(Value::Dict(_, dict)) => Ok(dict),
        _ => Err(mistake("is not a table".to_owned())),
    }
}

/// A file's text, when it is not longer than that.
pub(super) fn read_bounded(path: &Path, bytes_max: u64, files: Files) -> std::io::Result<String> {
    use std::io::Read as _;
    // asked before it is opened: opening a pipe waits for its other end
    if files == Files::Regular && !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file, and only those are read while the router runs"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > bytes_max {
        return Err(std::io::Error::other(format!("longer than {bytes_max} bytes")));
    }
    Ok(text)
}

/// Where a variable belongs; `None`: it is not configuration.
fn path_of(name: &str, value: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(ENV_PREFIX)?;
    if COMMAND_LINE.contains(&rest) || is_service_link(rest, value) {
        return None;
    }
    let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    // names of keys and roles are the operator's: all capitals stand for small letters, anything else for itself
    if let ["auth", "keys" | "roles", _, ..] = path.iter().map(String::as_str).collect::<Vec<_>>()[..]
        && let Some(name) = rest.split("__").nth(2).filter(|name| name.contains(|c: char| c.is_lowercase()))
    {
        path[2] = name.to_owned();
    }
    Some(path)
}

/// Kubernetes tells every pod of a service called `signalbox…` in variables that begin as ours do.
fn is_service_link(rest: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let of_port = rest.split("PORT_").nth(1).is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()));
    let named = rest.ends_with("SERVICE_HOST") || rest.contains("SERVICE_PORT") || of_port;
    !rest.contains("__") && (named || rest.ends_with("PORT") && is_address)
}

/// Text as a layer holds it; servers are lists of sections, which text can only name by their URLs.
fn text_value(path: &[String], text: &str) -> Value {
    if path != ["ice", "servers"] {
        return Value::from(text);
    }
    let server = |url: &str| Value::from(Dict::from([("urls".to_owned(), Value::from(url))]));
    Value::from(text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(server).collect::<Vec<_>>())
}

fn nest(path: &[String], value: Value) -> Dict {
    let (last, sections) = path.split_last().expect("a split text has at least one part");
    let leaf = Dict::from([(last.clone(), value)]);
    sections.iter().rev().fold(leaf, |inside, section| Dict::from([(section.clone(), Value::from(inside))]))
}
