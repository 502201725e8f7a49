// What the router depends on: one entry each, with a tile that says whether it is well and a row that says why not. Another
// dependency is another entry.

import { banner } from "./banner";
import type { Board } from "./board";
import type { Dependency } from "./dependency";
import { toBoard } from "./links";
import { HISTOGRAM, METRIC } from "./metrics";
import { graph, tile } from "./panels";
import { CLOCK_SKEW, happened, max, maxBy, quantile, rate, routers, share, sum, sumBy } from "./queries";
import { relay } from "./relay";
import { COLOR, RESULTS, type Styles } from "./theme";

const DAY = 86_400;

const keys: Dependency = {
  name: "Verification keys",
  tile: {
    title: "Key fetches that failed",
    what: "Fetches of verification keys (JWKS or OIDC discovery) that failed in the last 15 minutes.",
    good: "0. Static keys are never fetched and stay at 0.",
    act: "Keys that were fetched stay in use; new ones are not learned. SignalboxAuthKeysStale has the runbook.",
    unit: "none",
    decimals: 0,
    expr: sum(`increase(${routers(METRIC.keysRefreshed, 'result="error"')}[15m])`),
    levels: { warn: 0.5, bad: 5 },
  },
  panels: [
    graph({
      title: "Key fetches",
      what: "Fetches of verification keys, by source and result.",
      good: "ok at the pace of auth's refresh, from every router.",
      act: "error: ask the URL of the config by curl from a router's machine; its certificate, its DNS, its status.",
      unit: "none",
      lines: [{ expr: sumBy("source, result", happened(METRIC.keysRefreshed)), legend: "{{source}} {{result}}" }],
      styles: { "/ ok$/": { color: COLOR.good }, "/ error$/": { color: COLOR.bad } },
      bars: true,
      table: true,
    }),
    graph({
      title: "Verifying a renewed token",
      what: "P99 and P50 of the stage verify, of clients that renew their token over their connection: signatures, and introspection where it is asked for.",
      good: "Under a millisecond with keys at hand; introspection adds the provider's answer time.",
      act: "Slow with introspection: the provider. Slow without: the CPU, see Runtime.",
      unit: "s",
      lines: [
        { expr: quantile(0.99, HISTOGRAM.stages, "", 'stage="verify"'), legend: "P99", exemplar: true },
        { expr: quantile(0.5, HISTOGRAM.stages, "", 'stage="verify"'), legend: "P50", exemplar: true },
      ],
      styles: { P99: { color: COLOR.plain, width: 2 }, P50: { color: COLOR.light, dash: "dot" } },
      table: true,
    }),
  ],
};

const introspection: Dependency = {
  name: "Introspection",
  tile: {
    title: "Introspections that failed",
    what: "Tokens that could not be introspected in the last 15 minutes, for want of the endpoint.",
    good: "0.",
    act: "Clients with opaque tokens cannot join: they get auth_unavailable and try again. SignalboxAuthKeysStale has the runbook.",
    unit: "none",
    decimals: 0,
    expr: sum(`increase(${routers(METRIC.introspectionFailures)}[15m])`),
    levels: { warn: 0.5, bad: 5 },
  },
  panels: [
    graph({
      title: "Introspection failures",
      what: "Tokens that could not be introspected, by router.",
      good: "None.",
      act: "All routers: the provider is away. One: its network.",
      unit: "none",
      lines: [{ expr: `${sumBy("instance", happened(METRIC.introspectionFailures))} > 0`, legend: "{{instance}}" }],
      bars: true,
    }),
    graph({
      title: "Refused because the provider was away",
      what: "Signals and connections a second that were refused with auth_unavailable.",
      good: "0.",
      act: "Users cannot join. The provider's status page first, then a fetch by curl from a router's machine.",
      unit: "cps",
      lines: [
        { expr: sum(rate(METRIC.refusals, 'code="auth_unavailable"')), legend: "signals" },
        { expr: sum(rate(METRIC.sheds, 'reason="auth_unavailable"')), legend: "connections" },
      ],
      styles: { signals: { color: COLOR.violet }, connections: { color: COLOR.violet, dash: "dash" } },
      links: [toBoard("Guard", "signalbox-guard")],
    }),
  ],
};

