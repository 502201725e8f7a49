//! Clients of this router whose rooms are on others, and the other way round: how their frames are carried.

use std::{net::SocketAddr, path::PathBuf};

use crate::config::{
    schema::section,
    values::{Millis, Url},
};

section! {
    /// Links between the routers of a fleet: a client may be connected to any of them, whichever has its room.
    pub struct Relay {
        keys {
            /// Address at which this router takes what others carry to it for their clients (gRPC); port 0 takes a free one.
            /// With it, it also carries: a client who wants into a room of another router stays connected here.
            /// Empty: such a client is refused with `room_elsewhere`, and told where to go.
            listen: Option<SocketAddr> = None, (), own;
            /// Where the other routers reach it, as `http://10.0.0.1:7803`, or https with relay.cert_file.
            /// Empty: at relay.listen itself, which then has to be an address and no 0.0.0.0.
            url: Option<Url> = None, (), own;
            /// The router's certificate chain in PEM, for links that come and for links that it makes.
            /// With it, links are TLS, and both sides show a certificate. The files are read again when they change.
            cert_file: Option<PathBuf> = None, ();
            /// Its private key.
            key_file: Option<PathBuf> = None, ();
            /// Who signs the routers' certificates, in PEM.
            ca_file: Option<PathBuf> = None, ();
            /// Lets links be without TLS although relay.listen is not loopback.
            /// Off: whoever reaches the network could read along. On, where the network itself is closed or encrypted.
            plain: bool = false, ();
            /// For the making of a link, its TLS and the other router's first word included. A client who comes meanwhile waits
            /// as long at most. Routers of one region answer in some milliseconds.
            connect_timeout_ms: Millis = Millis(1000), 50..=10_000;
            /// Connections of one link, in one direction. Past them, clients are sent to the room's router.
            connections_max: usize = 100_000, 1..=1_000_000;
            /// What may wait for one link, all its connections together; past it, the link is given up, and its clients resume.
            /// Half a second of a gigabit network that does not move.
            link_bytes: usize = 64 << 20, 1 << 20..=1 << 32;
        }
    }
}
