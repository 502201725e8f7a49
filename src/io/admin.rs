//! The admin API: rooms and participants looked at and changed from outside, the same over gRPC and over HTTP/JSON.
//!
//! Both transports read a request into its message of the IDL and hand it to the one set of calls in `calls.rs`; who
//! may, what is valid and what is told of it is decided there, once. Knows rooms only as [`Rooms`], tokens as [`Verify`].

mod access;
mod calls;
mod errors;
#[cfg(test)]
pub(crate) mod fake;
mod grpc;
mod http;
mod operation;
mod page;
#[cfg(test)]
mod tests;

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use ::http::HeaderMap;
use axum::Router;
use ipnet::IpNet;

pub(crate) use self::errors::error_response;
pub use self::grpc::GrpcRooms;
use super::{
    directory::Fleet,
    finder::{Elsewhere, RoomFinder},
    gateway::Gateway,
    identity::Authenticator,
    relay::Relay,
    shard::Shards,
};
use crate::{
    auth::Grant,
    directory::RouterRow,
    event::Event,
    ids::{RoomId, RouterId},
    protocol::{
        Limits, Refusal,
        v1::{self, rooms_server::RoomsServer},
    },
    router::{AdminCall, AdminReply},
};

/// A future of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the rooms are.
pub trait Rooms: Send + Sync + 'static {
    /// Carries out a call; `by` is the caller's identity, else its API key.
    fn call(&self, by: String, call: AdminCall) -> BoxFuture<'_, Result<Replied, Refusal>>;
}

/// An answer, and how much of it there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Replied {
    /// The answer.
    pub reply: AdminReply,
    /// Of a list: routers of the fleet that did not answer, and whose part is not in it.
    pub missing: Vec<String>,
}

impl From<AdminReply> for Replied {
    fn from(reply: AdminReply) -> Self {
        Self { reply, missing: Vec::new() }
    }
}

/// The rooms of this router, and where the others of its fleet are.
pub(crate) struct RoomsHere {
    shards: Shards,
    finder: RoomFinder,
}

impl RoomsHere {
    /// Of that gateway.
    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self { shards: gateway.shards.clone(), finder: gateway.finder.clone() }
    }

    /// Carries out a call that no other router is asked for.
    ///
    /// # Errors
    /// What the router refuses, and `room_elsewhere` about a room of another one.
    pub(crate) async fn call_here(&self, by: String, call: AdminCall) -> Result<AdminReply, Refusal> {
        match self.is_here(&call).await? {
            Some(there) => Err(there.refusal),
            None => self.shards.admin(by, call).await,
        }
    }

    /// Which other router has the room that a call is about; one that is kept is brought back.
    async fn is_here(&self, call: &AdminCall) -> Result<Option<Elsewhere>, Refusal> {
        let Some(room) = call.room() else { return Ok(None) };
        let room = RoomId::from(room);
        let founds_new = matches!(call, AdminCall::CreateRoom(_));
        let founds = self.finder.founds(founds_new, true);
        if let Err(there) = self.finder.is_here(&room, founds).await {
            return Ok(Some(there));
        }
        // who asks for a room that must be there hears that this cannot be said
        self.finder.bring_back(&room, !founds_new).await?;
        Ok(None)
    }
}

/// The rooms of the whole fleet, as far as other routers can be asked.
struct RoomsOfAll {
    here: RoomsHere,
    relay: Option<Relay>,
    fleet: Fleet,
}

impl Rooms for RoomsOfAll {
    fn call(&self, by: String, call: AdminCall) -> BoxFuture<'_, Result<Replied, Refusal>> {
        Box::pin(async move {
            let Some(relay) = &self.relay else { return Ok(self.here.call_here(by, call).await?.into()) };
            if let Some(there) = self.here.is_here(&call).await? {
                return Ok(relay.ask(&there, by, call).await?.into());
            }
            let (AdminCall::ListRooms { limit, .. } | AdminCall::GetUser { limit, .. }) = call else {
                return Ok(self.here.shards.admin(by, call).await?.into());
            };
            let own = self.here.shards.admin(by.clone(), call.clone()).await?;
            let mut gathered = relay.gather(self.others(), &by, &call).await;
            let reply = match own {
                AdminReply::Rooms(own) => AdminReply::Rooms(gathered.rooms(own, limit)),
                AdminReply::User(own) => AdminReply::User(gathered.sessions(self.of_this_router(own), limit)),
                reply => reply,
            };
            Ok(Replied { reply, missing: gathered.missing })
        })
    }
}

