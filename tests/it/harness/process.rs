//! The router as a process of its own, ended by its id when the test is over.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{PATIENCE, eventually, leaks};

/// A running router on free ports of loopback.
pub(crate) struct Router {
    child: Child,
    pub(crate) client: SocketAddr,
    pub(crate) ops: SocketAddr,
    /// Where media nodes register, if they may.
    pub(crate) media: Option<SocketAddr>,
    folder: TempDir,
}

impl Router {
    /// With the well-known key and high limits.
    pub(crate) fn dev() -> Self {
        Self::dev_with(&[])
    }

    /// The same with some keys set otherwise: `("limits.sessions", "1")`. It logs all that it can, so that a secret in
    /// any line is found at its end.
    pub(crate) fn dev_with(settings: &[(&str, &str)]) -> Self {
        Self::dev_in(settings, &[])
    }

    /// The same with some variables of the environment set.
    pub(crate) fn dev_in(settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        Self::start(&["--dev"], settings, environment)
    }

    /// As one that serves people: no `--dev`, and with a key of its own, which happens to be the well-known one.
    pub(crate) fn production() -> Self {
        Self::start(&[], &[("auth.keys.devkey.secret", "secretsecretsecretsecretsecretsecret")], &[])
    }

    /// As one that serves people, by that file and nothing else: the file says whose tokens it accepts.
    pub(crate) fn by_file(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--config"]).arg(file);
        Self::of(command)
    }

    /// The same at an address that was chosen before, which others can be told.
    pub(crate) fn dev_at(client: SocketAddr, settings: &[(&str, &str)]) -> Self {
        Self::launch(&client.to_string(), &["--dev"], settings, &[])
    }

    /// The same of another build, as one that is being replaced.
    pub(crate) fn dev_of(program: &Path, client: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.env("SIGNALBOX_LOG__LEVEL", "trace");
        Self::launch_by(command, &client.to_string(), &["--dev"], settings)
    }

    /// With these flags of `serve`, keys set otherwise, and variables of the environment.
    pub(crate) fn start(flags: &[&str], settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        Self::launch("127.0.0.1:0", flags, settings, environment)
    }

    /// The same, to which it can be said later how large its files may get.
    pub(crate) fn dev_on_a_disk(client: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("sh");
        // what is past the limit is an error then, and no signal
        shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_signalbox")]);
        // its own log is a file as well
        shell.env("SIGNALBOX_LOG__LEVEL", "warn");
        Self::launch_by(shell, &client.to_string(), &["--dev"], settings)
    }

    /// No file of one that is on such a disk grows beyond so many bytes, as if that were full; none: all may, again.
    pub(crate) fn disk_takes(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.child.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={limit}:")]).status().unwrap();
        assert!(set.success(), "prlimit, of util-linux");
    }

    fn launch(client: &str, flags: &[&str], settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command.env("SIGNALBOX_LOG__LEVEL", "trace").envs(environment.iter().copied());
        Self::launch_by(command, client, flags, settings)
    }

    fn launch_by(mut command: Command, client: &str, flags: &[&str], settings: &[(&str, &str)]) -> Self {
        command.args(["serve", "--listen", client, "--ops-listen", "127.0.0.1:0"]).args(flags);
        // with --dev nodes could register at one port of the machine, and two routers at once would want it
        command.env("SIGNALBOX_MEDIA__LISTEN", "127.0.0.1:0");
        // the machine may be busy with other tests: who is to be late sets it
        command.env("SIGNALBOX_SIGNAL__TIMEOUT_MS", "10000");
        for (key, value) in settings {
            command.env(format!("SIGNALBOX_{}", key.replace('.', "__").to_uppercase()), value);
        }
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let folder = TempDir::new().unwrap();
        command.stdout(Stdio::piped()).stderr(File::create(folder.path().join("stderr")).unwrap());
        let mut child = command.spawn().unwrap();
        let line = first_line(&mut child, folder.path());
        let [client, ops, media] = ["client=", "ops=", "media="].map(|name| address(&line, name));
        let (client, ops) = client.zip(ops).unwrap_or_else(|| panic!("no addresses in `{line}`"));
        Self { child, client, ops, media, folder }
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// How much less important than others a thread of that name is to the scheduler; absent: there is none.
    pub(crate) fn nice(&self, thread: &str) -> Option<i32> {
        let mut stats = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().filter_map(|task| {
            // it may have ended meanwhile
            std::fs::read_to_string(task.ok()?.path().join("stat")).ok()
        });
        // proc(5): the name in parentheses is the second field, nice the nineteenth
        let named = |stat: String| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            (name == thread).then(|| rest.split_whitespace().nth(16)?.parse().ok())?
        };
        stats.find_map(named)
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.send_signal("TERM");
    }