const daysLeft = `(${routers(METRIC.certificateExpiry)} - time()) / ${DAY}`;

const certificates: Dependency = {
  name: "Certificates",
  tile: {
    title: "Certificate ends in",
    what: "Days until the first certificate that is served ends.",
    good: "Over 21 days.",
    act: "Under 21: renew; changed files are taken up without a restart. SignalboxCertificateExpiring has the runbook.",
    unit: "d",
    decimals: 0,
    expr: `min(${daysLeft})`,
    levels: { warn: 21, bad: 7, falling: true },
    nothing: "no TLS",
    bare: true,
  },
  panels: [
    graph({
      title: "Days left, by listener",
      what: "Days until the certificate ends that each router serves: the first to end of each listener.",
      good: "Lines that fall a day a day, and jump up on renewal.",
      act: "A router whose line did not jump with the others' has not taken up the new files: see reloads.",
      unit: "d",
      lines: [{ expr: `min by (instance, listener) (${daysLeft})`, legend: "{{instance}} {{listener}}" }],
      levels: { warn: 21, bad: 7, falling: true },
      table: true,
    }),
    graph({
      title: "Certificates taken up",
      what: "Changed certificate files that were taken up, or could not be.",
      good: "ok on renewal, from every router.",
      act: "error: the old certificate stays. The log names the file and what is wrong. SignalboxCertificateReloadFailing has the runbook.",
      unit: "none",
      lines: [{ expr: sumBy("result", happened(METRIC.certificatesReloaded)), legend: "{{result}}" }],
      styles: RESULTS,
      bars: true,
    }),
  ],
};

const EXPORT: Styles = {
  "traces taken": { color: COLOR.good },
  "log lines taken": { color: COLOR.good, dash: "dash" },
  "/^traces lost/": { color: COLOR.bad },
  "/^log lines lost/": { color: COLOR.bad, dash: "dash" },
};

const collector: Dependency = {
  name: "Collector",
  tile: {
    title: "Traces lost on the way",
    what: "Share of traces worth keeping that did not reach the collector.",
    good: "0. Losing traces costs no signal.",
    act: "unreachable: the collector is away. queue_full: it is too slow. SignalboxExporterLosing has the runbook.",
    unit: "percentunit",
    decimals: 1,
    expr: share(
      sum(rate(METRIC.tracesLost)),
      `(${sum(rate(METRIC.tracesLost))} + ${sum(rate(METRIC.tracesExported))})`,
    ),
    levels: { warn: 0.001, bad: 0.1 },
    nothing: "no traces",
  },
  panels: [
    graph({
      title: "Taken and lost",
      what: "Traces and log lines a second that the collector took, and that did not reach it.",
      good: "Lost at 0.",
      act: "See Observers for why, by reason.",
      unit: "cps",
      lines: [
        { expr: sum(rate(METRIC.tracesExported)), legend: "traces taken" },
        { expr: sum(rate(METRIC.tracesLost)), legend: "traces lost" },
        { expr: sum(rate(METRIC.logsExported)), legend: "log lines taken" },
        { expr: sum(rate(METRIC.logsLost)), legend: "log lines lost" },
      ],
      styles: EXPORT,
      table: true,
      links: [toBoard("Observers", "signalbox-observers")],
    }),
    graph({
      title: "Batches that failed",
      what: "Batches that the collector did not take, or not all of, by what was in them.",
      good: "None.",
      act: "The router's log has the collector's answer, once a minute at most.",
      unit: "none",
      lines: [{ expr: `${sumBy("kind", happened(METRIC.exportFailures))} > 0`, legend: "{{kind}}" }],
      styles: { traces: { color: COLOR.plain }, logs: { color: COLOR.light }, other: { color: COLOR.bound } },
      bars: true,
    }),
  ],
};