impl RoomsOfAll {
    fn of_this_router(&self, mut sessions: Vec<v1::UserSession>) -> Vec<v1::UserSession> {
        let name = self.fleet.view().map(|view| view.router.clone()).unwrap_or_default();
        sessions.iter_mut().for_each(|session| session.router.clone_from(&name));
        sessions
    }

    /// The other routers of the fleet; one that takes no links does not answer.
    fn others(&self) -> Vec<Elsewhere> {
        let Some(view) = self.fleet.view() else { return Vec::new() };
        let others = view.routers.iter().filter(|row| row.id != view.router);
        let there = |row: &RouterRow| Elsewhere {
            router: RouterId::from(row.id.as_str()),
            relay_url: row.relay_url.clone(),
            refusal: Refusal::elsewhere(&row.id, &row.url),
        };
        others.map(there).collect()
    }
}

/// Who says what a token allows.
pub trait Verify: Send + Sync + 'static {
    /// The grant of a token that holds now.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Grant, Refusal>>;
}

impl Verify for Authenticator {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Grant, Refusal>> {
        Box::pin(Self::verify(self, token))
    }
}

/// Refuses the pages whose origin is not on the list, by a request's headers.
pub type OriginCheck = Arc<dyn Fn(&HeaderMap) -> Result<(), Refusal> + Send + Sync>;

/// What the admin API is made of.
pub struct AdminParts {
    /// The rooms.
    pub rooms: Arc<dyn Rooms>,
    /// Verifies tokens.
    pub verify: Arc<dyn Verify>,
    /// Where events go.
    pub observe: Arc<dyn Fn(Event) + Send + Sync>,
    /// Which pages may change something.
    pub origin: OriginCheck,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// What bounds a call, now.
    pub bounds: Arc<dyn Fn() -> AdminBounds + Send + Sync>,
    /// For a request's body, and for a gRPC call as a whole.
    pub request_timeout: Duration,
}

/// What bounds a call.
#[derive(Clone, Copy, Debug)]
pub struct AdminBounds {
    /// Limits of the protocol.
    pub limits: Limits,
    /// Most items on a page.
    pub page_max: usize,
}

impl fmt::Debug for AdminParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminParts")
            .field("bounds", &(self.bounds)())
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

/// The admin API. Cheap to clone; all clones share their parts.
#[derive(Clone, Debug)]
pub struct AdminState {
    parts: Arc<AdminParts>,
}

impl AdminState {
    /// Over these parts.
    pub fn new(parts: AdminParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Over the rooms, the keys and the limits of a gateway, and the rooms of a fleet.
    pub fn over(gateway: &Arc<Gateway>, fleet: Fleet, request_timeout: Duration) -> Self {
        let (observing, door, bounding) = (gateway.clone(), gateway.clone(), gateway.clone());
        let bounds = move || {
            let settings = bounding.settings.load();
            AdminBounds { limits: settings.limits, page_max: settings.admin_page_max }
        };
        Self::new(AdminParts {
            rooms: Arc::new(RoomsOfAll { here: RoomsHere::of(gateway), relay: gateway.relay.clone(), fleet }),
            verify: Arc::new(gateway.authenticator.clone()),
            observe: Arc::new(move |event| observing.observe(&event)),
            origin: Arc::new(move |headers| door.check_origin(headers)),
            trusted_proxies: gateway.settings.load().trusted_proxies.clone(),
            bounds: Arc::new(bounds),
            request_timeout,
        })
    }
}

/// Everything that the admin API serves, for the client port's router: HTTP/JSON and gRPC.
pub fn routes(state: &AdminState) -> Router {
    http_router(state).merge(grpc::router(state))
}

/// `/v1/rooms…`, `/v1/users…` and `/v1/openapi.json`.
pub fn http_router(state: &AdminState) -> Router {
    http::router(state)
}

/// `signalbox.v1.Rooms`, as a tower service.
pub fn grpc_service(state: &AdminState) -> RoomsServer<GrpcRooms> {
    grpc::server(state)
}
