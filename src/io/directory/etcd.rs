//! Calls to etcd: the connection, one member at a time, and how each answer or error reads.
//!
//! A connection that failed is let go of: the next call makes another one, to the next member, with certificates as they are
//! then. Errors are told without what was sent.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions, LeaseTimeToLiveOptions, PutOptions, Txn,
    TxnOp, TxnOpResponse, WatchOptions, WatchResponse, WatchStream,
};
use tokio::sync::Mutex;
use tonic::{Code, Status};

use super::settings::DirectorySettings;
use crate::{
    directory::{Answer, Call, Change, Fault, Heard, Stored},
    event::DirectoryOutcome,
    io::dialing::{causes, line},
};

/// Of an answer: as many records as are kept, each as long as it may be.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A chain of causes in one line.
const WHY_CHARS_MAX: usize = 240;

/// What a call brought.
pub(super) enum Done {
    /// An answer.
    Answer(Answer),
    /// A stream, of keys that begin so.
    Stream { stream: Box<WatchStream>, prefix: String },
}

/// All members of an etcd.
#[derive(Clone)]
pub(super) struct Etcd(Arc<Shared>);

struct Shared {
    settings: DirectorySettings,
    /// With its number, so that who failed lets go of the one that failed.
    client: Mutex<Option<(usize, Client)>>,
    /// Connections that were made or tried: whose turn it is.
    tried: AtomicUsize,
}

impl Etcd {
    pub(super) fn new(settings: DirectorySettings) -> Self {
        Self(Arc::new(Shared { settings, client: Mutex::new(None), tried: AtomicUsize::new(0) }))
    }

    /// Makes a call. Takes no longer than `etcd.timeout_ms`.
    pub(super) async fn call(&self, call: Call) -> Result<Done, Fault> {
        let timeout = self.0.settings.timeout;
        let made = tokio::time::timeout(timeout, async {
            let (number, client) = self.client().await?;
            let answer = carry_out(client, call).await.map_err(|error| fault(&error));
            if let Err(Fault { outcome, .. }) = &answer
                && *outcome != DirectoryOutcome::Gone
            {
                self.let_go(Some(number));
            }
            answer
        });
        match made.await {
            Ok(answer) => answer,
            Err(_) => {
                self.let_go(None);
                let why = format!("no answer within {} ms", timeout.as_millis());
                Err(Fault { outcome: DirectoryOutcome::Late, why })
            }
        }
    }

    /// The connection that stands, or another one.
    async fn client(&self) -> Result<(usize, Client), Fault> {
        let mut held = self.0.client.lock().await;
        if let Some(held) = &*held {
            return Ok(held.clone());
        }
        let number = self.0.tried.fetch_add(1, Relaxed);
        let client = self.connect(number).await?;
        Ok(held.insert((number, client)).clone())
    }

    /// The connection of that number is of no use, or whichever there is.
    fn let_go(&self, number: Option<usize>) {
        // somebody is making another one
        let Ok(mut held) = self.0.client.try_lock() else { return };
        if number.is_none_or(|number| held.as_ref().is_some_and(|(held, _)| *held == number)) {
            *held = None;
        }
    }

    async fn connect(&self, number: usize) -> Result<Client, Fault> {
        let settings = &self.0.settings;
        let endpoint = &settings.endpoints[number % settings.endpoints.len()];
        // a member that has lost the others says so, and does not go on telling what was
        let mut options = ConnectOptions::new()
            .with_connect_timeout(settings.timeout)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some((name, password)) = &settings.user {
            options = options.with_user(name, password.expose());
        }
        if let Some(files) = &settings.tls {
            let why = |why| Fault { outcome: DirectoryOutcome::Unreachable, why };
            options = options.with_tls(files.config().await.map_err(why)?);
        }
        Client::connect([endpoint], Some(options)).await.map_err(|error| fault(&error))
    }
}

