//! Three routers of a fleet, a real etcd and what rooms are kept in, each router with a proxy of its own on the way to etcd. Where they carry each other's clients, a proxy is also in front of each router's port for links.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    etcd::{Etcd, compact},
    fault::{Fault, Ground},
    harness::{Authority, Router, free, get, remember},
    keeping::{Keeping, certify},
    load,
    proxy::{Proxy, Weather},
};

/// How many routers there are.
pub(crate) const ROUTERS: usize = 3;
/// As short as etcd grants one: a fault of some seconds outlasts it.
const LEASE_SECONDS: &str = "2";
/// A client may resume at any router.
const RESUME_SECRET: &str = "resume-secret-of-the-fleet-resume-secret";
/// What is well only counts once it has stayed so: what a router shows may be a second old.
const STAYS: Duration = Duration::from_millis(1_200);
/// Nobody waits longer for a fleet to be well.
const PATIENCE: Duration = Duration::from_secs(30);
/// A sign of life that takes longer over a link, in seconds, is told as trouble.
const QUICK: &str = "0.064";
/// For how long a change may wait to be written, in seconds: some always does.
const BEHIND_MAX: f64 = 0.5;

/// See the module.
pub(crate) struct Fleet {
    pub(crate) etcd: Etcd,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) routers: Vec<Router>,
    /// Who signed etcd's certificate, where it has one.
    authority: Option<Authority>,
    /// Where rooms are kept.
    pub(crate) keeping: Keeping,
    /// The ways to each router for the links of the others, where they have any.
    links: Vec<Proxy>,
    /// Where their journals are, where they have any.
    disk: Option<TempDir>,
    /// What each router was started with.
    settings: Vec<Vec<(&'static str, String)>>,
}

impl Fleet {
    pub(crate) async fn start(ground: Ground) -> Self {
        let authority = (ground == Ground::Tls).then(Authority::new);
        let etcd = match &authority {
            None => Etcd::start().await,
            Some(authority) => Etcd::with_certificate_of(authority).await,
        };
        let (scheme, address) = etcd.url().split_once("://").map(|(a, b)| (a.to_owned(), b.parse().unwrap())).unwrap();
        let authorities = etcd.file("ca.pem", &authority.as_ref().map(Authority::pem).unwrap_or_default());
        remember(RESUME_SECRET);
        let mut keeping = Keeping::start(ground).await;
        let disk = (ground == Ground::Disk).then(|| TempDir::new().unwrap());
        let (mut proxies, mut routers, mut all_settings, mut links) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for number in 1..=ROUTERS {
            let (proxy, client) = (Proxy::start(address).await, free());
            let mut settings = vec![
                ("etcd.endpoints", format!("{scheme}://{}", proxy.at)),
                ("etcd.lease_seconds", LEASE_SECONDS.to_owned()),
                ("etcd.timeout_ms", "500".to_owned()),
                ("server.id", format!("r{number}")),
                ("server.url", format!("ws://{client}/v1/signal")),
                ("resume.secret", RESUME_SECRET.to_owned()),
                // a log of all that it can takes time that is measured here
                ("log.level", "info".to_owned()),
            ];
            if authority.is_some() {
                settings.push(("etcd.ca_file", authorities.display().to_string()));
            }
            settings.extend(keeping.settings().await);
            if let Some(disk) = &disk {
                let folder = disk.path().join(format!("r{number}"));
                fs::create_dir(&folder).unwrap();
                settings.push(("server.data_dir", folder.display().to_string()));
                settings.push(("redis.ack", "disk".to_owned()));
            }
            if ground == Ground::Links {
                let listen = free();
                let way = Proxy::start(listen).await;
                settings.push(("relay.listen", listen.to_string()));
                settings.push(("relay.url", format!("http://{}", way.at)));
                links.push(way);
            }
            routers.push(router(client, &settings, disk.is_some()));
            proxies.push(proxy);
            all_settings.push(settings);
        }
        let fleet = Self { etcd, proxies, routers, authority, keeping, links, disk, settings: all_settings };
        fleet.converged(Instant::now(), false).await.unwrap_or_else(|why| panic!("no fleet: {why}"));
        fleet
    }

    /// The network of the others to these routers is so, as far as links go.
    pub(crate) fn weather_of_links(&self, to: &[usize], weather: Weather) {
        to.iter().for_each(|number| self.links[*number].set(weather));
    }

    /// A router that was killed is there once more, where it was.
    pub(crate) fn start_again(&mut self, number: usize) {
        self.routers[number] = router(self.routers[number].client, &self.settings[number], self.disk.is_some());
    }

    /// The network of all routers is so.
    pub(crate) fn weather(&self, weather: Weather) {
        self.proxies.iter().for_each(|proxy| proxy.set(weather));
    }

    /// All that stood in it is gone, as of a new cluster in its place.
    pub(crate) fn forget_all(&self) {
        fs::remove_dir_all(self.etcd.folder().join("data")).unwrap();
    }

    /// Somebody else writes, takes back and compacts.
    pub(crate) async fn compact(&self) {
        let mut client = self.etcd.client().await;
        client.put("/signalbox/routers/r9", "{}", None).await.unwrap();
        client.delete("/signalbox/routers/r9", None).await.unwrap();
        compact(&mut client).await;
    }

    /// From now on etcd shows a certificate that has expired, or one that is good.
    pub(crate) fn certificate(&self, expired: bool) {
        certify(self.authority.as_ref().unwrap(), self.etcd.folder(), "etcd", expired);
    }

