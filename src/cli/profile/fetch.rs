//! `signalbox profile fetch`: a profile into a file.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::{super::complain, Asked, decoded, parse_tag};
use crate::{io::clock, ops_client::OpsClient, profiler::views::amount};

/// Arguments of `signalbox profile fetch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox profile fetch                                        the next 30 s, for `go tool pprof`
  signalbox profile fetch --lookback --seconds 600 --format svg  a flamegraph of ten minutes
  signalbox profile fetch --tag op:join --format speedscope      joins alone, for speedscope.app

The router keeps an hour, and says what it can give of more.")]
pub(super) struct Args {
    /// How long a time.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// The last seconds, which the router has, instead of the next.
    #[arg(long)]
    lookback: bool,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Format::Pprof)]
    format: Format,
    /// Only this op or thread: op:join, thread:worker-0.
    #[arg(long, value_name = "LABEL:VALUE", value_parser = parse_tag)]
    tag: Option<String>,
    /// Where to write it [default: signalbox-TIME with the format's ending, here]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Gzip'd protobuf, for `go tool pprof`, Pyroscope, Parca.
    Pprof,
    /// A flamegraph for a browser.
    Svg,
    /// A stack a line.
    Collapsed,
    /// For www.speedscope.app.
    Speedscope,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::Pprof => "pprof",
            Self::Svg => "svg",
            Self::Collapsed => "collapsed",
            Self::Speedscope => "speedscope",
        }
    }

    const fn ending(self) -> &'static str {
        match self {
            Self::Pprof => "pb.gz",
            Self::Svg => "svg",
            Self::Collapsed => "collapsed.txt",
            Self::Speedscope => "speedscope.json",
        }
    }

    fn how_to_open(self, file: &Path) -> String {
        let file = file.display();
        match self {
            Self::Pprof => format!("go tool pprof -top {file}, or in a browser: go tool pprof -http=: {file}"),
            Self::Svg => format!("open {file} in a browser: click to zoom, Ctrl-F to search"),
            Self::Collapsed => format!("inferno-flamegraph {file} > {file}.svg, or flamegraph.pl, or grep"),
            Self::Speedscope => format!("drop {file} onto https://www.speedscope.app, which keeps it in the browser"),
        }
    }

    /// What came, in words; an answer of another kind is no file to be left behind.
    fn checked(self, body: &[u8], from: &str) -> Result<String> {
        match self {
            Self::Pprof => Ok(amount(&decoded(body, from)?)),
            Self::Svg if !body.trim_ascii_start().starts_with(b"<") => bail!("{from} answered no SVG"),
            Self::Speedscope if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() => {
                bail!("{from} answered no JSON")
            }
            Self::Collapsed if body.is_empty() => Ok("no samples in this window".to_owned()),
            Self::Svg | Self::Speedscope | Self::Collapsed => Ok(format!("{} bytes", body.len())),
        }
    }
}

pub(super) async fn run(args: &Args, client: &OpsClient) -> Result<String> {
    let asked =
        Asked { seconds: args.seconds, lookback: args.lookback, format: args.format.name(), tag: args.tag.as_deref() };
    let waiting = Waiting::new(args, &client.address());
    let body = asked.fetch(client).await;
    waiting.end();
    let body = body?;
    let what = args.format.checked(&body, &client.address())?;
    let named = || PathBuf::from(format!("signalbox-{}.{}", clock::unix_ms() / 1_000, args.format.ending()));
    let file = args.output.clone().unwrap_or_else(named);
    std::fs::write(&file, &body).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(format!("{}: {what}\n{}", file.display(), args.format.how_to_open(&file)))
}

/// What a person sees while the router records.
struct Waiting(Option<ProgressBar>);

impl Waiting {
    fn new(args: &Args, address: &str) -> Self {
        let what = if args.lookback { "has recorded" } else { "records" };
        let line = format!("{address} {what} {} s", args.seconds);
        if !std::io::stderr().is_terminal() {
            complain(&line);
            return Self(None);
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(line);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    fn end(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