async fn carry_out(mut client: Client, call: Call) -> Result<Done, Error> {
    let answer = match call {
        Call::Grant { ttl } => {
            let granted = client.lease_grant(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX), None).await?;
            Answer::Granted { lease: granted.id() }
        }
        Call::Refresh { lease } => match client.lease_keep_alive(lease).await {
            Ok(_) => Answer::Refreshed { alive: true },
            // how the client says that etcd does not know it
            Err(Error::LeaseKeepAliveError(_)) => Answer::Refreshed { alive: false },
            Err(error) => return Err(error),
        },
        Call::Put { key, value, lease } => {
            let written = client.put(key, value, Some(PutOptions::new().with_lease(lease))).await?;
            let (cluster, revision) = written.header().map_or((0, 0), |h| (h.cluster_id(), h.revision()));
            Answer::Written { cluster, revision }
        }
        Call::Claim { key, value, lease, expected } => {
            let put = TxnOp::put(key.clone(), value, Some(PutOptions::new().with_lease(lease)));
            transact(client, vec![Compare::mod_revision(key, CompareOp::Equal, expected)], put).await?
        }
        Call::Hold { key, value, lease, expected, notice } => {
            hold(client, (key, expected), (value, lease), notice).await?
        }
        Call::Look { key } => {
            let found = client.get(key, None).await?;
            found.kvs().first().map_or(Answer::Nothing, held)
        }
        Call::Release { key, expected, says } => {
            let says = says.map(|says| Compare::value(key.clone(), CompareOp::Equal, says));
            let unchanged = Compare::mod_revision(key.clone(), CompareOp::Equal, expected);
            let when: Vec<_> = [unchanged].into_iter().chain(says).collect();
            transact(client, when, TxnOp::delete(key, None)).await?
        }
        Call::Rules { key, text, expected } => {
            let op = match text {
                Some(text) => TxnOp::put(key.clone(), text, None),
                None => TxnOp::delete(key.clone(), None),
            };
            transact(client, vec![Compare::mod_revision(key, CompareOp::Equal, expected)], op).await?
        }
        Call::Under { lease, prefix } => under(client, lease, &prefix).await?,
        Call::List { prefix, limit } => list(client, &prefix, limit).await?,
        Call::Watch { prefix, from } => {
            let options = WatchOptions::new().with_prefix().with_start_revision(from).with_progress_notify();
            let stream = Box::new(client.watch(prefix.as_str(), Some(options)).await?);
            return Ok(Done::Stream { stream, prefix });
        }
        Call::Revoke { lease } => {
            client.lease_revoke(lease).await?;
            Answer::Revoked
        }
    };
    Ok(Done::Answer(answer))
}

/// Does it, if all that holds; of a key where nothing stands the revision is 0.
async fn transact(mut client: Client, when: Vec<Compare>, op: TxnOp) -> Result<Answer, Error> {
    let done = client.txn(Txn::new().when(when).and_then([op])).await?;
    let (cluster, revision) = done.header().map_or((0, 0), |h| (h.cluster_id(), h.revision()));
    Ok(if done.succeeded() { Answer::Written { cluster, revision } } else { Answer::Overtaken })
}

/// Writes it with a notice, if what stands at the key is of that revision; 0: nothing stands there. Else says what does.
async fn hold(
    mut client: Client,
    (key, expected): (String, i64),
    (value, lease): (Vec<u8>, i64),
    notice: Option<(String, Vec<u8>)>,
) -> Result<Answer, Error> {
    let under = || Some(PutOptions::new().with_lease(lease));
    let unchanged = Compare::mod_revision(key.clone(), CompareOp::Equal, expected);
    let put = TxnOp::put(key.clone(), value, under());
    let puts: Vec<_> = [put].into_iter().chain(notice.map(|(key, value)| TxnOp::put(key, value, under()))).collect();
    let done = client.txn(Txn::new().when([unchanged]).and_then(puts).or_else([TxnOp::get(key, None)])).await?;
    let (cluster, revision) = done.header().map_or((0, 0), |h| (h.cluster_id(), h.revision()));
    if done.succeeded() {
        return Ok(Answer::Written { cluster, revision });
    }
    let found = done.op_responses().into_iter().find_map(|response| match response {
        TxnOpResponse::Get(found) => found.kvs().first().map(held),
        _ => None,
    });
    Ok(found.unwrap_or(Answer::Nothing))
}

/// What stands at a key that was asked for by its whole name.
fn held(pair: &etcd_client::KeyValue) -> Answer {
    Answer::Held(Stored { key: String::new(), value: pair.value().to_vec(), revision: pair.mod_revision() })
}

