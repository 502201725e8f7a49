//! `signalbox rooms`: the admin API from a terminal, over gRPC.

mod advise;
mod calls;
mod channel;
mod show;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Subcommand;

use super::token::{Signing, parse_attribute};

const EXAMPLES: &str = "Examples:
  What is going on, on the router of `serve --dev`:
    signalbox rooms list
    signalbox rooms participants r1

  Elsewhere, by a key of your own, for a program:
    SIGNALBOX_KEY=app SIGNALBOX_SECRET=… signalbox rooms list --url https://signal.example:7800 --ca ca.pem --json

  A room for ten, then somebody too loud, then nobody:
    signalbox rooms create standup --participants-max 10
    signalbox rooms mute standup bob TR_1a2b
    signalbox rooms permit standup bob --publish no
    signalbox rooms send standup --data '{\"say\":\"we close in a minute\"}'
    signalbox rooms delete standup

Exit code 1 when the router refused or could not be reached, 64 when the command line is wrong.";

/// Arguments of `signalbox rooms`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print the answer as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten, next_help_heading = "Router and token")]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

/// Which router, and by what right.
#[derive(clap::Args)]
struct Access {
    /// Where the router's client port is.
    #[arg(long, env = "SIGNALBOX_URL", default_value = "http://127.0.0.1:7800", global = true)]
    url: String,
    /// Certificates (PEM) to trust for https.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt", global = true)]
    ca: PathBuf,
    /// Access token. Better in the environment or a file: arguments show up in process lists.
    #[arg(long, env = "SIGNALBOX_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// File with the access token; wins over --token. Without either one is minted with the key.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Router and token")]
    signing: Signing,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("url", &self.url).field("signing", &self.signing).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// List all rooms. Needs roomList.
    List,
    /// Show a room. Needs roomAdmin, as all that follows.
    Get {
        /// The room's name.
        room: String,
    },
    /// Create a room. Needs roomCreate.
    Create(Create),
    /// End a room and its sessions. Needs roomCreate or roomAdmin.
    Delete {
        /// The room's name.
        room: String,
    },
    /// Change a room's metadata.
    Update {
        /// The room's name.
        room: String,
        /// Replaces the present metadata.
        #[arg(long)]
        metadata: String,
    },
    /// List the participants of a room, hidden ones included.
    Participants {
        /// The room's name.
        room: String,
    },
    /// Show a participant and its tracks.
    Participant(Whom),
    /// Remove a participant; its client does not come back by itself.
    Remove(Whom),
    /// Mute a track as an admin, which its owner cannot undo.
    Mute(Mute),
    /// Change what a participant may do; what is not named stays.
    Permit(Permit),
    /// Change a participant's name, metadata, attributes.
    Edit(Edit),
    /// Send a message to a room or to some of it.
    Send(Send),
    /// Show in which rooms a user is, of the whole fleet. Needs roomAdmin of all rooms.
    User {
        /// The user's identity.
        identity: String,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Create {
    /// The new room's name.
    name: String,
    /// Its metadata.
    #[arg(long, default_value = "", hide_default_value = true)]
    metadata: String,
    /// Participants at most; the router's default without it.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    participants_max: Option<u32>,
    /// How long it stays when nobody is in it; the router's default without it.
    #[arg(long, value_name = "SECONDS")]
    empty_timeout: Option<u32>,
}

#[derive(Clone, Debug, clap::Args)]
struct Whom {
    /// The room's name.
    room: String,
    /// The participant's identity.
    identity: String,
}

#[derive(Clone, Debug, clap::Args)]
struct Mute {
    #[command(flatten)]
    whom: Whom,
    /// The track's id, as `signalbox rooms participant` shows it.
    track: String,
    /// End the admin's mute instead.
    #[arg(long)]
    off: bool,
}

#[derive(Clone, Debug, clap::Args)]
struct Permit {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    what: Powers,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Powers {
    /// Publish tracks.
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    publish: Option<bool>,
    /// Subscribe to tracks.
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    subscribe: Option<bool>,
    /// Send data.
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    data: Option<bool>,
    /// Change its own name, metadata and attributes.
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    own_metadata: Option<bool>,
    /// Be seen by admins only.
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    hidden: Option<bool>,
    /// Administer the room.
    #[arg(long, value_name = "yes|no", value_parser = parse_yes_no)]
    admin: Option<bool>,
    /// Source that it may publish; may be repeated; replaces the present list.
    #[arg(long = "source", value_parser = SOURCES)]
    sources: Vec<String>,
    /// It may publish every source.
    #[arg(long, conflicts_with = "sources")]
    every_source: bool,
}

const SOURCES: [&str; 5] = ["camera", "microphone", "screen_share", "screen_share_audio", "data"];

#[derive(Clone, Debug, clap::Args)]
struct Edit {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    what: Traits,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Traits {
    /// Display name.
    #[arg(long)]
    name: Option<String>,
    /// Metadata.
    #[arg(long)]
    metadata: Option<String>,
    /// Attribute; may be repeated; an empty value removes it.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
}

#[derive(Clone, Debug, clap::Args)]
struct Send {
    /// The room's name.
    room: String,
    #[command(flatten)]
    what: Payload,
    /// Identity of a recipient; may be repeated; without it the room.
    #[arg(long)]
    to: Vec<String>,
    /// The application's own tag.
    #[arg(long, default_value = "", hide_default_value = true)]
    topic: String,
}

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Payload {
    /// One JSON value.
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// A text, sent as a JSON string.
    #[arg(long)]
    text: Option<String>,
    /// A file, sent as bytes.
    #[arg(long, value_name = "FILE")]
    bytes: Option<PathBuf>,
}

fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let shown = runtime.block_on(answer(args))?;
    super::say(&shown);
    Ok(ExitCode::SUCCESS)
}

/// Carries out the command and says what to print.
async fn answer(args: Args) -> Result<String> {
    let Args { access, json, command } = args;
    let token = channel::token(&access)?;
    let answer = calls::carry_out(&access, token, command).await?;
    if json { show::as_json(&answer) } else { Ok(show::as_text(&answer)) }
}
