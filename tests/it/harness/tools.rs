//! Where `.ci/setup test` puts the tools that no package has, and whether Go is there to build some of them.

use std::{path::PathBuf, process::Command};

/// A file of the cache of tools: below `CACHE`, or where the Makefile has it by default.
pub(crate) fn cached(path: &str) -> PathBuf {
    let tools = std::env::var_os("CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        cache.unwrap_or_default().join("signalbox/tools")
    });
    tools.join(path)
}

/// A program of Prometheus 3. Absent where it was never built because there is no Go that could; where there is, it
/// must be there.
pub(crate) fn prometheus_3(program: &str) -> Option<PathBuf> {
    let path = cached("prometheus-3/bin").join(program);
    if path.exists() {
        return Some(path);
    }
    assert!(!has_go(), "{} is missing: run `make test`, or `.ci/setup test` with CACHE set", path.display());
    None
}

/// 1.21 is the first that fetches the Go that a program asks for.
fn has_go() -> bool {
    let Ok(said) = Command::new("go").args(["env", "GOVERSION"]).output() else { return false };
    let version = String::from_utf8_lossy(&said.stdout).into_owned();
    let minor = version.strip_prefix("go1.").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 21)
}
