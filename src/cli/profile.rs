//! `signalbox profile`: where a router spends its CPU time, seen from a terminal.

mod capture;
mod changed;
mod diff;
mod fetch;
pub(super) mod show;
#[cfg(test)]
mod tests;
mod top;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clap::Subcommand;

use super::say;
use crate::{
    ops_client::{OpsClient, OpsTarget, token_in},
    profiler::{pprof, profile::Profile},
};

const EXAMPLES: &str = "Examples:
  What the router does now, live, until Ctrl-C:
    signalbox profile top
    signalbox profile top --tag op:join --by line

  A flamegraph of the last ten minutes, and a profile of the next 30 seconds for Go's pprof:
    signalbox profile fetch --lookback --seconds 600 --format svg --output bad.svg
    signalbox profile fetch --output now.pb.gz && go tool pprof -http=: now.pb.gz

  What is different now from the time before, or between two profiles on disk:
    signalbox profile diff 1h..10m 5m
    signalbox profile diff before.pb.gz after.pb.gz --svg difference.svg

  Keep this moment, with all that is known of it:
    signalbox profile capture --note 'joins are slow in eu-west'

Exit code 1 when the router refused or could not be reached, 64 when the command line is wrong.";

/// What a router may take to answer, beside the time that it records.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `signalbox profile`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten, next_help_heading = "Router")]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

/// Which router, and by what right.
#[derive(Debug, clap::Args)]
pub(super) struct Access {
    /// Where the router's ops port is.
    #[arg(long, default_value = "http://127.0.0.1:9600", global = true)]
    url: String,
    /// Holds the bearer token that the ops port asks for beyond loopback.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The functions, threads and ops that use CPU time, live.
    Top(top::Args),
    /// Fetch a profile into a file.
    Fetch(fetch::Args),
    /// What takes a larger share in one profile or window than in another.
    Diff(diff::Args),
    /// Pin the minutes around now: profile, latencies, slow signals, runtime.
    Capture(capture::Args),
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(carry_out(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(args: Args) -> Result<()> {
    if let Command::Top(top) = &args.command {
        return top::run(top, &args.access.client()?).await;
    }
    say(&answer(&args).await?);
    Ok(())
}

/// What is said at the end of all that ends by itself.
async fn answer(args: &Args) -> Result<String> {
    let client = || args.access.client();
    match &args.command {
        Command::Top(args) => Ok(top::Round::fetch(args, &client()?).await?.as_lines()),
        Command::Fetch(args) => fetch::run(args, &client()?).await,
        Command::Diff(args) => diff::run(args, client).await,
        Command::Capture(args) => capture::run(args, &client()?).await,
    }
}

impl Access {
    pub(super) fn client(&self) -> Result<OpsClient> {
        let token = self
            .token_file
            .as_ref()
            .map(|path| token_in(path).with_context(|| format!("--token-file: cannot read {}", path.display())));
        let target = OpsTarget { url: self.url.clone(), token: token.transpose()? };
        OpsClient::new(&target).context("--url")
    }
}

/// `op:join`: the router says which there are.
fn parse_tag(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(("op" | "thread", value)) if !value.is_empty() => Ok(text.to_owned()),
        _ => Err("op:NAME or thread:NAME, as op:join".to_owned()),
    }
}

/// A window for `/debug/pprof/profile`.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    seconds: u64,
    /// The last seconds, not the next.
    lookback: bool,
    format: &'a str,
    tag: Option<&'a str>,
}

impl Asked<'_> {
    async fn fetch(&self, client: &OpsClient) -> Result<Bytes> {
        let seconds = self.seconds.to_string();
        let mut query = vec![("seconds", seconds.as_str()), ("format", self.format)];
        query.extend(self.lookback.then_some(("lookback", "1")));
        query.extend(self.tag.map(|tag| ("tag", tag)));
        let recorded = if self.lookback { Duration::ZERO } else { Duration::from_secs(self.seconds) };
        Ok(client.get("/debug/pprof/profile", &query, recorded + PATIENCE).await?)
    }
}

/// A profile out of an answer or a file.
fn decoded(bytes: &[u8], from: &str) -> Result<Profile> {
    pprof::decode(bytes).with_context(|| format!("{from} holds no profile that can be read"))
}
