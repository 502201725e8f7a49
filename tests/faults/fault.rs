//! The faults: how each begins and ends, and what shows that it was one.

use std::time::Duration;

use crate::{
    fleet::Fleet,
    guests::{LINKED_BY_FEW, UNLINKED},
    keeping::Marks,
    proxy::Weather,
};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Frozen,
    Compacted,
    Emptied,
    Slow,
    Narrow,
    Reset,
    Mute,
    Void,
    Upwards,
    Downwards,
    Partition,
    Expired,
    TwoOfOneName,
    RedisKilled,
    RedisFrozen,
    RedisEmptied,
    RedisSlow,
    RedisNarrow,
    RedisReset,
    RedisMute,
    RedisVoid,
    RedisUpwards,
    RedisDownwards,
    RedisPartition,
    RedisExpired,
    EtcdAlone,
    RouterKilled,
    Failover,
    FailoverFrozen,
    SlotsMoved,
    ClusterKilled,
    LinksSlow,
    LinksNarrow,
    LinksRefused,
    LinksReset,
    LinksSilent,
    DiskFull,
}

/// What a fault happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Routers and an etcd.
    Etcd,
    /// The same over TLS.
    Tls,
    /// Routers, an etcd, and a Redis that they keep their rooms in.
    Redis,
    /// The same with a Redis that they speak TLS with.
    RedisTls,
    /// Like `Redis`, with a master and its replica, which a Sentinel watches.
    Sentinel,
    /// The same with a Cluster.
    Cluster,
    /// Like `Redis`, with journals on disks, which answers wait for while Redis is away.
    Disk,
    /// Routers that carry each other's clients over links, and an etcd.
    Links,
}

impl Ground {
    pub(crate) const ALL: [Self; 8] =
        [Self::Etcd, Self::Tls, Self::Redis, Self::RedisTls, Self::Sentinel, Self::Cluster, Self::Disk, Self::Links];
}