const clocks: Dependency = {
  name: "Clocks",
  tile: {
    title: "Largest clock difference",
    what: "How far the clock of any router is from Prometheus's, either way.",
    good: "Under a second; a scrape's own time is in it.",
    act: "Over two: tokens seem expired or not yet valid. SignalboxClockSkewed has the runbook: chronyc tracking on the router's machine.",
    unit: "s",
    decimals: 2,
    expr: max(`abs(${CLOCK_SKEW})`),
    levels: { warn: 1, bad: 2 },
  },
  panels: [
    graph({
      title: "Clock difference by router",
      what: "The router's clock at the scrape, less Prometheus's.",
      good: "Near 0, all alike.",
      act: "All off alike: Prometheus's own clock. One: that machine's.",
      unit: "s",
      width: 24,
      lines: [{ expr: CLOCK_SKEW, legend: "{{instance}}" }],
      table: true,
    }),
  ],
};

const hashes = `count_values by (cluster, domain) ("hash", ${routers(METRIC.configHash)})`;

const configuration: Dependency = {
  name: "Configuration",
  tile: {
    title: "Configurations refused",
    what: "Routers that refused their configuration file and run with what they had before.",
    good: "0.",
    act: "The router's log names every mistake, and every key that needs a restart. SignalboxConfigRefused has the runbook.",
    unit: "none",
    decimals: 0,
    expr: sum(routers(METRIC.configRefused)),
    levels: { warn: 0.5, bad: 5 },
  },
  panels: [
    graph({
      title: "Configurations in use",
      what: "How many routers run which configuration, by the hash of what routers have in common: neither secrets nor their own names and addresses.",
      good: "One a domain; two while a change is on its way.",
      act: "Two for over an hour is SignalboxConfigSkew: compare /api/config of a router of each.",
      unit: "none",
      lines: [{ expr: hashes, legend: "{{domain}} {{hash}}" }],
      stacked: true,
      table: true,
    }),
    graph({
      title: "Configurations read again",
      what: "Times that a configuration was read again: taken up, the same as before, or refused.",
      good: "ok on a change, from every router.",
      act: "error: what ran runs on. The log says why; POST the file to /api/config/check to see it without a change.",
      unit: "none",
      lines: [{ expr: sumBy("result", happened(METRIC.configReloads)), legend: "{{result}}" }],
      styles: RESULTS,
      bars: true,
    }),
  ],
};

const digests = `count_values by (cluster, domain) ("digest", ${routers(METRIC.directoryDigest)})`;

const digestOfRooms = (side: string) => maxBy("instance", routers(METRIC.directoryRoomsDigest, `side="${side}"`));
const apart = `(${digestOfRooms("here")} != bool ${digestOfRooms("there")}) > 0`;

