//! What edges and hosts say to each other, to and from what the rest of the router says.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    auth::Grant,
    event::{Delivery, TraceId},
    ids::Variant,
    io::outbound::Mark,
    protocol::{Code, OpKind, RELAY_VERSION, Refusal, relay},
    telemetry::Telemetry,
};

/// Who this router is.
pub(super) fn hello(router: &str) -> relay::Hello {
    relay::Hello { router: router.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), protocol: RELAY_VERSION }
}

/// A connection of another router's, as that one let it in.
#[derive(Debug)]
pub(crate) struct Guest {
    /// What its token allows.
    pub(crate) grant: Box<Grant>,
    /// Its version pool.
    pub(crate) variant: Variant,
    /// The client's address.
    pub(crate) peer_ip: IpAddr,
    /// What its connection is called in traces and logs.
    pub(crate) trace: Option<TraceId>,
    /// How its frames are encoded.
    pub(crate) json: bool,
}

impl Guest {
    /// As it is said.
    pub(super) fn to_wire(&self) -> relay::Open {
        relay::Open {
            // a map with keys of text: it cannot fail
            grant: serde_json::to_vec(&self.grant).unwrap_or_default().into(),
            variant: self.variant.as_str().to_owned(),
            peer_ip: self.peer_ip.to_string(),
            trace: self.trace.map_or_else(Bytes::new, |trace| Bytes::copy_from_slice(&trace.bits().to_be_bytes())),
            json: self.json,
        }
    }

    /// As it was said; none: it cannot be read.
    pub(super) fn read(open: &relay::Open) -> Option<Self> {
        let bits: Option<[u8; 16]> = (*open.trace).try_into().ok();
        Some(Self {
            grant: Box::new(serde_json::from_slice(&open.grant).ok()?),
            variant: Variant::from(open.variant.as_str()),
            peer_ip: open.peer_ip.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            trace: bits.and_then(|bits| TraceId::new(u128::from_be_bytes(bits))),
            json: open.json,
        })
    }
}

/// A refusal that ends a connection.
pub(super) fn closed(refusal: &Refusal) -> relay::Closed {
    relay::Closed {
        code: refusal.code.name().to_owned(),
        message: refusal.message.clone().into_owned(),
        retry_after_ms: refusal.retry_after_ms,
        url: refusal.url.as_deref().unwrap_or_default().to_owned(),
    }
}

/// The same as it was said; a code of another version is a defect to its client.
pub(super) fn refusal(closed: relay::Closed) -> Refusal {
    let code = Code::by_name(&closed.code).unwrap_or(Code::Internal);
    let refusal = code.because(closed.message);
    let url = (!closed.url.is_empty()).then(|| closed.url.into());
    Refusal { retry_after_ms: closed.retry_after_ms, url, ..refusal }
}

/// A duration as it is said.
pub(super) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// When something happened that was so old when it was heard.
pub(super) fn ago(age_us: u32, heard: Instant) -> Instant {
    heard.checked_sub(Duration::from_micros(age_us.into())).unwrap_or(heard)
}

/// A frame, and what its recipients' marks are made from; `way`: how long it will be on its way.
pub(super) fn push(
    frame: Bytes,
    (mark, exempt): (&Mark, bool),
    telemetry: &Telemetry,
    (now, way): (Instant, Duration),
) -> relay::Push {
    let blank = relay::Push { frame, exempt, ..relay::Push::default() };
    match mark {
        Mark::Delivery(delivery) => relay::Push {
            op: delivery.op.name().to_owned(),
            age_us: micros(telemetry.age(*delivery, now) + way),
            handled_after_us: delivery.handled_after_us,
            ..blank
        },
        Mark::Answer(..) => relay::Push { answer: true, ..blank },
        Mark::Unmeasured | Mark::Told => blank,
    }
}

