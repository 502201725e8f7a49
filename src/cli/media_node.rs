//! `signalbox media-node`: the reference media node as a process.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use super::{complain, say};
use crate::{
    ids::{NodeId, Region, Variant},
    media_node::{Limits, MediaNode, Settings, Tls},
    telemetry::logs,
};

/// Longest id (media.proto).
const ID_BYTES_MAX: usize = 64;

/// Arguments of `signalbox media-node`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  signalbox media-node --id m1 --region default --router http://127.0.0.1:7802
      beside `signalbox serve --dev`; prints `listening control=… udp=…` when it is ready
  signalbox media-node --id m2 --region sz --udp 0.0.0.0:7901 --announce 203.0.113.7 --weight 20 \\
      --control 10.0.0.7:7900 --router https://r1.internal:7802 --router https://r2.internal:7802 --router-ca ca.pem \\
      --tls-cert node.pem --tls-key node.key --client-ca ca.pem
      as a service: clients reach UDP port 7901 from outside, routers and node show each other certificates
  signalbox media-check http://127.0.0.1:7900
      whether a node, this or any other, keeps to the contract

The first SIGTERM or SIGINT drains: it takes leave of the routers, reports that it is draining and ends when no room is
left, after --drain-seconds at the latest. A second one ends it at once.")]
pub(super) struct Args {
    /// Unique among all nodes: 1 to 64 letters, digits, `.`, `_`, `-`.
    #[arg(long, value_parser = id)]
    id: String,
    /// One of the routers' regions.
    #[arg(long)]
    region: String,
    /// The version pool that it serves.
    #[arg(long, default_value = "default")]
    variant: String,
    /// Its share of the rooms beside other nodes: one of twice the weight gets twice the rooms.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    weight: u32,
    /// Where routers call it; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7900")]
    control: SocketAddr,
    /// The URL under which routers reach --control, when it is another one than the address says.
    #[arg(long, value_name = "URL")]
    control_url: Option<String>,
    /// Where clients send media; one port for all of them. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7901")]
    udp: SocketAddr,
    /// The address that clients are told instead of --udp's; needed when that is 0.0.0.0.
    #[arg(long, value_name = "IP")]
    announce: Option<IpAddr>,
    /// Told to clients beside the node's id.
    #[arg(long, value_name = "URL", default_value = "")]
    public_url: String,
    /// Registry of a router (its media.listen); may be given again. Without one, routers have to know it by their configuration.
    #[arg(long, value_name = "URL")]
    router: Vec<String>,
    /// Certificates (PEM) to trust for https:// routers.
    #[arg(long, value_name = "FILE")]
    router_ca: Option<PathBuf>,
    /// Certificate (PEM) of the control port, shown to routers, too.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Who signs the certificates that callers have to show (PEM); without it anybody may call.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,
    /// Rooms at a time.
    #[arg(long, value_name = "N", default_value_t = Limits::default().rooms)]
    rooms_max: usize,
    /// Participants of a room.
    #[arg(long, value_name = "N", default_value_t = Limits::default().participants)]
    participants_max: usize,
    /// Tracks of a room.
    #[arg(long, value_name = "N", default_value_t = Limits::default().tracks)]
    tracks_max: usize,
    /// How long a drain may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_seconds: u64,
    /// Log level.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

fn id(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    if (1..=ID_BYTES_MAX).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("is not 1 to {ID_BYTES_MAX} letters, digits, `.`, `_`, `-`"))
}

impl Args {
    fn settings(self) -> Settings {
        let defaults = Limits::default();
        let tls = self.tls_cert.zip(self.tls_key);
        Settings {
            id: NodeId::from(self.id),
            region: Region::from(self.region),
            variant: Variant::from(self.variant),
            base_weight: self.weight,
            public_url: self.public_url,
            control: self.control,
            control_url: self.control_url,
            udp: self.udp,
            announce: self.announce,
            limits: Limits {
                rooms: self.rooms_max,
                participants: self.participants_max,
                tracks: self.tracks_max,
                ..defaults
            },
            tls: tls.map(|(certificates, key)| Tls { certificates, key, client_ca: self.client_ca }),
            routers: self.router,
            router_ca: self.router_ca,
        }
    }
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let _writing = logs::init(logs::Format::Auto, &args.log_level, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    let patience = Duration::from_secs(args.drain_seconds);
    runtime.block_on(serve(args.settings(), patience))?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(ExitCode::SUCCESS)
}

async fn serve(settings: Settings, patience: Duration) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut node = MediaNode::start(settings).await?;
    say(&format!("listening control={} udp={}", node.control(), node.udp()));
    tokio::select! {
        () = stop_signal(&mut terminate, &mut interrupt) => {}
        () = node.ended() => bail!("the node broke; its log says why"),
    }
    complain("draining: routers are told; it ends when no room is left; a second signal ends at once");
    tokio::select! {
        drained = timeout(patience, node.drain()) => if drained.is_err() {
            complain(&format!("rooms are left after {} s: ending", patience.as_secs()));
        },
        () = stop_signal(&mut terminate, &mut interrupt) => complain("second signal: ending at once"),
    }
    node.end().await;
    Ok(())
}

async fn stop_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        assert_eq!(id("m-1.a_B").unwrap(), "m-1.a_B");
        for bad in ["", "a b", "ä", &"x".repeat(65)] {
            assert!(id(bad).unwrap_err().contains("1 to 64"), "{bad}");
        }
    }
}