    /// Sends a signal of that name.
    pub(crate) fn send_signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the router's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Router {
    /// Ends it: at once, but so that it writes the lines that still wait; by force when it does not.
    fn hurry(&mut self) {
        let pid = self.child.id().to_string();
        let since = Instant::now();
        // the second signal cuts the drain short
        while since.elapsed() < Duration::from_secs(5) {
            if self.child.try_wait().ok().flatten().is_some() {
                return;
            }
            Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().ok();
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.hurry();
        let log = self.stderr();
        if thread::panicking() {
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "--- the router's standard error, its end\n{}",
                lines[lines.len().saturating_sub(200)..].join("\n")
            );
            return;
        }
        let leaks = leaks(&log);
        assert!(leaks.is_empty(), "secrets in {} lines of the router's log: {}", leaks.len(), leaks[0]);
    }
}

/// Reads the first line, `listening client=… ops=…`; what follows is read and dropped.
fn first_line(child: &mut Child, folder: &Path) -> String {
    let (say, hear) = mpsc::channel();
    let stdout = child.stdout.take().unwrap();
    thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
    hear.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        child.kill().ok();
        panic!("it did not start: {}", std::fs::read_to_string(folder.join("stderr")).unwrap())
    })
}

/// The address of that name in it.
fn address(line: &str, name: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(name)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// A media node of ours on free ports of loopback.
pub(crate) struct MediaNode {
    child: Child,
    pub(crate) control: SocketAddr,
    folder: TempDir,
}

impl MediaNode {
    /// With these arguments of `signalbox media-node`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command.args(["media-node", "--control", "127.0.0.1:0", "--udp", "127.0.0.1:0"]).args(arguments);
        command.stdout(Stdio::piped()).stderr(File::create(folder.path().join("stderr")).unwrap());
        let mut child = command.spawn().unwrap();
        let line = first_line(&mut child, folder.path());
        let control = address(&line, "control=").unwrap_or_else(|| panic!("no address in `{line}`"));
        assert!(line.contains(" udp=127.0.0.1:"), "{line}");
        Self { child, control, folder }
    }

    /// Of that id, registered at that router.
    pub(crate) fn of(router: &Router, id: &str) -> Self {
        let registry = router.media.expect("a router with media.listen");
        Self::start(&["--id", id, "--region", "default", "--router", &format!("http://{registry}")])
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        send_signal(&self.child, "TERM");
    }

    /// How it ended; absent: it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for MediaNode {
    fn drop(&mut self) {
        self.kill();
        let log = self.stderr();
        if thread::panicking() {
            eprintln!("--- the media node's standard error\n{log}");
            return;
        }
        let leaks = leaks(&log);
        assert!(leaks.is_empty(), "secrets in {} lines of the media node's log: {}", leaks.len(), leaks[0]);
    }
}

/// Sends a signal of that name.
fn send_signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Runs the binary with `arguments` and without any SIGNALBOX_ variable until it ends: exit code, standard output
/// and standard error.
pub(crate) fn run_to_end(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGNALBOX_")) {
        command.env_remove(name);
    }
    // into files: a pipe holds 64 KiB, and whoever writes more waits for somebody to read
    let [stdout, stderr] = [(); 2].map(|()| tempfile::tempfile().unwrap());
    let [into_stdout, into_stderr] = [&stdout, &stderr].map(|file| file.try_clone().unwrap());
    let mut child = command.args(arguments).stdout(into_stdout).stderr(into_stderr).spawn().unwrap();
    let since = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if since.elapsed() > PATIENCE {
            child.kill().ok();
            child.wait().ok();
            panic!("`signalbox {}` does not end", arguments.join(" "));
        }
        thread::sleep(std::time::Duration::from_millis(10));
    };
    let text = |mut file: File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
