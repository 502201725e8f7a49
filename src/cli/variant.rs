//! `signalbox variant`: who gets which variant and why, and a larger or smaller share for one of them.

mod edit;
mod promote;
mod show;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::Subcommand;

use super::{EXIT_USAGE, complain, say};
use crate::{
    config::{self, Loaded, Sources},
    gray::{Hints, Percent, usable},
    io::ops::{ShownRule, ShownVariants},
    ops_client::{OpsClient, OpsTarget, token_in},
};

const EXAMPLES: &str = "Examples:
  Who gets which variant, on a router or by a file; and why this user does:
    signalbox variant list --router http://127.0.0.1:9600
    signalbox variant explain --config signalbox.toml --user ann --device ios-17

  A larger share for `canary`: the router is asked whether the file would be good, the file is changed as a whole, and the
  command waits until the router runs with it. Then back to what it was:
    signalbox variant promote canary --percent 20 --config signalbox.toml --router http://127.0.0.1:9600
    signalbox variant rollback canary --config signalbox.toml --router http://127.0.0.1:9600

Comments in the file stay. Where it is made elsewhere (a ConfigMap), change it there.
Exit code 1 when the router refused or could not be reached, 64 when the command line or the file is wrong.";

/// What a router may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Arguments of `signalbox variant`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The variants and rules; of a router also what each rule did and how each variant is served.
    List {
        #[command(flatten)]
        from: From,
    },
    /// Which variant a client gets, and what each rule made of it.
    Explain {
        #[command(flatten)]
        from: From,
        #[command(flatten)]
        client: Client,
    },
    /// Set the share of a variant, in the file and so in the routers that follow it.
    Promote {
        #[command(flatten)]
        target: Target,
        /// The share that it is to have: 0 to 100, with two decimals at most.
        #[arg(long, value_parser = percent)]
        percent: Percent,
    },
    /// Set the share of a variant back to what it was before it was promoted last; where that is not noted, to 0.
    Rollback {
        #[command(flatten)]
        target: Target,
    },
}

/// Whose rules.
#[derive(Debug, clap::Args)]
struct From {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    right: Right,
}

/// A file, or a router that runs.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The router's ops port, as http://127.0.0.1:9600.
    #[arg(long, value_name = "URL")]
    router: Option<String>,
}

/// By what right a router is asked.
#[derive(Debug, clap::Args)]
struct Right {
    /// Holds the bearer token that the ops port asks for beyond loopback.
    #[arg(long, value_name = "FILE", requires = "router")]
    token_file: Option<PathBuf>,
}

/// What a client says.
#[derive(Debug, clap::Args)]
struct Client {
    /// `X-User-ID`, or the token's subject.
    #[arg(long, default_value = "", hide_default_value = true)]
    user: String,
    /// `X-Device-Type`.
    #[arg(long, value_name = "TYPE")]
    device: Option<String>,
    /// `X-AB-Tag`.
    #[arg(long, value_name = "TAG")]
    ab_tag: Option<String>,
}

/// What is to be changed, and where.
#[derive(Debug, clap::Args)]
struct Target {
    /// The variant.
    name: String,
    /// Which of its rules by percent, when it has several.
    #[arg(long)]
    rule: Option<String>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The ops port of the router that runs with it, as http://127.0.0.1:9600.
    #[arg(long, value_name = "URL")]
    router: Option<String>,
    #[command(flatten)]
    right: Right,
    /// How long to count who comes afterwards.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=600))]
    observe: u64,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        match args.command {
            Command::List { from } => from.list().await,
            Command::Explain { from, client } => from.explain(&client).await,
            Command::Promote { target, percent } => promote::run(&target, edit::Wish::Promote(percent)).await,
            Command::Rollback { target } => promote::run(&target, edit::Wish::Rollback).await,
        }
    })
}

impl From {
    fn router(&self) -> Result<Option<OpsClient>> {
        self.right.client(self.source.router.as_deref())
    }

    async fn list(&self) -> Result<ExitCode> {
        let shown = match (&self.source.config, self.router()?) {
            (_, Some(router)) => show::running(&shown(&router, &[]).await?),
            (config, None) => match loaded(config.clone()) {
                Ok(loaded) => {
                    let rules = loaded.config.variant_rules();
                    show::written(rules.names(), &ShownRule::all(&rules, &[]))
                }
                Err(code) => return Ok(code),
            },
        };
        say(&shown);
        Ok(ExitCode::SUCCESS)
    }

    async fn explain(&self, client: &Client) -> Result<ExitCode> {
        let explained = match (&self.source.config, self.router()?) {
            (_, Some(router)) => {
                shown(&router, &client.query()).await?.explained.context("the router explains nothing")?
            }
            (config, None) => match loaded(config.clone()) {
                Ok(loaded) => loaded.config.variant_rules().explain(&client.hints()),
                Err(code) => return Ok(code),
            },
        };
        say(&show::explained(&explained));
        Ok(ExitCode::SUCCESS)
    }
}

/// What a file says, with the environment as `serve` would have it; else its mistakes are told.
fn loaded(file: Option<PathBuf>) -> Result<Loaded, ExitCode> {
    config::load(&Sources::of_process(file)).map_err(|mistakes| {
        complain(&mistakes.to_string());
        ExitCode::from(EXIT_USAGE)
    })
}

async fn shown(router: &OpsClient, query: &[(&str, &str)]) -> Result<ShownVariants> {
    let answer = router.get("/api/variants", query, PATIENCE).await?;
    serde_json::from_slice(&answer).with_context(|| format!("{} answers something else", router.address()))
}

impl Right {
    /// Of a router by that URL.
    fn client(&self, url: Option<&str>) -> Result<Option<OpsClient>> {
        let Some(url) = url else { return Ok(None) };
        let token = self
            .token_file
            .as_ref()
            .map(|path| token_in(path).with_context(|| format!("--token-file: cannot read {}", path.display())));
        let target = OpsTarget { url: url.to_owned(), token: token.transpose()? };
        OpsClient::new(&target).context("--router").map(Some)
    }
}

impl Client {
    fn hints(&self) -> Hints<'_> {
        Hints {
            ab_tag: usable(self.ab_tag.as_deref()),
            user: usable(Some(&self.user)).unwrap_or_default(),
            device_type: usable(self.device.as_deref()),
        }
    }

    fn query(&self) -> Vec<(&str, &str)> {
        let more = [("device_type", self.device.as_deref()), ("ab_tag", self.ab_tag.as_deref())];
        let more = more.into_iter().filter_map(|(name, value)| Some((name, value?)));
        [("user_id", self.user.as_str())].into_iter().chain(more).collect()
    }
}

fn percent(text: &str) -> Result<Percent, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number.and_then(Percent::new).ok_or_else(|| "allowed: 0 to 100, with two decimals at most".to_owned())
}
