//! Where the repository is, and the tools: those of packages, and those that `.ci/setup test` puts where no package has
//! them, and whether Go is there to build some of them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A place by its path from the root of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Debian's promtool, and that of a Prometheus 3 where there is one.
pub(crate) fn promtools() -> Vec<PathBuf> {
    ["promtool".into()].into_iter().chain(prometheus_3("promtool")).collect()
}

/// A tool by its path in the cache; `CACHE` says where that is, as for `make`.
#[track_caller]
pub(crate) fn tool(path: &str) -> PathBuf {
    let tool = cached(path);
    assert!(tool.exists(), "{} is missing: run `make test`, or `.ci/setup test` with CACHE set", tool.display());
    tool
}

/// A program of Prometheus 3.
#[track_caller]
pub(crate) fn prometheus_3(program: &str) -> Option<PathBuf> {
    built_by_go(&format!("prometheus-3/bin/{program}"))
}

/// A program by its path in the cache. Absent where it was never built because there is no Go that could; where there is, it
/// must be there.
#[track_caller]
pub(crate) fn built_by_go(path: &str) -> Option<PathBuf> {
    (has_go() || cached(path).exists()).then(|| tool(path))
}

fn cached(path: &str) -> PathBuf {
    let tools = std::env::var_os("CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let of_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        cache.or_else(of_home).expect("a home").join("signalbox/tools")
    });
    tools.join(path)
}

/// 1.21 is the first that fetches the Go that a program asks for.
fn has_go() -> bool {
    let Ok(said) = Command::new("go").args(["env", "GOVERSION"]).output() else { return false };
    let version = String::from_utf8_lossy(&said.stdout).into_owned();
    let minor = version.strip_prefix("go1.").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 21)
}
