//! How many files this process may hold open: one a connection.

use std::io;

/// The two limits on open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// The one in force.
    pub soft: u64,
    /// The one up to which this process may raise it.
    pub hard: u64,
}

/// Raises the soft limit on open files to the hard one.
///
/// # Errors
/// When the system tells or takes no limit; the old one then stays in force.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let (soft, hard) = rlimit::Resource::NOFILE.get()?;
    if soft < hard {
        rlimit::Resource::NOFILE.set(hard, hard)?;
    }
    Ok(FileLimit { soft: hard.max(soft), hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one_and_stays_there() {
        let first = raise_file_limit().unwrap();
        assert_eq!(first.soft, first.hard);
        assert_eq!(raise_file_limit().unwrap(), first);
    }
}