const directory: Dependency = {
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

const fabric: Dependency = {
  name: "Rooms outside of their routers (Redis)",
  tile: {
    title: "Longest silence of Redis",
    what: "For how long a server of Redis has done nothing that a router asked, the worst of them; each is asked once a second. Nothing: rooms are kept nowhere outside.",
    good: "About a second.",
    act: "Calls go on, but a router that ends now takes its rooms with it. SignalboxFabricUnreachable has the runbook.",
    unit: "s",
    decimals: 0,
    expr: max(routers(METRIC.fabricSilent)),
    levels: { warn: 5, bad: 10 },
  },
  panels: [
    graph({
      title: "Silence of Redis",
      what: "Seconds since the server of Redis that a router heard least lately did something that it was asked.",
      good: "About a second; some while another server takes the place of one.",
      act: "All routers: Redis. One: its network, or what Redis lets it do; its log says which.",
      unit: "s",
      lines: [{ expr: maxBy("instance", routers(METRIC.fabricSilent)), legend: "{{instance}}" }],
      table: true,
    }),
    graph({
      title: "Calls to Redis",
      what: "Calls to Redis, by kind and outcome; held, fenced and missing are answers: another router has the room, or Redis has lost it.",
      good: "ok, and a ping a second for each router and server.",
      act: "late, unreachable, resting: Redis, or the way there. denied: name, password or permission. failed: its words are in the router's log. full: more rooms change than it keeps up with.",
      unit: "none",
      lines: [{ expr: `${sumBy("call, outcome", happened(METRIC.fabricCalls))} > 0`, legend: "{{call}} {{outcome}}" }],
      styles: { "/ ok$/": { color: COLOR.good } },
      bars: true,
      table: true,
    }),
    graph({
      title: "Time of calls to Redis",
      what: "P99 by kind, connection and failures included.",
      good: "A millisecond or two.",
      act: "At redis.timeout_ms: it hangs. Tens of milliseconds and rising: its CPU, or a slow command of somebody else (redis-cli slowlog get).",
      unit: "s",
      lines: [{ expr: quantile(0.99, HISTOGRAM.fabric, "call"), legend: "{{call}}" }],
      table: true,
    }),
    graph({
      title: "Connections to Redis",
      what: "Connections that stand, servers that rooms are written to, and connections that could not be made or were lost, by reason.",
      good: "redis.connections for each router and server, and none that is lost.",
      act: "closed, silent: Redis was stopped, or hung. demoted, read_only: another server is the master. denied: name or password.",
      unit: "none",
      lines: [
        { expr: sumBy("instance", routers(METRIC.fabricConnections)), legend: "{{instance}}" },
        { expr: sumBy("instance", routers(METRIC.fabricServers)), legend: "{{instance}} servers" },
        { expr: `${sumBy("reason", happened(METRIC.fabricConnectionFailures))} > 0`, legend: "lost: {{reason}}" },
      ],
      table: true,
    }),
    graph({
      title: "What Redis does not have yet",
      what: "How long the room has waited that waits longest to be written, and how long changes waited that were: P99, from the first of those written together.",
      good: "redis.write_ms and a millisecond or two.",
      act: "Seconds: what a router that is killed now takes with it. SignalboxRoomsNotKept has the runbook.",
      unit: "s",
      lines: [
        { expr: maxBy("instance", routers(METRIC.fabricBehind)), legend: "{{instance}} waits" },
        { expr: quantile(0.99, HISTOGRAM.fabricWrites, "instance"), legend: "{{instance}} P99" },
      ],
      table: true,
    }),
    graph({
      title: "Rooms that change hands, or wait",
      what: "Rooms restored here, handed over, or kept by another router, and those that did not go on whole; and rooms of which something waits to be written.",
      good: "Nothing, but while routers drain or start.",
      act: "not_restored, not_handed_over: SignalboxRoomsNotRestored. held: two routers have a room of one name.",
      unit: "none",
      lines: [
        { expr: `${sumBy("outcome", happened(METRIC.fabricRooms, 'outcome!="written"'))} > 0`, legend: "{{outcome}}" },
        { expr: sum(routers(METRIC.fabricRoomsBehind)), legend: "wait" },
      ],
      table: true,
    }),
    graph({
      title: "Changes that wait for Redis",
      what: "Changes of rooms that are acknowledged once Redis has them (redis.ack), by what became of them; nothing, where they are acknowledged at once.",
      good: "kept.",
      act: "away, elsewhere: refused. late: done, and not known to be kept in time. full: more than may wait. SignalboxChangesNotKept has the runbook.",
      unit: "none",
      lines: [{ expr: `${sumBy("outcome", happened(METRIC.fabricAnswers))} > 0`, legend: "{{outcome}}" }],
      styles: { "/^kept$/": { color: COLOR.good } },
      bars: true,
      table: true,
    }),
    graph({
      title: "Time that answers wait for Redis",
      what: "How long the answer to a change waited until the change was kept (redis.ack); nothing, where it does not wait.",
      good: "A millisecond or two: a write to Redis, or the rest of one that was under way and another.",
      act: "Towards signal.timeout_ms, past which it is an error: time of calls to Redis, above.",
      unit: "s",
      lines: [
        { expr: quantile(0.99, HISTOGRAM.stages, "", 'stage="fabric"'), legend: "P99", exemplar: true },
        { expr: quantile(0.5, HISTOGRAM.stages, "", 'stage="fabric"'), legend: "P50", exemplar: true },
      ],
      styles: { P99: { color: COLOR.plain, width: 2 }, P50: { color: COLOR.light, dash: "dot" } },
      table: true,
    }),
    graph({
      title: "For how long journals wait",
      what: "For how long the room has waited that waits longest in a router's journal: what Redis did not take, on the disk (server.data_dir).",
      good: "Nothing, but while Redis is away.",
      act: "It goes on though Redis answers: SignalboxJournalStuck has the runbook.",
      unit: "s",
      lines: [{ expr: maxBy("instance", routers(METRIC.journalAge)), legend: "{{instance}}" }],
      table: true,
    }),
    graph({
      title: "What waits in journals",
      what: "Bytes of writes that Redis did not take and that lie on routers' disks (server.data_dir) until it does.",
      good: "Nothing, but while Redis is away.",
      act: "It grows to redis.journal_bytes while Redis is away; past that SignalboxJournalFailing has the runbook.",
      unit: "bytes",
      lines: [{ expr: maxBy("instance", routers(METRIC.journalBytes)), legend: "{{instance}}" }],
      table: true,
    }),
    graph({
      title: "Writes of journals",
      what: "What became of writes that Redis did not take, and how many wait.",
      good: "appended while Redis is away, brought when it is back, as many.",
      act: "fenced, missing, incomplete, unreadable: they will not be in Redis, SignalboxJournalWritesLost has the runbook. full, failed: SignalboxJournalFailing.",
      unit: "none",
      lines: [
        { expr: `${sumBy("outcome", happened(METRIC.journalWrites))} > 0`, legend: "{{outcome}}" },
        { expr: sum(routers(METRIC.journalDepth)), legend: "wait" },
      ],
      styles: { "/^(appended|brought)$/": { color: COLOR.good } },
      table: true,
    }),
    graph({
      title: "Disks of journals that fail",
      what: "Times that a journal's file could not be opened, written or read, and files that were set aside and begun anew.",
      good: "Nothing.",
      act: "The disk's own words are in the router's log. SignalboxJournalFailing has the runbook; set_aside: SignalboxJournalWritesLost.",
      unit: "none",
      lines: [{ expr: `${sumBy("instance, doing", happened(METRIC.journalFailures))} > 0`, legend: "{{instance}} {{doing}}" }],
      bars: true,
      table: true,
    }),
  ],
};

const DEPENDENCIES: readonly Dependency[] = [
  keys,
  introspection,
  certificates,
  configuration,
  directory,
  fabric,
  relay,
  collector,
  clocks,
];

/** The tiles share one line. */
const width = (at: number) => Math.floor(24 / DEPENDENCIES.length) + (at < 24 % DEPENDENCIES.length ? 1 : 0);

export const dependencies: Board = {
  uid: "signalbox-dependencies",
  title: "signalbox / Dependencies",
  description: "Whether what the router depends on is well: keys, introspection, certificates, its configuration, the directory of its fleet, the Redis that keeps its rooms, its links to other routers, the collector, clocks.",
  tags: ["dependencies"],
  banner: banner(),
  rows: [
    { title: "Is each well?", panels: DEPENDENCIES.map((one, at) => tile({ ...one.tile, width: width(at) })) },
    ...DEPENDENCIES.map(({ name, panels }) => ({ title: name, panels })),
  ],
};
