//! Who may connect: origin, token, limits. The same for WebSocket, gRPC and the browser's question beforehand.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{HeaderMap, header};
use serde::Deserialize;

use super::{
    ConnectionInfo, Gateway, Place,
    hints::{Said, hints},
};
use crate::{
    auth::Grant,
    event::{Limit, TraceId},
    gray::Assigned,
    guard::overload::Class,
    io::{
        guard::{Entered, Scopes, Shed, queue_refusal},
        listener::{AddressPermit, client_ip, origin_allowed},
    },
    protocol::{Code, Refusal},
};

/// Query parameters of `/v1/signal`.
#[derive(Debug, Default, Deserialize)]
struct Query {
    access_token: Option<String>,
    room: Option<String>,
    #[serde(flatten)]
    hints: Said,
}

/// What a client brings before it is let in.
#[derive(Debug)]
pub(crate) struct Knock<'a> {
    /// Request headers, or gRPC metadata.
    pub(crate) headers: &'a HeaderMap,
    /// The query, undecoded.
    pub(crate) query: &'a str,
    /// The transport connection.
    pub(crate) info: &'a ConnectionInfo,
    /// What the request is called in traces and logs.
    pub(crate) trace: TraceId,
}

/// A client that was let in.
#[derive(Debug)]
pub(crate) struct Admission {
    /// What its token allows.
    pub(crate) grant: Box<Grant>,
    /// `?room=`: a balancer hashed by it, so the join must name the same.
    pub(crate) room: Option<Box<str>>,
    /// Its variant, and why.
    pub(crate) assigned: Assigned,
    /// The client's address; behind a trusted proxy, the one that this names.
    pub(crate) peer_ip: IpAddr,
    /// What its connection is called in traces and logs.
    pub(crate) trace: TraceId,
    /// Held as long as the connection lives.
    pub(crate) places: Places,
}

/// Places among the bounded, given back on drop.
#[derive(Debug)]
pub(crate) struct Places {
    _key: Option<Place>,
    _address: Option<AddressPermit>,
    entered: Entered,
}

impl Places {
    /// Of a connection whose other places are those of the router that it came to.
    pub(super) fn elsewhere(entered: Entered) -> Self {
        Self { _key: None, _address: None, entered }
    }

    /// Whose limits hold for what the connection does.
    pub(crate) fn scopes(&self) -> &Arc<Scopes> {
        &self.entered.scopes
    }
}

impl Gateway {
    /// Lets a client in, or says why not. Refusals are counted here.
    pub(crate) async fn admit(self: &Arc<Self>, knock: Knock<'_>) -> Result<Admission, Refusal> {
        let peer_ip = client_ip(knock.info.peer, knock.headers, &self.settings.load().trusted_proxies);
        let trace = knock.trace;
        let admission = self.admit_from(knock, peer_ip).await;
        if let Err(refusal) = &admission {
            self.shed(refusal, peer_ip, trace);
        }
        admission
    }

    async fn admit_from(self: &Arc<Self>, knock: Knock<'_>, peer_ip: IpAddr) -> Result<Admission, Refusal> {
        self.check_origin(knock.headers)?;
        if self.is_draining() {
            return Err(Code::Draining.refuse().retry_after_ms(1_000));
        }
        // the listener counted the socket's own address; behind a proxy it is the client's that counts
        let address = match peer_ip == knock.info.peer.ip() {
            true => None,
            false => Some(self.addresses.enter_address(peer_ip).map_err(|code| code.refuse().retry_after_ms(1_000))?),
        };
        let told = |shed: Shed| {
            self.refuse_connection(shed.limit, peer_ip, knock.trace);
            shed.refusal()
        };
        let door = self.guard.knock(peer_ip, Instant::now()).map_err(told)?;
        let query: Query = serde_urlencoded::from_str(knock.query)
            .map_err(|e| Code::BadRequest.because(format!("the query cannot be read: {e}")))?;
        if self.shards.are_behind(query.room.as_deref()) {
            self.refuse_connection(Limit::QueueOfJoins, peer_ip, knock.trace);
            return Err(queue_refusal(Class::Join));
        }
        let token = match (&query.access_token, bearer(knock.headers)) {
            (Some(token), _) => token.as_str(),
            (None, Some(token)) => token,
            (None, None) => {
                let why = "no access token: pass ?access_token=… or the header Authorization: Bearer …";
                return Err(Code::Unauthenticated.because(why));
            }
        };
        let grant = Box::new(self.authenticator.verify(token).await?);
        if let (Some(asked), Some(allowed)) = (&query.room, &grant.room)
            && asked != allowed.as_str()
        {
            return Err(Code::WrongRoom.because(format!("?room= differs from the token's room `{allowed}`")));
        }
        let key = Some(self.place(&grant.key)?);
        let user = (&*grant.key, grant.identity.as_str());
        let entered = self.guard.enter(door, user, Instant::now()).map_err(told)?;
        let places = Places { _key: key, _address: address, entered };
        let hints = hints(knock.headers, &query.hints, grant.identity.as_str());
        let assigned = self.settings.load().variants.assign(&hints);
        Ok(Admission { grant, room: query.room.map(Into::into), assigned, peer_ip, trace: knock.trace, places })
    }

    /// Refuses a page whose origin is not on the list.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("(not text)"));
        if origin_allowed(origin, text(header::HOST), &self.settings.load().origins) {
            return Ok(());
        }
        let why = format!("the origin `{:.128}` is not in client.origins", origin.unwrap_or_default());
        Err(Code::OriginRefused.because(why))
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
