//! Programs of others that the tests use: `make test` puts them into a cache outside the checkout.

use std::path::PathBuf;

/// A tool by its path in the cache; `CACHE` says where that is, as for `make`.
#[track_caller]
pub(crate) fn tool(path: &str) -> PathBuf {
    let cache = std::env::var_os("CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let of_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
        cache.or_else(of_home).expect("a home").join("signalbox/tools")
    });
    let tool = cache.join(path);
    assert!(tool.exists(), "{} is missing: run `make test`, or `.ci/setup test` with CACHE set", tool.display());
    tool
}
