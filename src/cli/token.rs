//! `signalbox token`.

use std::process::ExitCode;

use anyhow::Result;

/// Arguments of `signalbox token`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    anyhow::bail!("not built yet")
}
