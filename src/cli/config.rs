//! `signalbox config`.

use std::process::ExitCode;

use anyhow::Result;

/// Arguments of `signalbox config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: Args) -> Result<ExitCode> {
    anyhow::bail!("not built yet")
}
