//! Where traces and logs go.

use std::path::PathBuf;

use crate::{
    auth::settings::Secret,
    config::{
        schema::section,
        values::{List, Millis, Text, Url},
    },
};

section! {
    /// Traces, and logs where asked for, for an OpenTelemetry collector (OTLP over gRPC).
    pub struct Otlp {
        keys {
            /// The collector, as `http://127.0.0.1:4317`; empty: nothing is exported.
            endpoint: Option<Url> = None, ();
            /// Certificates that an https collector's may be signed by, in PEM; needed for https.
            /// The system's own are not trusted by themselves: collectors are inside, and so is who signs for them.
            ca_file: Option<PathBuf> = None, ();
            /// File with the value of the `authorization` header, as `Bearer …`; empty: none is sent.
            authorization_file: Option<PathBuf> = None, ();
            /// How long a batch may take, its retries included; past it, it is lost and counted.
            /// Nobody waits for it but the batches behind, and those have a bound.
            timeout_ms: Millis = Millis(10_000), 100..=60_000;
            /// Traces that may wait; past them, what comes is lost and counted. About a kilobyte each.
            /// Slow signals may take all places; errors, slow deliveries, the client's samples and ours a fifth each.
            traces_waiting: usize = 2048, 5..=65_536;
            /// Of a million signals that nothing is special about, how many are traced all the same.
            /// One in ten thousand shows what is usual beside what stands out.
            head_per_million: u32 = 100, 0..=1_000_000, live;
            /// Whether log lines are exported as well; standard error has them anyway.
            /// Off, because most platforms collect standard error.
            logs: bool = false, ();
            /// Log lines that may wait; past them, what comes is lost and counted. About half a kilobyte each.
            logs_waiting: usize = 4096, 1..=65_536;
            /// How long the end of the router waits for what still waits.
            /// Well inside the grace that orchestrators give before they kill.
            shutdown_timeout_ms: Millis = Millis(2000), 0..=30_000;
            /// More attributes of the resource, as `deployment.environment.name=production`.
            resource_attributes: Vec<String> = Vec::new(), List { count: 0..=32, each: ATTRIBUTE };
        }
        derived {
            /// What is in `ca_file`.
            ca: Option<String>;
            /// What is in `authorization_file`.
            authorization: Option<Secret>;
        }
    }
}

const ATTRIBUTE: Text =
    Text { allowed: "name=value, at most 256 bytes, not service.name, .version or .instance.id", test: is_attribute };

/// The service has its own names: `server.id` is the instance's.
fn is_attribute(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else { return false };
    let name_fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let taken = ["service.name", "service.version", "service.instance.id"].contains(&name);
    name_fits && !taken && !value.is_empty() && text.len() <= 256
}
