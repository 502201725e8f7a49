//! What identifies a version of a file, so that a change is seen without reading it.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where a file's path leads, and what is there. A ConfigMap's swap of symlinks changes the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    resolved: PathBuf,
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

/// Absent: there is no such file now.
pub(super) fn version(path: &Path) -> Option<Version> {
    let resolved = path.canonicalize().ok()?;
    let metadata = resolved.metadata().ok()?;
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Some(Version { resolved, inode: metadata.ino(), modified, bytes: metadata.len() })
}
