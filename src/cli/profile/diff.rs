//! `signalbox profile diff`: what takes a larger share in one profile or window than in another.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Asked, PATIENCE, changed::Changed, decoded, parse_tag};
use crate::{
    ops_client::OpsClient,
    profiler::{
        profile::Profile,
        views::{self, Caption},
    },
};

/// A file may be so long; the router's profiles are far below.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Arguments of `signalbox profile diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox profile diff 1h..10m 5m                             now beside the time before
  signalbox profile diff quiet:20251125-1 capture:20251125-1    a capture beside its quiet hour
  signalbox profile diff before.pb.gz after.pb.gz --svg d.svg   two files, also as a picture
  signalbox profile diff before.pb.gz 5m                        a file beside the router's present

Windows of the router:
  5m                      the last five minutes
  1h..10m                 from an hour ago to ten minutes ago
  1764100000..1764100060  Unix seconds
  capture:ID              what a capture pinned
  quiet:ID                the quiet hour before that capture
Anything else is a file of pprof's format; one that is called like a window is ./5m.

GROWTH is in percentage points of all CPU time, of a function and all that it called.")]
pub(super) struct Args {
    /// What was: a file, or a window of the router.
    #[arg(value_name = "A", value_parser = Side::parse)]
    base: Side,
    /// What is: a file, or a window of the router.
    #[arg(value_name = "B", value_parser = Side::parse)]
    target: Side,
    /// Only this op or thread: op:join, thread:worker-0.
    #[arg(long, value_name = "LABEL:VALUE", value_parser = parse_tag)]
    tag: Option<String>,
    /// The changes as JSON.
    #[arg(long)]
    json: bool,
    /// Also write a flamegraph of B's shape, red where it grew.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Rows at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Side {
    /// Of pprof's format.
    File(PathBuf),
    /// As the router's `diff` takes it.
    Window(String),
}

impl Side {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a file, or a window such as 5m, 1h..10m or capture:ID".to_owned());
        }
        Ok(if is_window(text) { Self::Window(text.to_owned()) } else { Self::File(text.into()) })
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Window(window) => window.clone(),
        }
    }

    /// Whole, from wherever it is.
    async fn profile(&self, client: &impl Fn() -> Result<OpsClient>) -> Result<Profile> {
        let window = match self {
            Self::File(path) => return read(path),
            Self::Window(window) => window,
        };
        let client = client()?;
        let body = match (pinned(window), humantime::parse_duration(window)) {
            (Some((id, part)), _) => client.get(&format!("/debug/captures/{id}/{part}"), &[], PATIENCE).await?,
            (None, Ok(back)) => {
                let seconds = back.as_secs().max(1);
                Asked { seconds, lookback: true, format: "pprof", tag: None }.fetch(&client).await?
            }
            (None, Err(_)) => {
                bail!("{window} cannot be compared with a file; windows that end now (5m) and captures can")
            }
        };
        decoded(&body, &client.address())
    }
}

fn is_window(text: &str) -> bool {
    let moment = |text: &str| text.parse::<u64>().is_ok() || humantime::parse_duration(text).is_ok();
    match text.split_once("..") {
        Some((from, until)) => moment(from) && moment(until),
        None => pinned(text).is_some() || humantime::parse_duration(text).is_ok(),
    }
}

/// The id of a capture, and which of its profiles is meant.
fn pinned(window: &str) -> Option<(&str, &'static str)> {
    let (id, part) = match window.split_once(':')? {
        ("capture", id) => (id, "profile"),
        ("quiet", id) => (id, "quiet"),
        _ => return None,
    };
    super::capture::is_id(id).then_some((id, part))
}

fn read(path: &Path) -> Result<Profile> {
    let cannot = || format!("cannot read {}", path.display());
    let length = std::fs::metadata(path).with_context(cannot)?.len();
    if length > FILE_BYTES_MAX {
        bail!("{} has {length} bytes, at most {FILE_BYTES_MAX} are read", path.display());
    }
    decoded(&std::fs::read(path).with_context(cannot)?, &path.display().to_string())
}

pub(super) async fn run(args: &Args, client: impl Fn() -> Result<OpsClient>) -> Result<String> {
    let (changed, svg) = match (&args.base, &args.target) {
        (Side::Window(base), Side::Window(target)) => args.by_router(&client()?, base, target).await?,
        (base, target) => {
            let (mut base, mut target) = (base.profile(&client).await?, target.profile(&client).await?);
            args.here(&mut base, &mut target)?
        }
    };
    if let (Some(path), Some(svg)) = (&args.svg, svg) {
        std::fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let lines = args.lines.into();
    if args.json {
        return Ok(serde_json::to_string_pretty(&changed.as_json(lines))?);
    }
    Ok(changed.as_text((&args.base.name(), &args.target.name()), lines))
}

impl Args {
    /// Two windows are compared where they are.
    async fn by_router(&self, client: &OpsClient, base: &str, target: &str) -> Result<(Changed, Option<Vec<u8>>)> {
        let ask = async |format: &str| {
            let mut query = vec![("base", base), ("target", target), ("format", format)];
            query.extend(self.tag.as_deref().map(|tag| ("tag", tag)));
            client.get("/debug/pprof/diff", &query, PATIENCE).await
        };
        let changed = ask("json").await?;
        let unread = || format!("{} answered something else than changes", client.address());
        let changed = serde_json::from_slice(&changed).with_context(unread)?;
        let svg = if self.svg.is_some() { Some(ask("svg").await?.to_vec()) } else { None };
        Ok((changed, svg))
    }

    fn here(&self, base: &mut Profile, target: &mut Profile) -> Result<(Changed, Option<Vec<u8>>)> {
        if let Some((label, value)) = self.tag.as_deref().and_then(|tag| tag.split_once(':')) {
            base.retain(label, value);
            target.retain(label, value);
        }
        let tag = self.tag.as_ref().map(|tag| format!(", {tag}")).unwrap_or_default();
        let window = format!("{} to {}{tag}", self.base.name(), self.target.name());
        let caption = Caption { title: "CPU, what is different".to_owned(), window };
        let svg = self.svg.is_some().then(|| views::difference(base, target, &caption)).transpose()?;
        Ok((Changed::of(base, target), svg.map(String::into_bytes)))
    }
}
