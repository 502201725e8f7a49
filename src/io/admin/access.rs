//! Who may call what: a token's grants against the table of operations.

use std::{net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap};

use super::{
    AdminState,
    operation::{Needs, Operation},
};
use crate::{
    auth::Grant,
    event::Event,
    io::{
        gateway::{ConnectionInfo, bearer},
        listener::client_ip,
    },
    protocol::{Code, Refusal},
};

impl AdminState {
    /// Knows the caller by its token, before anything else of its request is read. Refusals are told here.
    pub(super) async fn admit(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Grant, Refusal> {
        let admitted = self.know(operation, headers).await;
        if let Err(refusal) = &admitted {
            (self.parts.observe)(Event::Shed { code: refusal.code, peer_ip: self.peer_ip(headers, extensions) });
        }
        admitted
    }

    async fn know(&self, operation: Operation, headers: &HeaderMap) -> Result<Grant, Refusal> {
        if operation.changes() {
            (self.parts.origin)(headers)?;
        }
        let Some(token) = bearer(headers) else {
            return Err(Code::Unauthenticated.because("no access token: pass Authorization: Bearer …"));
        };
        self.parts.verify.verify(token).await
    }

    fn peer_ip(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let info = extensions.get::<Arc<ConnectionInfo>>()?;
        Some(client_ip(info.peer, headers, &self.parts.trusted_proxies))
    }
}

/// Whether the grant allows the operation, on that room when it is about one.
pub(super) fn authorise(grant: &Grant, operation: Operation, room: Option<&str>) -> Result<(), Refusal> {
    let (create, admin) = (grant.room_create, grant.permissions.room_admin);
    let (held, name) = match operation.needs() {
        Needs::RoomCreate => (create, "roomCreate"),
        Needs::RoomList => (grant.room_list, "roomList"),
        Needs::RoomAdmin | Needs::AdminOfAll => (admin, "roomAdmin"),
        Needs::CreateOrAdmin => (create || admin, "roomAdmin or roomCreate"),
    };
    if !held {
        let why = format!("the token lacks the grant {name}, which {} needs", operation.name());
        return Err(Code::PermissionDenied.because(why));
    }
    match (&grant.room, room) {
        (Some(own), Some(asked)) if own.as_str() != asked => {
            let why = format!("the token's grants are for room `{own:.64}`, not for `{asked:.64}`");
            Err(Code::WrongRoom.because(why))
        }
        (Some(own), _) if operation.needs() == Needs::AdminOfAll => {
            let why = format!("the token's grants are for room `{own:.64}`, and {} is about all", operation.name());
            Err(Code::WrongRoom.because(why))
        }
        _ => Ok(()),
    }
}

/// Who the events of a change name: the identity, else the API key.
pub(super) fn name_of(grant: &Grant) -> String {
    let identity = grant.identity.as_str();
    if identity.is_empty() { grant.key.clone() } else { identity.to_owned() }
}
