//! `signalbox variant promote` and `rollback`: the file is judged, replaced as a whole, and followed until it is in force.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::{
    EXIT_USAGE, PATIENCE, Target, complain,
    edit::{Edited, Wish, edit},
    say, show, shown,
};
use crate::{
    config::{self, Sources, columns},
    gray::Percent,
    io::ops::ShownVariants,
    ops_client::{OpsClient, OpsError},
};

/// Between two looks at what the router runs with.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a router says of the configuration that it runs with; of it, what is asked for here.
#[derive(Debug, Deserialize)]
struct Running {
    generation: u64,
    refused: bool,
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    key: String,
    value: Value,
}

pub(super) async fn run(target: &Target, wish: Wish) -> Result<ExitCode> {
    let path = resolved(&target.config)?;
    let before = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let edited = match edit(&before, &target.name, target.rule.as_deref(), wish) {
        Ok(edited) => edited,
        Err(why) => {
            complain(&format!("{}: {why}", target.config.display()));
            return Ok(ExitCode::from(EXIT_USAGE));
        }
    };
    let Edited { rule, from, to, text } = &edited;
    if *text == before {
        say(&format!("{rule} -> {}: {to} % already", target.name));
        return Ok(ExitCode::SUCCESS);
    }
    let router = target.right.client(target.router.as_deref())?;
    if let Some(refused) = refused(router.as_ref(), &target.config, text).await? {
        complain(&format!("nothing was changed: {refused}"));
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    let was = match &router {
        Some(router) => Some((running(router).await?.generation, shown(router, &[]).await?)),
        None => None,
    };
    replace(&path, &before, text)?;
    say(&format!("{rule} -> {}: {from} % -> {to} % in {}", target.name, target.config.display()));
    if let (Some(router), Some((generation, was))) = (router, was) {
        follow(&router, target, &edited, generation, &was).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a name leads to: a link stays a link.
fn resolved(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Why the new text would not do, by the router that is to follow it, else by this program.
async fn refused(router: Option<&OpsClient>, file: &Path, text: &str) -> Result<Option<String>> {
    let Some(router) = router else {
        let judged = config::load_text(&Sources::of_process(Some(file.to_owned())), text);
        return Ok(judged.err().map(|mistakes| mistakes.to_string()));
    };
    let answer = match router.post_text("/api/config/check", text, PATIENCE).await {
        Ok(answer) => answer,
        Err(OpsError::Refused { status: 422, told, .. }) => return Ok(Some(format!("the router says: {told}"))),
        Err(other) => return Err(other.into()),
    };
    let judged: Value = serde_json::from_slice(&answer).context("the router's judgement cannot be read")?;
    match judged["verdict"].as_str() {
        Some("applicable") => Ok(None),
        Some("unchanged") => {
            bail!(
                "the router says that it runs with this share already, and the file says another one; where rules of its fleet \
                 lie over the file (`signalbox fleet rules show`), change it there"
            )
        }
        _ => {
            let fixed = judged["changes"].as_array().into_iter().flatten().filter(|change| change["live"] == false);
            let fixed: Vec<_> = fixed.filter_map(|change| change["key"].as_str()).collect();
            Ok(Some(format!("the file also changes what needs a restart: {}", fixed.join(", "))))
        }
    }
}

/// In one step, and not over what somebody else wrote meanwhile.
fn replace(path: &Path, before: &str, text: &str) -> Result<()> {
    let folder = path.parent().context("the file is in no folder")?;
    let name = path.file_name().context("the file has no name")?.to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create_new(&beside)?;
        file.set_permissions(fs::metadata(path)?.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if fs::read_to_string(path)? != before {
            return Err(std::io::Error::other("somebody else has changed it meanwhile"));
        }
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // there may be none
        fs::remove_file(&beside).ok();
    }
    written.with_context(|| format!("cannot replace {}", path.display()))
}

async fn running(router: &OpsClient) -> Result<Running> {
    let answer = router.get("/api/config", &[], PATIENCE).await?;
    serde_json::from_slice(&answer).context("what the router runs with cannot be read")
}

/// Waits until the router runs with it, then for who comes, and tells both.
async fn follow(
    router: &OpsClient,
    target: &Target,
    edited: &Edited,
    generation: u64,
    was: &ShownVariants,
) -> Result<()> {
    let begun = Instant::now();
    let now = loop {
        let now = running(router).await?;
        if now.generation > generation && now.share(&edited.rule) == Some(edited.to) {
            break now.generation;
        }
        if begun.elapsed() > PATIENCE {
            let why = if now.refused { "it refused the file" } else { "it did not take the file up" };
            let file = target.config.display();
            bail!("{}: {why} within {} s. Does it run with {file}?", router.address(), PATIENCE.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let took = begun.elapsed().as_secs_f64();
    say(&format!("in force at {} after {took:.1} s: generation {now}, before {generation}", router.address()));
    tokio::time::sleep(Duration::from_secs(target.observe)).await;
    say(&compared(was, &shown(router, &[]).await?, edited, &target.name));
    Ok(())
}

impl Running {
    /// The share of a rule.
    fn share(&self, rule: &str) -> Option<Percent> {
        let named = self.keys.iter().find(|key| {
            key.key.starts_with("variants.rules") && key.key.ends_with(".name") && key.value.as_str() == Some(rule)
        })?;
        let percent = format!("{}.percent", named.key.strip_suffix(".name")?);
        Percent::new(self.keys.iter().find(|key| key.key == percent)?.value.as_f64()?)
    }
}

/// The rule and its variant, before and after.
fn compared(was: &ShownVariants, is: &ShownVariants, edited: &Edited, variant: &str) -> String {
    let mut table = columns(["SHARE", "WANTED", "GOT", "OF", "SESSIONS", "P99 1M", "ERRORS 1M"]);
    for (when, shown, wanted) in [("before", was, edited.from), ("after", is, edited.to)] {
        let rule = shown.rules.iter().map(|rule| &rule.done).find(|done| done.rule == edited.rule);
        let row = shown.variants.iter().find(|row| row.variant == variant);
        table.add_row([
            when.to_owned(),
            format!("{wanted} %"),
            show::percent(rule.and_then(|rule| rule.got_percent)),
            rule.map_or(0, |rule| rule.asked).to_string(),
            row.map_or(0, |row| row.sessions).to_string(),
            show::millis(row.and_then(|row| row.p99_ms)),
            show::percent(row.map(|row| row.errors_percent)),
        ]);
    }
    show::lines(&table)
}
