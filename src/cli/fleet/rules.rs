//! `signalbox fleet rules`: the rules that a whole fleet follows, read and written through any one of its routers.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{
    EXIT_USAGE, complain,
    nodes::{PATIENCE, asked},
    profile::show::{printed, table},
    say,
};
use crate::{
    config::columns,
    directory::{RULES_BYTES_MAX, RulesStanding},
    ops_client::{OpsClient, OpsError},
};

const EXAMPLES: &str = "Examples:
  The rules and the routers that follow them; the text goes to standard output, all else to standard error:
    signalbox fleet rules show > rules.toml

  Whether a router would take them up; then for the whole fleet, over the revision that was shown:
    signalbox fleet rules check rules.toml
    signalbox fleet rules set rules.toml --revision 12

  None any more: each router runs by its file:
    signalbox fleet rules clear --revision 15

Allowed are the keys of guard.*, variants.* and placement.*. They win over each router's file; its environment and flags win over them.
Exit code 1 when a router refused or could not be reached, or not all have it in force; 64 when the command line or the rules are wrong.";

const PATH: &str = "/api/fleet/rules";
/// Between two looks at who has it in force.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `signalbox fleet rules`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What stands there, and which routers have it in force.
    Show,
    /// Whether the router that is asked would take a text up, and what that would change. Nothing is written.
    Check {
        /// The rules (TOML).
        file: PathBuf,
    },
    /// Write rules, and wait until all routers have them in force.
    Set {
        /// The rules (TOML).
        file: PathBuf,
        #[command(flatten)]
        over: Over,
    },
    /// Take the rules away, and wait until all routers run by their files.
    Clear {
        #[command(flatten)]
        over: Over,
    },
}

/// Over what, and how long to wait for all routers.
#[derive(Debug, clap::Args)]
struct Over {
    /// The revision that `show` told: what somebody else wrote since then is not written over. 0: nothing stands there.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    revision: i64,
    /// How long to wait for all routers, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=600))]
    wait: u64,
}

/// What a router tells of them.
#[derive(Debug, Deserialize)]
struct Told {
    revision: i64,
    text: Option<String>,
    unreadable: Option<String>,
    routers: Vec<Router>,
}

#[derive(Clone, Debug, Deserialize)]
struct Router {
    id: String,
    region: String,
    version: String,
    rules: Option<RulesStanding>,
}

/// What a router made of what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InForce,
    Refused,
    NotYet,
    /// Its version does not follow rules.
    Silent,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Refused => "refused",
            Self::NotYet => "not yet",
            Self::Silent => "does not say",
        }
    }
}

/// What was written: rules of that revision, or that there are none.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    revision: i64,
    gone: bool,
}

impl Wanted {
    /// Later rules of somebody else count: they were judged after these.
    fn of(self, router: &Router) -> State {
        let Some(rules) = router.rules else { return State::Silent };
        let judged = rules.judged >= self.revision || self.gone && rules.judged == 0;
        match judged {
            // nothing stood there before either: what it runs by is what is wanted
            _ if self.gone && rules.revision == 0 && !rules.refused => State::InForce,
            true if rules.refused => State::Refused,
            true => State::InForce,
            false => State::NotYet,
        }
    }
}

pub(in crate::cli) async fn run(args: &Args, client: &OpsClient, json: bool) -> Result<ExitCode> {
    match &args.command {
        Command::Show => show(client, json).await,
        Command::Check { file } => check(client, &text_of(file)?, json).await,
        Command::Set { file, over } => write(client, Some(text_of(file)?), over, json).await,
        Command::Clear { over } => write(client, None, over, json).await,
    }
}

/// Longer ones are refused before they are sent.
fn text_of(file: &Path) -> Result<String> {
    let unreadable = || format!("cannot read {}", file.display());
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(unreadable)?;
    opened.take(RULES_BYTES_MAX as u64 + 1).read_to_string(&mut text).with_context(unreadable)?;
    if text.len() > RULES_BYTES_MAX {
        bail!("{}: more than {RULES_BYTES_MAX} bytes, which no rules may have", file.display());
    }
    Ok(text)
}

async fn told(client: &OpsClient) -> Result<Told> {
    serde_json::from_value(asked(client, PATH, &[]).await?).context("the router's answer cannot be read")
}

