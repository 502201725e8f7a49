//! `signalbox token`: mints an access token, as an application's token server would.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};

use crate::auth::{DEV_KEY, DEV_SECRET, TokenClaims, VideoGrants, mint};

const EXAMPLES: &str = "Examples:
  A token for alice in room r1, by the key of `serve --dev`:
    signalbox token --room r1 --identity alice

  A listener who is not seen, for a quarter of an hour:
    signalbox token --room r1 --identity recorder --no-publish --hidden --ttl 15m

  A back end's token for the admin API, by a key of your own:
    SIGNALBOX_KEY=app SIGNALBOX_SECRET=… signalbox token --admin --create --list

A key file holds `key: secret`, or JSON: {\"key\": \"…\", \"secret\": \"…\"}.";

/// Arguments of `signalbox token`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Room that the token is for. Without it the token cannot join.
    #[arg(long)]
    room: Option<String>,
    /// Who it is for; needed to join.
    #[arg(long)]
    identity: Option<String>,
    /// How long it is valid: 30s, 15m, 1h, 7d.
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: Duration,
    /// Print the claims too, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    signing: Signing,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    grants: Grants,
}

/// What signs it.
#[derive(clap::Args)]
struct Signing {
    /// API key.
    #[arg(long, env = "SIGNALBOX_KEY")]
    key: Option<String>,
    /// Its secret. Better in the environment or a file: arguments show up in process lists.
    #[arg(long, env = "SIGNALBOX_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// File with both; wins over --key, --secret and the environment.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signing").field("key", &self.key).field("key_file", &self.key_file).finish_non_exhaustive()
    }
}

/// What it says about the participant.
#[derive(Debug, clap::Args)]
struct About {
    /// Display name.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Participant metadata.
    #[arg(long, default_value = "", hide_default_value = true)]
    metadata: String,
    /// Participant attribute; may be repeated.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
}

/// What it allows besides joining.
#[derive(Debug, clap::Args)]
struct Grants {
    /// May not publish tracks.
    #[arg(long)]
    no_publish: bool,
    /// May not subscribe.
    #[arg(long)]
    no_subscribe: bool,
    /// May not send data.
    #[arg(long)]
    no_data: bool,
    /// Source that it may publish; may be repeated; without it every source.
    #[arg(long = "source", value_parser = ["camera", "microphone", "screen_share", "screen_share_audio", "data"])]
    sources: Vec<String>,
    /// Is seen by admins only.
    #[arg(long)]
    hidden: bool,
    /// May administer the room (without --room: every room).
    #[arg(long)]
    admin: bool,
    /// May create rooms.
    #[arg(long)]
    create: bool,
    /// May list rooms.
    #[arg(long)]
    list: bool,
    /// May change its own name, metadata and attributes.
    #[arg(long)]
    update_own_metadata: bool,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let now = crate::io::clock::unix_ms() / 1000;
    let claims = claims(&args, now)?;
    let (key, secret) = signing_key(&args.signing)?;
    let token = mint(&key, &secret, &claims)?;
    if args.json {
        let shown = serde_json::json!({"token": token, "key": key, "claims": claims});
        super::say(&serde_json::to_string_pretty(&shown)?);
    } else {
        super::say(&token);
    }
    Ok(ExitCode::SUCCESS)
}

/// The claims that the arguments ask for, at that Unix second.
fn claims(args: &Args, now: u64) -> Result<TokenClaims> {
    let Args { room, identity, ttl, about, grants, .. } = args;
    if let (Some(room), None) = (room, identity)
        && !grants.admin
    {
        bail!("--identity is needed for a token that joins room {room:?} (or --admin for one that administers it)");
    }
    if room.is_none() && !(grants.admin || grants.create || grants.list) {
        bail!("this token would allow nothing: give --room and --identity, or --admin, --create, --list");
    }
    let yes = |flag: bool| flag.then_some(true);
    let no = |flag: bool| flag.then_some(false);
    Ok(TokenClaims {
        identity: identity.clone().unwrap_or_default(),
        expires_at: Some(now.saturating_add(ttl.as_secs())),
        not_before: None,
        name: about.name.clone(),
        metadata: about.metadata.clone(),
        attributes: about.attributes.iter().cloned().collect(),
        grants: VideoGrants {
            room_join: yes(room.is_some() && identity.is_some()),
            room: room.clone(),
            room_admin: yes(grants.admin),
            room_create: yes(grants.create),
            room_list: yes(grants.list),
            can_publish: no(grants.no_publish),
            can_subscribe: no(grants.no_subscribe),
            can_publish_data: no(grants.no_data),
            can_publish_sources: (!grants.sources.is_empty()).then(|| grants.sources.clone()),
            can_update_own_metadata: yes(grants.update_own_metadata),
            hidden: yes(grants.hidden),
        },
    })
}

/// The key and secret of the file, the flags or the environment, else the well-known ones.
fn signing_key(signing: &Signing) -> Result<(String, String)> {
    if let Some(path) = &signing.key_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("key file {}", path.display()))?;
        return parse_key_file(&text).with_context(|| format!("key file {}", path.display()));
    }
    match (&signing.key, &signing.secret) {
        (Some(key), Some(secret)) => Ok((key.clone(), secret.clone())),
        (Some(_), None) => bail!("a key needs its secret: --secret, SIGNALBOX_SECRET or --key-file"),
        (None, Some(_)) => bail!("a secret needs its key: --key, SIGNALBOX_KEY or --key-file"),
        (None, None) => {
            let line = format!("signed with the well-known key `{DEV_KEY}`: only `signalbox serve --dev` accepts it");
            super::complain(&line);
            Ok((DEV_KEY.to_owned(), DEV_SECRET.to_owned()))
        }
    }
}

/// `key: secret` in its first line that says something, or `{"key": …, "secret": …}`.
fn parse_key_file(text: &str) -> Result<(String, String)> {
    #[derive(serde::Deserialize)]
    struct KeyFile {
        key: String,
        secret: String,
    }
    if text.trim_start().starts_with('{') {
        // the reader's own words could repeat the secret
        let file: KeyFile = serde_json::from_str(text)
            .map_err(|e| anyhow::anyhow!("not JSON with `key` and `secret` (line {})", e.line()))?;
        return Ok((file.key, file.secret));
    }
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    match line.and_then(|line| line.split_once(':')).map(|(key, secret)| (key.trim(), secret.trim())) {
        Some((key, secret)) if !key.is_empty() && !secret.is_empty() => Ok((key.to_owned(), secret.to_owned())),
        _ => bail!("neither `key: secret` nor JSON with `key` and `secret`"),
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    let allowed = "allowed: a whole number above 0 and s, m, h or d, as in 15m";
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds_each = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(allowed.to_owned()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds_each)).filter(|n| *n > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| allowed.to_owned())
}

fn parse_attribute(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests;