async fn list(client: Client, prefix: &str, limit: usize) -> Result<Answer, Error> {
    let mut client = client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    let options = GetOptions::new().with_prefix().with_limit(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut listed = client.get(prefix, Some(options)).await?;
    let (cluster, revision) = listed.header().map_or((0, 0), |h| (h.cluster_id(), h.revision()));
    let more = listed.more();
    let stored = |pair: etcd_client::KeyValue| {
        let revision = pair.mod_revision();
        let (key, value) = pair.into_key_value();
        Stored { key: after(prefix, &key), value, revision }
    };
    let records = listed.take_kvs().into_iter().map(stored).collect();
    Ok(Answer::Listed { cluster, revision, records, more })
}

async fn under(mut client: Client, lease: i64, prefix: &str) -> Result<Answer, Error> {
    let told = client.lease_time_to_live(lease, Some(LeaseTimeToLiveOptions::new().with_keys())).await?;
    // how etcd says that it does not know it
    if told.ttl() < 0 {
        return Ok(Answer::Refreshed { alive: false });
    }
    let keys = told.keys().iter().filter(|key| key.starts_with(prefix.as_bytes()));
    Ok(Answer::Under { keys: keys.map(|key| after(prefix, key)).collect() })
}

/// What follows the prefix.
fn after(prefix: &str, key: &[u8]) -> String {
    String::from_utf8_lossy(key.strip_prefix(prefix.as_bytes()).unwrap_or(key)).into_owned()
}

/// What a stream said; nothing of note: that it was made.
pub(super) fn heard(prefix: &str, response: Result<Option<WatchResponse>, Error>) -> Option<Heard> {
    let response = match response {
        Ok(Some(response)) => response,
        Ok(None) => return Some(Heard::Ended { why: "etcd ended it".to_owned() }),
        Err(error) => return Some(Heard::Ended { why: fault(&error).why }),
    };
    if response.canceled() {
        // it comes with a revision only when the one that was asked for is forgotten
        return Some(match response.compact_revision() {
            0 => Heard::Ended { why: line(response.cancel_reason(), WHY_CHARS_MAX) },
            _ => Heard::Compacted,
        });
    }
    let changes: Vec<_> = response.events().iter().filter_map(|event| change(prefix, event)).collect();
    match (changes.is_empty(), response.created()) {
        (true, true) => None,
        (true, false) => Some(Heard::Alive),
        (false, _) => {
            let told = response.events().iter().filter_map(|event| Some(event.kv()?.mod_revision()));
            Some(Heard::Changed { revision: told.max().unwrap_or_default(), changes })
        }
    }
}

fn change(prefix: &str, event: &etcd_client::Event) -> Option<Change> {
    let pair = event.kv()?;
    let key = after(prefix, pair.key());
    Some(match event.event_type() {
        EventType::Put => Change::Put(Stored { key, value: pair.value().to_vec(), revision: pair.mod_revision() }),
        EventType::Delete => Change::Deleted { key },
    })
}

/// How an error reads.
fn fault(error: &Error) -> Fault {
    let (outcome, why) = match error {
        Error::GRpcStatus(status) => (outcome(status), cause(status)),
        Error::TransportError(error) => (DirectoryOutcome::Unreachable, causes(error)),
        Error::IoError(error) => (DirectoryOutcome::Unreachable, error.to_string()),
        other => (DirectoryOutcome::Failed, other.to_string()),
    };
    Fault { outcome, why: line(&why, WHY_CHARS_MAX) }
}

fn outcome(status: &Status) -> DirectoryOutcome {
    // of this side: the connection could not be made, or broke
    if status.source().is_some() {
        return DirectoryOutcome::Unreachable;
    }
    let about_who = |said: &str| said.contains("authentication") || said.contains("user name");
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => DirectoryOutcome::Denied,
        // a wrong password is an invalid argument to etcd, and a password where none is asked for a failed precondition
        Code::InvalidArgument | Code::FailedPrecondition if about_who(status.message()) => DirectoryOutcome::Denied,
        Code::NotFound if status.message().contains("lease") => DirectoryOutcome::Gone,
        Code::DeadlineExceeded => DirectoryOutcome::Late,
        Code::Unavailable => DirectoryOutcome::Unreachable,
        _ => DirectoryOutcome::Failed,
    }
}

/// What etcd said, or what lies under it.
fn cause(status: &Status) -> String {
    match status.source() {
        Some(source) => causes(source),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_refuses_is_told_apart_from_what_cannot_be_reached() {
        let told = |code, said: &str| outcome(&Status::new(code, said));
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(told(Code::InvalidArgument, wrong), DirectoryOutcome::Denied);
        assert_eq!(
            told(Code::FailedPrecondition, "etcdserver: authentication is not enabled"),
            DirectoryOutcome::Denied
        );
        assert_eq!(told(Code::InvalidArgument, "etcdserver: user name is empty"), DirectoryOutcome::Denied);
        assert_eq!(told(Code::PermissionDenied, "etcdserver: permission denied"), DirectoryOutcome::Denied);
        assert_eq!(told(Code::NotFound, "etcdserver: requested lease not found"), DirectoryOutcome::Gone);
        assert_eq!(told(Code::Unavailable, "etcdserver: no leader"), DirectoryOutcome::Unreachable);
        assert_eq!(
            told(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            DirectoryOutcome::Failed
        );
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(outcome(&Status::from_error(Box::new(refused))), DirectoryOutcome::Unreachable);
    }

    #[test]
    fn a_line_holds_no_control_characters_and_has_an_end() {
        let why = fault(&Error::InvalidArgs(format!("a\nb\u{1b}[2J{}", "x".repeat(999)))).why;
        assert!(why.starts_with("invalid arguments: ab[2J") && why.chars().count() == WHY_CHARS_MAX, "{why}");
    }

    #[test]
    fn keys_are_told_by_what_follows_the_prefix() {
        assert_eq!(after("/s/routers/", b"/s/routers/r1"), "r1");
        assert_eq!(after("/s/routers/", b"/s/routers/\xff"), "\u{fffd}");
    }
}