    /// How long after that moment all routers were registered, watching and of one view, with all of their rooms written,
    /// and stayed so.
    pub(crate) async fn converged(&self, since: Instant, loaded: bool) -> Result<Duration, String> {
        let mut well_since = None;
        loop {
            let seen = Instant::now();
            match self.well(loaded).await {
                Ok(()) if well_since.get_or_insert(seen).elapsed() > STAYS => {
                    return Ok(well_since.unwrap_or(seen) - since);
                }
                Ok(()) => {}
                Err(why) if since.elapsed() > PATIENCE => return Err(why),
                Err(_) => well_since = None,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is not as it should be.
    async fn well(&self, loaded: bool) -> Result<(), String> {
        let mut digests = BTreeSet::new();
        for (number, router) in self.routers.iter().enumerate() {
            let view = get(router.ops, "/api/fleet").await.json()["view"].take();
            let told = |what: &str| format!("r{}: {what}: {view}", number + 1);
            let well = view["answers"] == true && view["registered"] == true && view["watch"] == "watching";
            if !well {
                return Err(told("not well"));
            }
            if view["rooms_unwritten"] != 0 {
                return Err(told("rooms unwritten"));
            }
            if view["routers"].as_array().map_or(0, Vec::len) != ROUTERS {
                return Err(told("not all are seen"));
            }
            digests.insert(view["digest"].to_string());
        }
        if digests.len() != 1 {
            return Err(format!("the views differ: {digests:?}"));
        }
        if loaded && self.authority.is_none() {
            let rooms = self.etcd.keys("/signalbox/rooms/").await;
            let rooms = rooms.iter().filter(|key| key.contains("load-")).count();
            if rooms != ROUTERS * load::ROOMS {
                return Err(format!("etcd has {rooms} rooms of the load"));
            }
        }
        // one that only one end knows of is lost
        let [edges, hosts] = ["edge", "host"].map(|side| format!("signalbox_relay_links{{side=\"{side}\"}}"));
        let (edges, hosts) = (self.total(&edges).await, self.total(&hosts).await);
        if edges != hosts {
            return Err(format!("{edges} links stand by their edges, {hosts} by their hosts"));
        }
        // some have nothing to say of it
        for (number, router) in self.routers.iter().enumerate() {
            let behind = metric(router, "signalbox_fabric_behind_seconds").await;
            if behind > BEHIND_MAX {
                return Err(format!("r{}: {behind} s behind", number + 1));
            }
        }
        if loaded { self.keeping.is_whole().await } else { Ok(()) }
    }

    /// What each router has had to do with what that fault is of, and did not go well so far.
    pub(crate) async fn troubles(&self, fault: Fault) -> Vec<f64> {
        let mut troubles = Vec::new();
        for router in &self.routers {
            let metrics = get(router.ops, "/metrics").await.body;
            troubles.push(trouble(&metrics, fault));
        }
        troubles
    }

    /// Why etcd, or a Redis whose certificate has expired, does not do what each router asks for; absent: it does.
    pub(crate) async fn whys(&self, fault: Fault) -> Vec<Option<String>> {
        if fault == Fault::RedisExpired {
            let of_it = |line: &&str| line.contains("no connection to Redis") && line.contains("ertificate");
            let why = |line: &str| serde_json::from_str::<Value>(line).ok()?["why"].as_str().map(str::to_owned);
            return self.routers.iter().map(|router| router.stderr().lines().rfind(of_it).and_then(why)).collect();
        }
        let mut whys = Vec::new();
        for router in &self.routers {
            let view = get(router.ops, "/api/fleet").await.json()["view"].take();
            whys.push((view["answers"] == false).then(|| view["why"].as_str().unwrap_or_default().to_owned()));
        }
        whys
    }

    /// How often the routers read all anew because what they had not seen was compacted.
    pub(crate) async fn compactions(&self) -> f64 {
        self.total("signalbox_directory_reads_total{reason=\"compacted\"}").await
    }

    /// How many rooms each router has given up so far.
    pub(crate) async fn given_up(&self) -> Vec<f64> {
        let mut given_up = Vec::new();
        for router in &self.routers {
            given_up.push(metric(router, "signalbox_directory_rooms_given_up_total").await);
        }
        given_up
    }

    async fn total(&self, series: &str) -> f64 {
        let mut total = 0.0;
        for router in &self.routers {
            total += metric(router, series).await;
        }
        total
    }
}

fn router(client: SocketAddr, settings: &[(&'static str, String)], on_a_disk: bool) -> Router {
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    if on_a_disk { Router::dev_on_a_disk(client, &settings) } else { Router::dev_at(client, &settings) }
}

/// What is told there of what did not go well.
fn trouble(metrics: &str, fault: Fault) -> f64 {
    let sum = |begins: &str, fine: &[&str]| -> f64 {
        let counts =
            metrics.lines().filter(|line| line.starts_with(begins) && fine.iter().all(|fine| !line.contains(fine)));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    if fault.is_of_redis() {
        return sum("signalbox_fabric_calls_total{", &["outcome=\"ok\""]);
    }
    if !fault.is_of_links() {
        let failed = sum("signalbox_directory_calls_total{", &["outcome=\"ok\""]);
        return failed + sum("signalbox_directory_watches_lost_total ", &[]);
    }
    let trips = "signalbox_relay_round_trip_latency_seconds";
    let quick = sum(&format!("{trips}_bucket{{le=\"{QUICK}\"}} "), &[]);
    let slow = sum(&format!("{trips}_count "), &[]) - quick;
    let ended = sum("signalbox_relay_links_ended_total{side=\"edge\"", &["reason=\"idle\"", "reason=\"closed\""]);
    slow + ended + sum("signalbox_relay_openings_total{", &["outcome=\"relayed\""])
}

async fn metric(router: &Router, series: &str) -> f64 {
    let metrics = get(router.ops, "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_default()
}
