// What a fleet agrees on, of the board of dependencies.

import type { Dependency } from "./dependency";
import { HISTOGRAM, METRIC } from "./metrics";
import { graph } from "./panels";
import { happened, max, maxBy, quantile, routers, sum, sumBy } from "./queries";
import { COLOR } from "./theme";

const digests = `count_values by (cluster, domain) ("digest", ${routers(METRIC.directoryDigest)})`;

const digestOfRooms = (side: string) => maxBy("instance", routers(METRIC.directoryRoomsDigest, `side="${side}"`));
const apart = `(${digestOfRooms("here")} != bool ${digestOfRooms("there")}) > 0`;

export const directory: Dependency = {
  name: "Directory (etcd)",
  tile: {
    title: "Oldest lease",
    what: "How long ago etcd confirmed what stands there for a router, the worst of them. Nothing: routers run alone.",
    good: "Under a third of etcd.lease_seconds (30): 10 s.",
    act: "Calls go on: nothing on the way of a signal asks etcd. But new routers are not seen, and this one may be taken for gone. SignalboxDirectoryLost has the runbook.",
    unit: "s",
    decimals: 0,
    expr: max(routers(METRIC.directoryLeaseAge)),
    levels: { warn: 15, bad: 30 },
  },
  panels: [
    graph({
      title: "Lease and view",
      what: "Seconds since etcd confirmed the router's lease, and since anything proved that its view of the fleet is new; the bound is the lease itself.",
      good: "Saw teeth under a third of the bound.",
      act: "All routers: etcd. One: its network, or what etcd lets it do; its log says which.",
      unit: "s",
      lines: [
        { expr: maxBy("instance", routers(METRIC.directoryLeaseAge)), legend: "{{instance}} lease" },
        { expr: maxBy("instance", routers(METRIC.directoryWatchLag)), legend: "{{instance}} view" },
        { expr: max(routers(METRIC.directoryLease)), legend: "bound" },
      ],
      styles: { bound: { color: COLOR.bound, dash: "dash" } },
      table: true,
    }),
    graph({
      title: "Calls to etcd",
      what: "Calls to etcd, by kind and outcome.",
      good: "ok only: for each router a refresh and a put every third of the lease.",
      act: "denied: name, password or permission. unreachable, late: etcd, or the way there. gone: a lease that had ended.",
      unit: "none",
      lines: [{ expr: `${sumBy("call, outcome", happened(METRIC.directoryCalls))} > 0`, legend: "{{call}} {{outcome}}" }],
      styles: { "/ ok$/": { color: COLOR.good } },
      bars: true,
      table: true,
    }),
    graph({
      title: "Time of calls to etcd",
      what: "P99 by kind, connection and failures included.",
      good: "Some milliseconds.",
      act: "At etcd.timeout_ms: it hangs. Tens of milliseconds and rising: its disk (etcd_disk_wal_fsync_duration_seconds).",
      unit: "s",
      lines: [{ expr: quantile(0.99, HISTOGRAM.directory, "call"), legend: "{{call}}" }],
      table: true,
    }),
    graph({
      title: "Views of the fleet",
      what: "How many routers have which view of the fleet, by its digest.",
      good: "One a domain; two for seconds while routers come and go.",
      act: "Two for minutes is SignalboxFleetDisagrees: signalbox fleet on a router of each.",
      unit: "none",
      lines: [{ expr: digests, legend: "{{domain}} {{digest}}" }],
      stacked: true,
      table: true,
    }),
    graph({
      title: "Routers of the fleet",
      what: "Routers that each router knows, itself included, and records that it cannot read.",
      good: "All lines are one, and it is how many there are; nothing unreadable.",
      act: "Unreadable while versions are mixed: of a newer one. Else somebody writes there who should not; the log names the key.",
      unit: "none",
      lines: [
        { expr: maxBy("instance", routers(METRIC.directoryRouters)), legend: "{{instance}}" },
        { expr: `${maxBy("instance", routers(METRIC.directoryUnreadable))} > 0`, legend: "{{instance}} unreadable" },
      ],
      table: true,
    }),
    graph({
      title: "Rooms of the fleet",
      what: "Joins, resumes and admin calls by where their room was found; rooms that a router took over from one that ends, is silent or gone, and gave up to another; rooms that the fleet does not know of.",
      good: "here and elsewhere; behind a balancer that knows nothing of rooms, of N routers one in N is here. Taken over and given up while a router drains.",
      act: "unknown, not known to the fleet: etcd, see Calls to etcd. given up without a drain: two routers had made a room of one name while etcd was away.",
      unit: "none",
      lines: [
        { expr: `${sumBy("found", happened(METRIC.directoryRoomsSought))} > 0`, legend: "{{found}}" },
        { expr: `${sum(happened(METRIC.directoryRoomsTakenOver))} > 0`, legend: "taken over" },
        { expr: `${sum(happened(METRIC.directoryRoomsGivenUp))} > 0`, legend: "given up" },
        { expr: `${sum(routers(METRIC.directoryRoomsUnwritten))} > 0`, legend: "not known to the fleet" },
      ],
      styles: { here: { color: COLOR.good } },
      table: true,
    }),
    graph({
      title: "Rooms against their records",
      what: "Rooms whose records do not stand in etcd though it said so (here), and records of rooms that their router does not have (there), in two looks in a row; how many of either were mended.",
      good: "Nothing.",
      act: "SignalboxRoomsDiffer has the runbook; the router's log names some of the rooms.",
      unit: "none",
      lines: [
        { expr: `${sumBy("side", routers(METRIC.directoryRoomsAlone))} > 0`, legend: "alone {{side}}" },
        { expr: `${sumBy("side", happened(METRIC.directoryRoomsMended))} > 0`, legend: "mended {{side}}" },
      ],
      bars: true,
    }),
    graph({
      title: "Looks at records of rooms",
      what: "How long ago each router held its rooms against their records, and those whose two digests differ, as 1.",
      good: "Saw teeth up to some 40 s. Digests apart for a look are nothing.",
      act: "Rising: etcd, see Calls to etcd, under; or more rooms than an answer holds, which the log says. Apart for minutes: SignalboxRoomsDiffer.",
      unit: "s",
      lines: [
        { expr: maxBy("instance", routers(METRIC.directoryRoomsComparedAge)), legend: "{{instance}}" },
        { expr: apart, legend: "{{instance}} apart" },
      ],
      table: true,
    }),
    graph({
      title: "Leases and watches lost, all read again",
      what: "Leases that had ended, watches that broke or fell silent, records that another router wrote over, and times that all records were read, by reason.",
      good: "None but a reading at each start.",
      act: "compacted: the router was cut off for longer than etcd keeps history. rewound: etcd was restored from a copy, or made anew. server.id taken: SignalboxRouterIdShared.",
      unit: "none",
      lines: [
        { expr: `${sum(happened(METRIC.directoryLeasesLost))} > 0`, legend: "leases lost" },
        { expr: `${sum(happened(METRIC.directoryWatchesLost))} > 0`, legend: "watches lost" },
        { expr: `${sum(happened(METRIC.directoryIdTaken))} > 0`, legend: "server.id taken" },
        { expr: `${sumBy("reason", happened(METRIC.directoryReads))} > 0`, legend: "read: {{reason}}" },
      ],
      bars: true,
    }),
    graph({
      title: "Rules of the fleet",
      what: "The revision in etcd of the rules that each router has in force (0: none, it runs by its file), and routers that refuse what stands there.",
      good: "All lines are one; nobody refuses.",
      act: "SignalboxRulesRefused: the router's log says why. Apart without a refusal: it has lost its directory. signalbox fleet rules show tells who has which.",
      unit: "none",
      lines: [
        { expr: maxBy("instance", routers(METRIC.directoryRulesRevision)), legend: "{{instance}}" },
        { expr: `${maxBy("instance", routers(METRIC.directoryRulesRefused))} > 0`, legend: "{{instance}} refuses" },
      ],
      table: true,
    }),
  ],
};
