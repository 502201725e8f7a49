//! A process that must be there from its first moment with another environment: it executes itself anew.

use std::{env, os::unix::process::CommandExt as _, process::Command};

use super::sampler::{FORCED, Refused};

/// Executes this program anew, in this same process and with the same arguments, where the default sampler's library
/// must find something in the environment when it starts, and does not. To be called before anything is read that can be
/// read once only, and before there are threads: to set it from within would not be safe once there are.
///
/// # Errors
/// Why this program cannot be executed anew, and what to do about it.
pub fn with_environment() -> Result<(), Refused> {
    if env::var_os(FORCED).is_some() {
        return Ok(());
    }
    let program = env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut arguments = env::args_os();
    let own_name = arguments.next().unwrap_or_default();
    let error = Command::new(program).arg0(own_name).args(arguments).env(FORCED, "1").exec();
    Err(Refused(format!(
        "cannot execute this program anew with {FORCED} in its environment ({error}): set {FORCED}=1 before starting it"
    )))
}
