//! `signalbox media-check`: whether a media node keeps to the contract.

use std::{net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};

use super::say;
use crate::{
    media_check::{Kept, Options, Report, check},
    media_node::{Tls, tls::endpoint},
};

/// Arguments of `signalbox media-check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox media-check http://127.0.0.1:7900                 a node on this machine
  signalbox media-check https://10.0.0.7:7900 --ca ca.pem --tls-cert router.pem --tls-key router.key --ip 10.0.0.9
  signalbox media-check http://127.0.0.1:7900 --json | jq '.rules[] | select(.result != \"passed\")'

It makes a room of its own with two participants, and ends it. Exit code 1 when a rule is not kept.")]
pub(super) struct Args {
    /// The node's control address.
    #[arg(value_name = "CONTROL_URL")]
    url: String,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Certificates (PEM) to trust for https.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate (PEM) to show, for nodes that ask for one.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The address of this machine that the node can send media to.
    #[arg(long, default_value = "127.0.0.1")]
    ip: IpAddr,
    /// Within which an offer has to be answered.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 150)]
    deadline: u64,
    /// Within which everything else has to happen.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    patience: u64,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let own = args.tls_cert.zip(args.tls_key);
    let own = own.map(|(certificates, key)| Tls { certificates, key, client_ca: None });
    let endpoint = endpoint(&args.url, args.ca.as_deref(), own.as_ref())?;
    let patience = Duration::from_secs(args.patience);
    let options = Options { deadline: Duration::from_millis(args.deadline), patience, ip: args.ip };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let report = runtime.block_on(check(endpoint.connect_timeout(patience), &options))?;
    say(&if args.json { serde_json::to_string_pretty(&report)? } else { text(&report) });
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "rule", "what it asks", "ms", "why not"]);
    for outcome in &report.rules {
        let sign = match outcome.result {
            Kept::Passed => "pass",
            Kept::Failed => "FAIL",
            Kept::NotReached => "-",
        };
        let why = outcome.why.clone().unwrap_or_default();
        table.add_row([sign, outcome.rule, outcome.asks, &outcome.took_ms.to_string(), &why]);
    }
    let passed = report.rules.iter().filter(|outcome| outcome.result == Kept::Passed).count();
    let who = format!("{} ({})", report.node, report.version);
    format!("{table}\n{passed} of {} rules are kept by {who}", report.rules.len())
}
