//! Media nodes: where they make themselves known, which are known anyway, and how they are called.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    config::{
        schema::section,
        values::{Millis, Text, Url},
    },
    io::media::{is_node_word, is_public_url},
};

section! {
    /// Media nodes: where they register, which are known anyway, and how they are called.
    pub struct Media {
        keys {
            /// Address that nodes register at (gRPC); port 0 takes a free one. Empty: only media.nodes are known.
            /// Nobody registers before someone says so; with `serve --dev`: 127.0.0.1:7802.
            listen: Option<SocketAddr> = None, (), own;
            /// Lets nodes register without a certificate although media.listen is not loopback.
            /// Off: whoever reaches the port could take rooms' media. On, where the network itself keeps others out.
            plain: bool = false, ();
            /// A node that is silent for longer is forgotten; it registers anew every third of this.
            /// The usual lease: three lost registrations. A node that fails is left out much sooner, for want of reports.
            ttl_ms: Millis = Millis(30_000), 500..=600_000, live;
            /// How often a node reports its load.
            /// Older figures draw a herd to where it was quiet; newer ones cost each node a message to each router.
            report_ms: Millis = Millis(2000), 50..=60_000, live;
            /// How often the round trip to a node is measured. Three probes without an echo end the stream.
            /// Twice a report: a node that went silent is found before its third report is missing.
            probe_ms: Millis = Millis(1000), 20..=60_000, live;
            /// Most nodes; past them, a registration is refused.
            /// Each has a connection and two tasks, and each placement looks at all of its region.
            nodes_max: usize = 1000, 1..=10_000;
            /// For the connection to a node, its TLS included, and for its first word.
            connect_timeout_ms: Millis = Millis(2000), 50..=60_000, live;
            /// Calls to one node under way at a time.
            /// Twice what a node of sixteen cores answers at once; further ones only wait inside it.
            calls_in_flight: usize = 128, 1..=10_000;
            /// Calls to one node that wait for their turn; past them, `overloaded`.
            /// More could not be answered before their deadline.
            calls_waiting: usize = 4096, 1..=1_048_576;
            /// Longest answer or push of a node.
            /// An offer of a room with a hundred tracks has some 150 KiB.
            message_bytes: usize = 512 << 10, 4096..=16 << 20, live;
        }
        sections {
            /// TLS of the port that nodes register at.
            tls: RegistryTls;
            /// TLS towards nodes.
            node_tls: NodeTls;
            /// When a node is not called any more for a while.
            breaker: MediaBreaker;
            /// Nodes that are known without registering.
            nodes: Vec<MediaNode>;
        }
    }
}

section! {
    /// TLS of the port that nodes register at, taken up again when the files change. Certificate and key: both or none.
    pub struct RegistryTls {
        keys {
            /// Certificate chain in PEM, the own certificate first.
            cert_file: Option<PathBuf> = None, ();
            /// Private key in PEM.
            key_file: Option<PathBuf> = None, ();
            /// Who signs nodes' certificates, in PEM. With it, a node shows one whose SAN has a DNS name that is the node's id.
            client_ca_file: Option<PathBuf> = None, ();
        }
    }
}

section! {
    /// TLS towards nodes whose control_url is https. The files are read again for each connection.
    pub struct NodeTls {
        keys {
            /// Who signs the certificates that nodes show, in PEM; needed for https, and then all nodes must have https.
            /// The system's own are not trusted by themselves: nodes are inside, and so is who signs for them.
            ca_file: Option<PathBuf> = None, ();
            /// The router's own certificate chain, for nodes that ask for one.
            cert_file: Option<PathBuf> = None, ();
            /// Its private key.
            key_file: Option<PathBuf> = None, ();
        }
    }
}

section! {
    /// When a node is not called any more for a while: its calls failed, or took too long.
    pub struct MediaBreaker {
        keys {
            /// How far back calls count.
            /// A few reports' time: a node that fell ill is left alone at once, one that recovered is used again soon.
            window_ms: Millis = Millis(10_000), 100..=300_000, live;
            /// Fewer calls in the window say nothing.
            calls_min: u32 = 20, 1..=100_000, live;
            /// Of a hundred calls, how many failed ones are too many.
            failed_percent: u32 = 50, 1..=100, live;
            /// A call that takes longer is slow.
            /// Two thirds of the deadline of a signal: what comes after leaves no time for the way back.
            slow_ms: Millis = Millis(100), 1..=60_000, live;
            /// Of a hundred calls, how many slow ones are too many.
            slow_percent: u32 = 80, 1..=100, live;
            /// How long it is left alone before it is tried again; twice as long each time that this fails.
            open_ms: Millis = Millis(1000), 10..=300_000, live;
            /// And no longer than this.
            open_max_ms: Millis = Millis(30_000), 10..=3_600_000, live;
            /// Calls that try it again; when all of them are answered in time, it is called as before.
            probes: u32 = 3, 1..=1000, live;
        }
    }
}

section! {
    /// A node that is known without registering.
    pub struct MediaNode {
        keys {
            /// Its id, unique among all nodes; the node says the same of itself.
            id: String = String::new(), NODE_ID, live;
            /// Where it is: server.region or one of server.regions. Empty: server.region.
            region: String = String::new(), REGION_OR_NONE, live;
            /// Whom it serves. Empty: `default`.
            variant: String = String::new(), VARIANT_OR_NONE, live;
            /// Where it is called, as `https://node1.example.com:7810`.
            control_url: Option<Url> = None, (), live;
            /// Told to clients in `joined.media.url`; may be empty.
            public_url: String = String::new(), PUBLIC_URL, live;
            /// A node of twice the weight gets twice the rooms; 10 is usual.
            base_weight: u32 = 10, 1..=1000, live;
        }
    }
}

const NODE_ID: Text =
    Text { allowed: "1 to 64 of a-z A-Z 0-9 . _ -", test: |text| text.is_empty() || is_node_word(text) };
const REGION_OR_NONE: Text =
    Text { allowed: "1 to 64 of a-z A-Z 0-9 - _ ., or empty", test: |text| text.is_empty() || is_node_word(text) };
const VARIANT_OR_NONE: Text = REGION_OR_NONE;
const PUBLIC_URL: Text = Text {
    allowed: "a URL, http://, https://, ws:// or wss://, of at most 512 bytes, or empty",
    test: |text| text.is_empty() || is_public_url(text),
};
