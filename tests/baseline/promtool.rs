//! Rule files in promtool, of each Prometheus that is here: Debian's, and a 3.

use std::{path::Path, process::Command};

/// Runs a test file of promtool.
#[track_caller]
pub(crate) fn passes(promtool: &Path, test: &Path) {
    let told = Command::new(promtool).args(["test", "rules"]).arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{} {}: {said}", promtool.display(), test.display());
}
