//! One connection to a server: how it is made, and one question on it.
//!
//! redis-rs speaks the protocol and keeps questions and answers in order; the socket, TLS, and the task that drives it are
//! ours, so that it is known at once when one has ended.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError, Value,
    aio::MultiplexedConnection,
};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, task::AbortHandle};
use tokio_rustls::TlsConnector;

use super::{
    refusal::{fault, strange},
    scripts::{list, text},
    settings::{Address, Credentials},
};
use crate::{event::FabricOutcome, fabric::Fault, io::dialing::TlsFiles};

/// Questions that wait to be written; past it who asks waits, within its deadline.
const WAITING_MAX: usize = 64;
/// Written at once: a batch of rooms.
const BUFFER_BYTES: usize = 64 * 1024;

/// What has to be known to make one.
#[derive(Clone, Debug)]
pub(super) struct Dialing {
    pub(super) user: Option<Credentials>,
    pub(super) tls: Option<TlsFiles>,
    /// Whether whoever says that it is no master is of no use.
    pub(super) wants_master: bool,
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that stands; dropped, it is closed.
pub(super) struct Link {
    /// Tells it from others to the same server.
    pub(super) number: u64,
    connection: MultiplexedConnection,
    /// How often anything was heard.
    heard: AtomicU64,
    driver: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Makes one, and hears that it is of use. `ended` is called when it has ended by itself.
    pub(super) async fn open(
        to: &Address,
        dialing: &Dialing,
        number: u64,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Fault> {
        let (connection, driver) = connect(to, dialing).await?;
        let task = tokio::spawn(async move {
            driver.await;
            ended();
        });
        let link = Self { number, connection, heard: AtomicU64::new(0), driver: task.abort_handle() };
        link.greet(dialing.wants_master).await?;
        Ok(link)
    }

    /// A server may take a connection and nothing on it.
    async fn greet(&self, wants_master: bool) -> Result<(), Fault> {
        let question = redis::cmd(if wants_master { "ROLE" } else { "PING" });
        let answer = self.ask(&question).await.map_err(|error| fault(&error))?;
        if !wants_master {
            return Ok(());
        }
        let role = list(answer).and_then(|parts| text(parts.into_iter().next()?)).ok_or_else(|| strange("ROLE"))?;
        if role == "master" {
            return Ok(());
        }
        Err(Fault { outcome: FabricOutcome::ReadOnly, why: format!("it is a {role}, not a master") })
    }

    /// How often anything was heard on it: who was not answered sees whether others were.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// Asks; waits for as long as it takes.
    pub(super) async fn ask(&self, question: &Cmd) -> Result<Value, RedisError> {
        let answer = self.connection.clone().send_packed_command(question).await?;
        self.heard.fetch_add(1, Relaxed);
        answer.extract_error()
    }

    /// Asks all of that at once: an answer each, or an error.
    pub(super) async fn ask_all(&self, questions: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let answers = self.connection.clone().send_packed_commands(questions, 0, questions.len()).await?;
        self.heard.fetch_add(1, Relaxed);
        Ok(answers)
    }
}

async fn connect(to: &Address, dialing: &Dialing) -> Result<(MultiplexedConnection, Driver), Fault> {
    let unreachable = |why: String| Fault { outcome: FabricOutcome::Unreachable, why };
    let stream =
        TcpStream::connect((to.host.as_str(), to.port)).await.map_err(|error| unreachable(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    let Some(files) = &dialing.tls else { return speak(stream, dialing).await };
    let config = files.rustls().await.map_err(unreachable)?;
    let name = ServerName::try_from(to.host.clone()).map_err(|error| unreachable(error.to_string()))?;
    let secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    speak(secured.map_err(|error| unreachable(error.to_string()))?, dialing).await
}

async fn speak<S>(stream: S, dialing: &Dialing) -> Result<(MultiplexedConnection, Driver), Fault>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // the older protocol: all servers know it, and nothing here needs the other
    let mut who = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_lib_name("signalbox", env!("CARGO_PKG_VERSION"));
    if let Some(user) = &dialing.user {
        who = who.set_password(user.password.expose());
        if let Some(name) = &user.name {
            who = who.set_username(name);
        }
    }
    // deadlines are the caller's
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(WAITING_MAX)
        .set_write_backpressure_boundary(BUFFER_BYTES);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&who, stream, config).await.map_err(|error| fault(&error))?;
    Ok((connection, Box::pin(driver)))
}