/// The mark of a push that was heard then.
pub(super) fn mark(push: &relay::Push, telemetry: &Telemetry, heard: Instant) -> Mark {
    if push.answer {
        return Mark::Told;
    }
    let Some(op) = OpKind::ALL.into_iter().find(|op| op.name() == push.op) else { return Mark::Unmeasured };
    let handled_after = Duration::from_micros(push.handled_after_us.into());
    let delivery: Delivery = telemetry.delivery(op, ago(push.age_us, heard), handled_after);
    Mark::Delivery(delivery)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Outcome, Signal},
        io::ops,
        protocol::v1,
    };

    #[test]
    fn a_guest_is_read_as_it_was_said() {
        let grant = Grant {
            key: "key".to_owned(),
            identity: "alice".into(),
            name: "Alice".to_owned(),
            metadata: String::new(),
            attributes: [("a".to_owned(), "b".to_owned())].into(),
            room: Some("r".into()),
            room_join: true,
            room_create: false,
            room_list: false,
            permissions: v1::Permissions { can_publish: true, ..v1::Permissions::default() },
            expires_at_ms: Some(7),
        };
        let guest = Guest {
            grant: Box::new(grant.clone()),
            variant: "canary".into(),
            peer_ip: "2001:db8::1".parse().unwrap(),
            trace: TraceId::new(7),
            json: true,
        };
        let read = Guest::read(&guest.to_wire()).expect("it can be read");
        assert_eq!((*read.grant, read.variant, read.json), (grant, guest.variant.clone(), true));
        assert_eq!((read.peer_ip, read.trace), (guest.peer_ip, guest.trace));
        let open = guest.to_wire();
        assert!(Guest::read(&relay::Open { grant: Bytes::from_static(b"{}"), ..open.clone() }).is_none());
        let unknown = relay::Open { peer_ip: "?".to_owned(), trace: Bytes::from_static(b"short"), ..open };
        let read = Guest::read(&unknown).expect("what only telemetry wants may be missing");
        assert_eq!((read.peer_ip.is_unspecified(), read.trace), (true, None));
    }

    #[test]
    fn a_refusal_keeps_what_the_client_is_told() {
        let told = Code::RoomFull.because("no place").retry_after_ms(7);
        let read = refusal(closed(&told));
        assert_eq!(
            (read.code, &*read.message, read.retry_after_ms, read.url),
            (Code::RoomFull, "no place", Some(7), None)
        );
        let elsewhere = refusal(closed(&Refusal::elsewhere("r2", "ws://r2")));
        assert_eq!((elsewhere.code, elsewhere.url.as_deref()), (Code::RoomElsewhere, Some("ws://r2")));
        let unknown = relay::Closed { code: "of_tomorrow".to_owned(), ..closed(&told) };
        assert_eq!(refusal(unknown).code, Code::Internal);
    }

    #[test]
    fn a_delivery_is_measured_on_from_where_it_was() {
        let telemetry = ops::tests::telemetry();
        let started = Instant::now();
        let at = |ms| started + Duration::from_millis(ms);
        let delivery = telemetry.delivery(OpKind::Send, at(100), Duration::from_millis(3));
        let way = Duration::from_millis(2);
        let said = push(Bytes::from_static(b"x"), (&Mark::Delivery(delivery), false), &telemetry, (at(105), way));
        assert_eq!((said.op.as_str(), said.age_us, said.handled_after_us), ("send", 7_000, 3_000));
        let Mark::Delivery(heard) = mark(&said, &telemetry, at(207)) else { panic!("a delivery") };
        assert_eq!(heard, telemetry.delivery(OpKind::Send, at(200), Duration::from_millis(3)));
        let said = push(Bytes::new(), (&Mark::Unmeasured, true), &telemetry, (at(1), way));
        assert!(said.exempt && matches!(mark(&said, &telemetry, at(2)), Mark::Unmeasured));
        let answer = Mark::Answer(Box::new(Signal::new(OpKind::Ping, started)), Outcome::Ok);
        let said = push(Bytes::new(), (&answer, false), &telemetry, (at(1), way));
        assert!(matches!(mark(&said, &telemetry, at(2)), Mark::Told), "no push, and told at the host");
    }
}