impl Fault {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 38] = [
        Self::Killed,
        Self::Frozen,
        Self::Compacted,
        Self::Emptied,
        Self::Slow,
        Self::Narrow,
        Self::Reset,
        Self::Mute,
        Self::Void,
        Self::Upwards,
        Self::Downwards,
        Self::Partition,
        Self::Expired,
        Self::TwoOfOneName,
        Self::RedisKilled,
        Self::RedisFrozen,
        Self::RedisEmptied,
        Self::RedisSlow,
        Self::RedisNarrow,
        Self::RedisReset,
        Self::RedisMute,
        Self::RedisVoid,
        Self::RedisUpwards,
        Self::RedisDownwards,
        Self::RedisPartition,
        Self::RedisExpired,
        Self::EtcdAlone,
        Self::RouterKilled,
        Self::Failover,
        Self::FailoverFrozen,
        Self::SlotsMoved,
        Self::ClusterKilled,
        Self::DiskFull,
        Self::LinksSlow,
        Self::LinksNarrow,
        Self::LinksRefused,
        Self::LinksReset,
        Self::LinksSilent,
    ];

    /// Those that every run of the tests takes.
    pub(crate) const SHORT: [Self; 4] = [Self::TwoOfOneName, Self::RedisKilled, Self::RouterKilled, Self::LinksReset];

    /// By which `FAULT=` picks it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Killed => "kill",
            Self::Frozen => "freeze",
            Self::Compacted => "compact",
            Self::Emptied => "empty",
            Self::Slow => "latency",
            Self::Narrow => "bandwidth",
            Self::Reset => "reset",
            Self::Mute => "timeout",
            Self::Void => "half-open",
            Self::Upwards => "cut-up",
            Self::Downwards => "cut-down",
            Self::Partition => "partition",
            Self::Expired => "certificate",
            Self::TwoOfOneName => "two-of-a-name",
            Self::RedisKilled => "redis-kill",
            Self::RedisFrozen => "redis-freeze",
            Self::RedisEmptied => "redis-empty",
            Self::RedisSlow => "redis-latency",
            Self::RedisNarrow => "redis-bandwidth",
            Self::RedisReset => "redis-reset",
            Self::RedisMute => "redis-timeout",
            Self::RedisVoid => "redis-half-open",
            Self::RedisUpwards => "redis-cut-up",
            Self::RedisDownwards => "redis-cut-down",
            Self::RedisPartition => "redis-partition",
            Self::RedisExpired => "redis-certificate",
            Self::EtcdAlone => "etcd-alone",
            Self::RouterKilled => "router-kill",
            Self::Failover => "redis-failover",
            Self::FailoverFrozen => "redis-failover-frozen",
            Self::SlotsMoved => "cluster-migrate",
            Self::ClusterKilled => "cluster-kill",
            Self::DiskFull => "redis-disk-full",
            Self::LinksSlow => "link-latency",
            Self::LinksNarrow => "link-bandwidth",
            Self::LinksRefused => "link-refused",
            Self::LinksReset => "link-reset",
            Self::LinksSilent => "link-silent",
        }
    }

    /// For people.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Killed => "etcd killed with -9, started again",
            Self::Frozen => "etcd frozen (SIGSTOP), thawed",
            Self::Compacted => "compaction while all are cut off",
            Self::Emptied => "etcd killed, an empty one in its place",
            Self::Slow => "latency of 3000 ms, jitter of 500 ms",
            Self::Narrow => "1 KiB/s",
            Self::Reset => "connections reset",
            Self::Mute => "connections taken, never answered",
            Self::Void => "connections half open: all vanishes, both ways",
            Self::Upwards => "nothing gets to etcd",
            Self::Downwards => "nothing gets back from etcd",
            Self::Partition => "r1 alone is cut off",
            Self::Expired => "etcd's certificate has expired",
            Self::TwoOfOneName => "r1 is cut off, rooms of one name",
            Self::RedisKilled => "Redis killed with -9, started again",
            Self::RedisFrozen => "Redis frozen (SIGSTOP), thawed",
            Self::RedisEmptied => "all that Redis has is gone (FLUSHALL)",
            Self::RedisSlow => "Redis: latency of 3000 ms, jitter of 500 ms",
            Self::RedisNarrow => "Redis: 1 KiB/s",
            Self::RedisReset => "Redis: connections reset",
            Self::RedisMute => "Redis: connections taken, never answered",
            Self::RedisVoid => "Redis: connections half open: all vanishes, both ways",
            Self::RedisUpwards => "nothing gets to Redis",
            Self::RedisDownwards => "nothing gets back from Redis",
            Self::RedisPartition => "r1 alone is cut off from Redis",
            Self::RedisExpired => "Redis's certificate has expired",
            Self::EtcdAlone => "all are cut off from etcd, not from Redis",
            Self::RouterKilled => "r1 killed with -9, started again",
            Self::Failover => "Redis's master killed with -9, its replica promoted",
            Self::FailoverFrozen => "Redis's master frozen, demoted, thawed",
            Self::SlotsMoved => "slots of a Redis Cluster move",
            Self::ClusterKilled => "a Cluster's master killed with -9, its replica promoted",
            Self::DiskFull => "Redis killed with -9 while the journals' disks are full",
            Self::LinksSlow => "links: latency of 100 ms, jitter of 20 ms",
            Self::LinksNarrow => "links: 64 KiB/s",
            Self::LinksRefused => "no new links to r3",
            Self::LinksReset => "links to r1 reset, once",
            Self::LinksSilent => "links to r1 taken, never answered",
        }
    }

    pub(crate) const fn ground(self) -> Ground {
        match self {
            Self::Expired => Ground::Tls,
            Self::RedisExpired => Ground::RedisTls,
            Self::RouterKilled | Self::EtcdAlone => Ground::Redis,
            Self::Failover | Self::FailoverFrozen => Ground::Sentinel,
            Self::SlotsMoved | Self::ClusterKilled => Ground::Cluster,
            Self::DiskFull => Ground::Disk,
            _ if self.is_of_redis() => Ground::Redis,
            _ if self.is_of_links() => Ground::Links,
            _ => Ground::Etcd,
        }
    }

    /// Whether it is Redis, or the way to it, that fails.
    pub(crate) const fn is_of_redis(self) -> bool {
        matches!(
            self,
            Self::RedisKilled
                | Self::RedisFrozen
                | Self::RedisEmptied
                | Self::RedisSlow
                | Self::RedisNarrow
                | Self::RedisReset
                | Self::RedisMute
                | Self::RedisVoid
                | Self::RedisUpwards
                | Self::RedisDownwards
                | Self::RedisPartition
                | Self::RedisExpired
                | Self::Failover
                | Self::FailoverFrozen
                | Self::SlotsMoved
                | Self::ClusterKilled
                | Self::DiskFull
        )
    }

    /// Whether there is nowhere to keep what is said while it lasts, so that it is not acknowledged.
    pub(crate) const fn refuses_changes(self) -> bool {
        matches!(self, Self::DiskFull)
    }

    /// Whether a replica takes the place of a master that has not told it all.
    pub(crate) const fn is_a_failover(self) -> bool {
        matches!(self, Self::Failover | Self::FailoverFrozen | Self::ClusterKilled)
    }

    /// Whether nobody has to end it for the fleet to be one again.
    pub(crate) const fn mends_itself(self) -> bool {
        self.is_a_failover()
    }

    /// Whether it is the links between routers that fail.
    pub(crate) const fn is_of_links(self) -> bool {
        matches!(self, Self::LinksSlow | Self::LinksNarrow | Self::LinksRefused | Self::LinksReset | Self::LinksSilent)
    }

    /// Whether links that stand are lost, and who is carried by them resumes: once, and nobody else.
    pub(crate) const fn loses_links(self) -> bool {
        matches!(self, Self::LinksReset | Self::LinksSilent)
    }

    /// Whether it is a server's certificate that has expired, which routers are to say.
    pub(crate) const fn is_of_certificates(self) -> bool {
        matches!(self, Self::Expired | Self::RedisExpired)
    }

    /// Whether rooms of one name come to be on two routers, one of which makes way.
    pub(crate) const fn has_two_of_one_name(self) -> bool {
        matches!(self, Self::TwoOfOneName | Self::EtcdAlone)
    }

    /// Whether rooms, members or links are elsewhere after it than the next one expects, or what routers have logged is to be of it alone.
    pub(crate) const fn leaves_marks(self) -> bool {
        self.loses_links() || matches!(self, Self::RouterKilled | Self::LinksRefused | Self::RedisExpired)
    }

    /// What has to be so before it: how much a replica knows of what it is to know when it takes its master's place.
    pub(crate) async fn prepare(self, fleet: &Fleet) -> u64 {
        if self.is_a_failover() { fleet.keeping.leave_the_replica_behind().await } else { 0 }
    }

    /// What shows on Redis's side that it was one.
    pub(crate) async fn begin(self, fleet: &mut Fleet, known: u64) -> Marks {
        match self {
            Self::Failover | Self::FailoverFrozen | Self::ClusterKilled => {
                return fleet.keeping.lose_the_master(self == Self::FailoverFrozen, known).await;
            }
            Self::SlotsMoved => return fleet.keeping.move_slots().await,
            Self::Killed => fleet.etcd.kill(),
            Self::Emptied => {
                fleet.etcd.kill();
                fleet.forget_all();
            }
            Self::Frozen => fleet.etcd.freeze(),
            Self::Compacted => {
                fleet.weather(Weather { reset: true, ..Weather::default() });
                fleet.compact().await;
            }
            Self::Expired => {
                // anew: who resumes a TLS session is not shown the certificate again
                fleet.etcd.kill();
                fleet.certificate(true);
                fleet.etcd.again().await;
            }
            Self::RedisExpired => fleet.keeping.shows(true).await,
            Self::Partition | Self::TwoOfOneName => fleet.proxies[0].set(self.weather()),
            Self::RedisKilled => fleet.keeping.one().kill(),
            Self::DiskFull => {
                fleet.routers.iter().for_each(|router| router.disk_takes(Some(0)));
                fleet.keeping.one().kill();
            }
            Self::RedisFrozen => fleet.keeping.one().freeze(),
            Self::RedisEmptied => drop(fleet.keeping.one().run(&["FLUSHALL"]).await),
            Self::RouterKilled => fleet.routers[0].send_signal("KILL"),
            _ if self.is_of_redis() => fleet.keeping.weather(self.ways_of(), self.weather()),
            _ if self.is_of_links() => fleet.weather_of_links(self.ways_of(), self.weather()),
            _ => fleet.weather(self.weather()),
        }
        Marks::default()
    }

    /// How long it is looked at, of the time that others are.
    pub(crate) fn lasts(self, during: Duration) -> Duration {
        // over at once
        if self == Self::LinksReset { during / 2 } else { during }
    }

    /// Once this is over, the fault is.
    pub(crate) async fn end(self, fleet: &mut Fleet) {
        match self {
            Self::Killed | Self::Emptied => fleet.etcd.again().await,
            Self::Frozen => fleet.etcd.thaw(),
            Self::Expired => fleet.certificate(false),
            Self::RedisExpired => fleet.keeping.shows(false).await,
            Self::RedisKilled => fleet.keeping.one().again().await,
            Self::DiskFull => {
                fleet.routers.iter().for_each(|router| router.disk_takes(None));
                fleet.keeping.one().again().await;
            }
            Self::RedisFrozen => fleet.keeping.one().thaw(),
            Self::Failover | Self::FailoverFrozen | Self::ClusterKilled => {
                fleet.keeping.get_it_back(self == Self::FailoverFrozen).await;
            }
            Self::RedisEmptied | Self::SlotsMoved => {}
            Self::RouterKilled => fleet.start_again(0),
            // it was over at once
            Self::LinksReset => {}
            _ if self.is_of_redis() => fleet.keeping.weather(self.ways_of(), Weather::default()),
            _ if self.is_of_links() => fleet.weather_of_links(self.ways_of(), Weather::default()),
            _ => fleet.weather(Weather::default()),
        }
    }

    fn weather(self) -> Weather {
        let fine = Weather::default();
        match self {
            Self::Slow | Self::RedisSlow => {
                Weather { latency: Some((Duration::from_millis(3_000), Duration::from_millis(500))), ..fine }
            }
            Self::Narrow | Self::RedisNarrow => Weather { bytes_a_second: Some(1_024), ..fine },
            Self::LinksSlow => {
                Weather { latency: Some((Duration::from_millis(100), Duration::from_millis(20))), ..fine }
            }
            Self::LinksNarrow => Weather { bytes_a_second: Some(64 << 10), ..fine },
            Self::LinksRefused => Weather { refuse: true, ..fine },
            Self::LinksReset => Weather { cuts: 1, ..fine },
            Self::Void | Self::RedisVoid | Self::LinksSilent => Weather { void: true, ..fine },
            Self::Reset | Self::RedisReset => Weather { reset: true, ..fine },
            Self::Mute | Self::RedisMute => Weather { mute: true, ..fine },
            Self::Upwards | Self::RedisUpwards => Weather { cut_up: true, ..fine },
            Self::Downwards | Self::RedisDownwards => Weather { cut_down: true, ..fine },
            Self::Partition | Self::TwoOfOneName | Self::RedisPartition | Self::EtcdAlone => {
                Weather { cut_up: true, cut_down: true, ..fine }
            }
            _ => fine,
        }
    }

    /// To which routers links fail, or whose ways to Redis do.
    const fn ways_of(self) -> &'static [usize] {
        match self {
            Self::LinksReset | Self::LinksSilent | Self::RedisPartition => &[0],
            Self::LinksRefused => &[LINKED_BY_FEW],
            _ => &[0, 1, 2],
        }
    }

    /// Which routers must have had trouble with etcd, with Redis or with links meanwhile: a fault that nobody notices proves nothing.
    pub(crate) const fn struck(self) -> &'static [usize] {
        match self {
            Self::Partition | Self::TwoOfOneName | Self::RedisPartition => &[0],
            Self::RouterKilled => &[],
            // the load fits into it: nothing is to be noticed
            Self::LinksNarrow => &[],
            Self::LinksRefused => &[UNLINKED],
            Self::LinksReset | Self::LinksSilent => &[1, 2],
            _ => &[0, 1, 2],
        }
    }
}
