//! How what Redis says instead of an answer reads. Nothing of what was sent is told.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::settings::Address;
use crate::{
    event::FabricOutcome,
    fabric::Fault,
    io::dialing::{causes, line},
};

/// A chain of causes in one line.
const WHY_CHARS_MAX: usize = 240;

/// What came instead of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The keys are elsewhere, from now on.
    Moved {
        /// Their slot.
        slot: u16,
        /// Where; an empty host: on the same.
        to: Address,
    },
    /// The keys are about to be elsewhere: this once, ask there.
    Ask {
        /// Where; an empty host: on the same.
        to: Address,
    },
    /// The keys are on their way: soon.
    TryAgain(Fault),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What an error is.
pub(super) fn read(error: &RedisError) -> Refusal {
    let redirect = || {
        let (to, slot) = error.redirect_node()?;
        Some((Address::parse(to)?, slot))
    };
    match (error.kind(), redirect()) {
        (ErrorKind::Server(ServerErrorKind::Moved), Some((to, slot))) => Refusal::Moved { slot, to },
        (ErrorKind::Server(ServerErrorKind::Ask), Some((to, _))) => Refusal::Ask { to },
        (ErrorKind::Server(ServerErrorKind::TryAgain), _) => Refusal::TryAgain(fault(error)),
        _ => Refusal::Fault(fault(error)),
    }
}

/// What an error is for who cannot follow it elsewhere.
pub(super) fn fault(error: &RedisError) -> Fault {
    let said = error.to_string();
    // an older Redis tells what a script ran into as an error of the script
    let read_only = said.contains("READONLY");
    let outcome = match error.kind() {
        ErrorKind::Io => FabricOutcome::Unreachable,
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => FabricOutcome::Denied,
        ErrorKind::Server(ServerErrorKind::ReadOnly) => FabricOutcome::ReadOnly,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown,
        ) => FabricOutcome::Busy,
        _ if read_only => FabricOutcome::ReadOnly,
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => FabricOutcome::Denied,
            Some("BUSY" | "NOREPLICAS") => FabricOutcome::Busy,
            _ => FabricOutcome::Failed,
        },
    };
    Fault { outcome, why: told(if said.is_empty() { causes(error) } else { said }.as_str()) }
}

/// Of what Redis does not know it quotes what came with it.
fn told(said: &str) -> String {
    let before = said.split(", with args beginning with").next().unwrap_or_default();
    line(before, WHY_CHARS_MAX)
}

/// An answer of another shape than its question has.
pub(super) fn strange(what: &str) -> Fault {
    Fault { outcome: FabricOutcome::Failed, why: format!("it answered {what} in a form that is not known") }
}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn refused(said: &str) -> Refusal {
        let error = parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap().extract_error().unwrap_err();
        read(&error)
    }

    fn outcome(said: &str) -> FabricOutcome {
        match refused(said) {
            Refusal::Fault(fault) | Refusal::TryAgain(fault) => fault.outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_elsewhere_says_where() {
        let to = Address { host: "10.0.0.7".to_owned(), port: 6379 };
        assert_eq!(refused("MOVED 3999 10.0.0.7:6379"), Refusal::Moved { slot: 3999, to: to.clone() });
        assert_eq!(refused("ASK 3999 10.0.0.7:6379"), Refusal::Ask { to });
        let six = Address { host: "::1".to_owned(), port: 6379 };
        assert_eq!(refused("MOVED 1 ::1:6379"), Refusal::Moved { slot: 1, to: six });
        assert!(matches!(refused("MOVED 1 :6380"), Refusal::Moved { to, .. } if to.host.is_empty()));
        assert!(matches!(refused("MOVED"), Refusal::Fault(_)));
        assert!(matches!(refused("TRYAGAIN Multiple keys request during rehashing of slot"), Refusal::TryAgain(_)));
    }

    #[test]
    fn errors_are_told_apart_by_what_can_be_done() {
        assert_eq!(outcome("READONLY You can't write against a read only replica."), FabricOutcome::ReadOnly);
        let old = "ERR Error running script (call to f_6): @user_script:9: -READONLY You can't write";
        assert_eq!(outcome(old), FabricOutcome::ReadOnly);
        assert_eq!(outcome("LOADING Redis is loading the dataset in memory"), FabricOutcome::Busy);
        assert_eq!(outcome("CLUSTERDOWN The cluster is down"), FabricOutcome::Busy);
        assert_eq!(outcome("NOREPLICAS Not enough good replicas to write."), FabricOutcome::Busy);
        assert_eq!(outcome("NOAUTH Authentication required."), FabricOutcome::Denied);
        assert_eq!(outcome("NOPERM this user has no permissions to run the 'evalsha' command"), FabricOutcome::Denied);
        assert_eq!(outcome("OOM command not allowed when used memory > 'maxmemory'."), FabricOutcome::Failed);
    }

    #[test]
    fn nothing_that_was_sent_is_told() {
        let said = "ERR unknown command 'EVALSHA', with args beginning with: 'a1' '2' 'signalbox:{r/fleet/secret}'";
        let Refusal::Fault(fault) = refused(said) else { panic!() };
        assert!(fault.why.contains("unknown command") && !fault.why.contains("secret"), "{fault:?}");
    }
}
