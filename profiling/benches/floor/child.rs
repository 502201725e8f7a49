//! A server as a process of its own, ended with its guard.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    /// Where clients connect.
    pub(crate) client: SocketAddr,
    /// Where it is operated, if it is.
    pub(crate) ops: Option<SocketAddr>,
}

impl Server {
    /// Starts it and waits for its line `listening client=<address> ops=<address>`.
    pub(crate) fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut process = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = process.stdout.take().context("a piped output is there")?;
        // its guard ends the process should the line never come
        let mut server = Self { process, client: SocketAddr::from(([127, 0, 0, 1], 0)), ops: None };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening client=").and_then(|rest| rest.split([' ', ',']).next());
        let Some(address) = address else { bail!("{} did not say where it listens: {line:?}", program.display()) };
        server.client = address.parse()?;
        server.ops = line.split_once("ops=").and_then(|(_, ops)| ops.trim().parse().ok());
        Ok(server)
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn end(mut self) -> Result<()> {
        let id = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().context("cannot run kill")?;
        self.process.wait().context("cannot wait for it")?;
        Ok(())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it has nothing to save
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