async fn show(client: &OpsClient, json: bool) -> Result<ExitCode> {
    if json {
        say(&serde_json::to_string_pretty(&asked(client, PATH, &[]).await?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let told = told(client).await?;
    match (&told.text, &told.unreadable) {
        (Some(text), _) => say(text.trim_end()),
        (None, Some(why)) => complain(&format!("what stands there cannot be read: {why}")),
        (None, None) => complain("there are no rules; each router runs by its file"),
    }
    let wanted = Wanted { revision: told.revision, gone: told.revision == 0 };
    complain(&format!("revision {}\n{}", told.revision, as_table(&told.routers, wanted)));
    Ok(ExitCode::SUCCESS)
}

async fn check(client: &OpsClient, text: &str, json: bool) -> Result<ExitCode> {
    let answer = match client.post_text(&format!("{PATH}/check"), text, PATIENCE).await {
        Ok(answer) => answer,
        Err(refused) => return mistaken(refused, json),
    };
    let judged: Value = serde_json::from_slice(&answer).context("the router's judgement cannot be read")?;
    say(&if json { serde_json::to_string_pretty(&judged)? } else { changes(&judged) });
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the rules, all of it; any other refusal as it is.
fn mistaken(refused: OpsError, json: bool) -> Result<ExitCode> {
    let OpsError::Refused { status: 422, body, .. } = &refused else { return Err(refused.into()) };
    let told: Value = serde_json::from_slice(body).context("the router's judgement cannot be read")?;
    if json {
        say(&serde_json::to_string_pretty(&told)?);
    } else {
        complain(&format!("nothing was written: the router would refuse these rules\n{}", mistakes(&told)));
    }
    Ok(ExitCode::from(EXIT_USAGE))
}

async fn write(client: &OpsClient, text: Option<String>, over: &Over, json: bool) -> Result<ExitCode> {
    let gone = text.is_none();
    let written = match client.replace_text(PATH, text, over.revision, PATIENCE).await {
        Ok(written) => written,
        Err(lost @ (OpsError::Unreachable { .. } | OpsError::Unread { .. })) => {
            let unknown = "whether it was written is not known: `signalbox fleet rules show` tells; then try again";
            return Err(anyhow::Error::new(lost).context(unknown));
        }
        Err(refused) => return mistaken(refused, json),
    };
    let written: Value = serde_json::from_slice(&written).context("the router's answer cannot be read")?;
    let revision = written["revision"].as_i64().context("the router's answer has no revision")?;
    let done = if gone { "the rules are gone" } else { "rules written" };
    complain(&format!("{done}: revision {revision}, before {}\n{}", over.revision, changes(&written)));
    let wanted = Wanted { revision, gone };
    let routers = wait(client, wanted, Duration::from_secs(over.wait)).await?;
    let states: BTreeMap<&str, &str> =
        routers.iter().map(|router| (router.id.as_str(), wanted.of(router).name())).collect();
    say(&match json {
        true => serde_json::to_string_pretty(&json!({ "revision": revision, "routers": states }))?,
        false => as_table(&routers, wanted),
    });
    Ok(verdict(&routers, wanted, over.wait))
}

/// The routers, once each of them has it in force or says why not; or as they are when the time is over.
async fn wait(client: &OpsClient, wanted: Wanted, longest: Duration) -> Result<Vec<Router>> {
    let (begun, mut before) = (Instant::now(), None);
    loop {
        let routers = told(client).await.context("it was written, but who has it in force is not known")?.routers;
        let states: Vec<_> = routers.iter().map(|router| wanted.of(router)).collect();
        let in_force = states.iter().filter(|state| **state == State::InForce).count();
        if before.replace((in_force, states.len())) != Some((in_force, states.len())) {
            complain(&format!("in force on {in_force} of {} routers", states.len()));
        }
        // this router itself may not have heard of it yet
        if !states.is_empty() && !states.contains(&State::NotYet) || begun.elapsed() >= longest {
            return Ok(routers);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Says who does not have it in force, whose fault that is and what to do.
fn verdict(routers: &[Router], wanted: Wanted, waited: u64) -> ExitCode {
    let of = |state: State| {
        let named = routers.iter().filter(|router| wanted.of(router) == state).map(|router| router.id.as_str());
        Some(named.collect::<Vec<_>>().join(", ")).filter(|named| !named.is_empty())
    };
    let told = [
        of(State::Refused).map(|named| {
            format!(
                "refused by {named}, which go on by what they had: their logs say why (`rules of the fleet refused`). The rules do not \
                 fit their files, or their version does not know a key; nothing to be tried again until one of them changes"
            )
        }),
        of(State::NotYet).map(|named| {
            format!(
                "not in force on {named} after {waited} s: cut off from etcd, or busy (SignalboxDirectoryLost). They take it up once \
                 they hear of it; look again with `signalbox fleet rules show`"
            )
        }),
        of(State::Silent).map(|named| format!("{named} run a version that follows no rules of the fleet: upgrade them")),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    told.iter().for_each(|line| complain(line));
    if told.is_empty() && !routers.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_table(routers: &[Router], wanted: Wanted) -> String {
    let mut table = table(["IN FORCE", "ROUTER", "REGION", "VERSION", "STATE"], 1);
    for router in routers {
        table.add_row([
            router.rules.map_or_else(|| "-".to_owned(), |rules| rules.revision.to_string()),
            router.id.clone(),
            router.region.clone(),
            router.version.clone(),
            wanted.of(router).name().to_owned(),
        ]);
    }
    printed(&table)
}

fn changes(judged: &Value) -> String {
    let all = judged["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "of what the router that was asked runs by, nothing changes".to_owned();
    }
    let mut table = columns(["KEY", "RUNS", "BY THESE RULES"]);
    for change in all {
        table.add_row(["key", "from", "to"].map(|part| change[part].as_str().unwrap_or_default()));
    }
    table.trim_fmt()
}

fn mistakes(told: &Value) -> String {
    let rows = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    let mut table = columns(["KEY", "VALUE", "SOURCE", "PROBLEM"]);
    for mistake in rows("mistakes") {
        table.add_row(["key", "value", "source", "problem"].map(|part| mistake[part].as_str().unwrap_or_default()));
    }
    for change in rows("changes").iter().filter(|change| change["live"] == false) {
        let word = |part: &str| change[part].as_str().unwrap_or_default();
        table.add_row([word("key"), word("to"), "", "needs a restart"]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(id: &str, rules: Option<(i64, i64, bool)>) -> Router {
        let rules = rules.map(|(revision, judged, refused)| RulesStanding { revision, judged, refused });
        Router { id: id.to_owned(), region: "sh".to_owned(), version: "0.1.0".to_owned(), rules }
    }

    #[test]
    fn a_router_has_rules_in_force_once_it_has_judged_them_and_not_refused() {
        let wanted = Wanted { revision: 12, gone: false };
        let state = |rules| wanted.of(&router("r", rules));
        assert_eq!(state(None), State::Silent);
        assert_eq!(state(Some((0, 0, false))), State::NotYet);
        assert_eq!(state(Some((9, 11, true))), State::NotYet, "those before were refused, these not judged yet");
        assert_eq!(state(Some((9, 12, true))), State::Refused);
        assert_eq!(state(Some((12, 12, false))), State::InForce);
        assert_eq!(state(Some((15, 15, false))), State::InForce, "somebody wrote over them");
    }

    #[test]
    fn rules_are_gone_where_none_run_and_where_that_is_refused_it_is_said() {
        let wanted = Wanted { revision: 12, gone: true };
        let state = |rules| wanted.of(&router("r", Some(rules)));
        assert_eq!(state((9, 9, false)), State::NotYet);
        assert_eq!(state((9, 11, true)), State::NotYet);
        assert_eq!(state((0, 0, false)), State::InForce);
        assert_eq!(state((9, 0, true)), State::Refused);
        assert_eq!(state((14, 14, false)), State::InForce, "somebody wrote others");
    }

    #[test]
    fn all_routers_are_rows_and_all_mistakes_are_told() {
        let wanted = Wanted { revision: 12, gone: false };
        let shown = as_table(&[router("r1", Some((12, 12, false))), router("r2", None)], wanted);
        let rows: Vec<Vec<_>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["12", "r1", "sh", "0.1.0", "in", "force"], "{shown}");
        assert_eq!(rows[2], ["-", "r2", "sh", "0.1.0", "does", "not", "say"], "{shown}");
        let told = mistakes(&json!({
            "mistakes": [{ "key": "auth.keys", "value": "<hidden>", "source": "etcd rules, proposed", "problem": "not so" }],
            "changes": [
                { "key": "resume.secret", "from": "<hidden>", "to": "<hidden>", "live": false },
                { "key": "guard.enabled", "from": "true", "to": "false", "live": true },
            ],
        }));
        assert!(told.contains("auth.keys") && told.contains("not so"), "{told}");
        assert!(
            told.contains("resume.secret") && told.contains("needs a restart") && !told.contains("guard"),
            "{told}"
        );
    }

    #[test]
    fn only_when_all_have_it_in_force_is_it_done() {
        let wanted = Wanted { revision: 12, gone: false };
        let of = |routers: &[Router]| format!("{:?}", verdict(routers, wanted, 10));
        let (done, not) = (format!("{:?}", ExitCode::SUCCESS), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(of(&[router("r1", Some((12, 12, false)))]), done);
        for other in [None, Some((9, 12, true)), Some((9, 9, false))] {
            assert_eq!(of(&[router("r1", Some((12, 12, false))), router("r2", other)]), not);
        }
        assert_eq!(of(&[]), not);
    }
}
