//! Three routers of a fleet and a real etcd, each of them with a proxy of its own on the way to it.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use crate::{
    etcd::{Etcd, compact},
    harness::{Authority, Router, free, get, remember},
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

/// See the module.
pub(crate) struct Fleet {
    pub(crate) etcd: Etcd,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) routers: Vec<Router>,
    /// Who signed etcd's certificate, where it has one.
    authority: Option<Authority>,
}

impl Fleet {
    pub(crate) async fn start(tls: bool) -> Self {
        let authority = tls.then(Authority::new);
        let etcd = match &authority {
            None => Etcd::start().await,
            Some(authority) => Etcd::with_certificate_of(authority).await,
        };
        let (scheme, address) = etcd.url().split_once("://").map(|(a, b)| (a.to_owned(), b.parse().unwrap())).unwrap();
        let authorities = etcd.file("ca.pem", &authority.as_ref().map(Authority::pem).unwrap_or_default());
        remember(RESUME_SECRET);
        let (mut proxies, mut routers) = (Vec::new(), Vec::new());
        for number in 1..=ROUTERS {
            let (proxy, client) = (Proxy::start(address).await, free());
            let (id, endpoint) = (format!("r{number}"), format!("{scheme}://{}", proxy.at));
            let own = format!("ws://{client}/v1/signal");
            let mut settings = vec![
                ("etcd.endpoints", endpoint.as_str()),
                ("etcd.lease_seconds", LEASE_SECONDS),
                ("etcd.timeout_ms", "500"),
                ("server.id", &id),
                ("server.url", &own),
                ("resume.secret", RESUME_SECRET),
                // a log of all that it can takes time that is measured here
                ("log.level", "info"),
            ];
            if tls {
                settings.push(("etcd.ca_file", authorities.to_str().unwrap()));
            }
            routers.push(Router::dev_at(client, &settings));
            proxies.push(proxy);
        }
        let fleet = Self { etcd, proxies, routers, authority };
        fleet.converged(Instant::now(), false).await.unwrap_or_else(|why| panic!("no fleet: {why}"));
        fleet
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
        let authority = self.authority.as_ref().unwrap();
        let names = ["127.0.0.1"];
        let pair = if expired { authority.sign_until(&names, 2001) } else { authority.sign(&names) };
        pair.write(self.etcd.folder(), "etcd");
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
        Ok(())
    }

    /// What each router has had to do with etcd that did not go well so far.
    pub(crate) async fn troubles(&self) -> Vec<f64> {
        let mut troubles = Vec::new();
        for router in &self.routers {
            let metrics = get(router.ops, "/metrics").await.body;
            let counts = metrics.lines().filter(|line| {
                let failed = line.starts_with("signalbox_directory_calls_total{") && !line.contains("outcome=\"ok\"");
                failed || line.starts_with("signalbox_directory_watches_lost_total ")
            });
            troubles.push(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum());
        }
        troubles
    }

    /// Why etcd does not do what each router asks for; absent: it does.
    pub(crate) async fn whys(&self) -> Vec<Option<String>> {
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

async fn metric(router: &Router, series: &str) -> f64 {
    let metrics = get(router.ops, "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_default()
}
