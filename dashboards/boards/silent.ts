// Queries that rightly return nothing on a healthy router: each with its reason. `npm run live` asks every query of a
// Prometheus and names those that return nothing and are not here.

import type { Asked } from "./promql";

interface Silent {
  readonly board: string;
  readonly panel: string;
  /** Without it, every query of the panel. */
  readonly refId?: string;
  readonly reason: string;
}

/** Stands for every board, of annotations. */
const EVERY = "*";

const NO_CANARY = "no variant beside the default is configured";
const NEVER = "counts what a healthy router never does";
const NO_NODE = "there is no media node";
const ALONE = "routers run alone, without an etcd";
const UNLINKED = "there are no links between routers";
const UNKEPT = "rooms are kept nowhere outside, there is no Redis";

export const SILENT: readonly Silent[] = [
  { board: EVERY, panel: "Alerts", reason: "no alert fires" },
  { board: EVERY, panel: "Captures", reason: "no P99 has left its band yet" },
  { board: EVERY, panel: "Configurations", reason: "nobody changed a configuration in the last minute" },
  { board: EVERY, panel: "Drains", reason: "no router drains" },
  { board: EVERY, panel: "Faults", reason: "nobody injects a fault" },
  { board: EVERY, panel: "Promotions", reason: "no share changed in the last minute" },
  { board: EVERY, panel: "Versions", reason: "no version began in the last five minutes" },
  { board: "signalbox-dependencies", panel: "Batches that failed", reason: "the collector takes everything" },
  { board: "signalbox-dependencies", panel: "Certificate ends in", reason: "no TLS on any listener" },
  { board: "signalbox-dependencies", panel: "Days left, by listener", reason: "no TLS on any listener" },
  { board: "signalbox-dependencies", panel: "Introspection failures", reason: NEVER },
  { board: "signalbox-dependencies", panel: "Oldest lease", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Lease and view", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Calls to etcd", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Time of calls to etcd", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Views of the fleet", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Routers of the fleet", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Rooms of the fleet", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Rooms against their records", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Looks at records of rooms", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Rules of the fleet", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Leases and watches lost, all read again", reason: ALONE },
  { board: "signalbox-dependencies", panel: "Longest silence of Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Silence of Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Calls to Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Time of calls to Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Connections to Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "What Redis does not have yet", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Rooms that change hands, or wait", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Changes that wait for Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Time that answers wait for Redis", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "For how long journals wait", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "What waits in journals", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Writes of journals", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Disks of journals that fail", reason: UNKEPT },
  { board: "signalbox-dependencies", panel: "Clients sent on, not relayed", reason: UNLINKED },
  { board: "signalbox-dependencies", panel: "Links between routers", reason: UNLINKED },
  { board: "signalbox-dependencies", panel: "Connections over links", reason: UNLINKED },
  { board: "signalbox-dependencies", panel: "Clients whose room is elsewhere", reason: UNLINKED },
  { board: "signalbox-dependencies", panel: "Round trip over links", reason: UNLINKED },
  { board: "signalbox-dependencies", panel: "Links ended, by reason", reason: UNLINKED },
  {
    board: "signalbox-dependencies",
    panel: "Traces lost on the way",
    reason: "no collector is configured, so there are no traces to lose",
  },
  {
    board: "signalbox-dependencies",
    panel: "Verifying a renewed token",
    reason: "no client renews its token over its connection",
  },
  { board: "signalbox-guard", panel: "Failures for our fault, by code", reason: NEVER },
  { board: "signalbox-guard", panel: "Limits that were hit", reason: "nobody ran into a limit" },
  { board: "signalbox-guard", panel: "Refusals by code", reason: "no signal was refused" },
  { board: "signalbox-guard", panel: "Refusals by code, fleet", reason: "no signal was refused" },
  { board: "signalbox-guard", panel: "Refused by the guard", reason: "nobody ran into a limit" },
  { board: "signalbox-guard", panel: "Sheds by reason", reason: "nobody was shed" },
  { board: "signalbox-guard", panel: "Sheds by router, now", reason: "nobody was shed" },
  { board: "signalbox-guard", panel: "Tokens that were not taken", reason: "every token was taken" },
  {
    board: "signalbox-latency",
    panel: "Points that the router's own band stands on",
    reason: "the router has served for less than five minutes",
  },
  {
    board: "signalbox-latency",
    panel: "The router's own band",
    reason: "the router has served for less than five minutes",
  },
  { board: "signalbox-media", panel: "Calls that were not answered", reason: NO_NODE },
  { board: "signalbox-media", panel: "Calls by outcome", reason: NO_NODE },
  { board: "signalbox-media", panel: "Calls by kind", reason: NO_NODE },
  { board: "signalbox-media", panel: "Time of a call, mean", reason: NO_NODE },
  { board: "signalbox-media", panel: "Streams", reason: NO_NODE },
  { board: "signalbox-media", panel: "Round trip", reason: NO_NODE },
  { board: "signalbox-media", panel: "Breakers", reason: NO_NODE },
  { board: "signalbox-media", panel: "Clock difference", reason: NO_NODE },
  { board: "signalbox-media", panel: "Changes of breakers", reason: NEVER },
  { board: "signalbox-media", panel: "Streams lost", reason: NEVER },
  { board: "signalbox-media", panel: "Pushes dropped", reason: NEVER },
  { board: "signalbox-media", panel: "Registrations", reason: NO_NODE },
  { board: "signalbox-media", panel: "Nodes that went", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Nodes ready", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Nodes that take rooms", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Scores", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Weights", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Rooms by node", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Share got for share wanted", reason: NO_NODE },
  { board: "signalbox-placement", panel: "The largest share for what was wanted", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Rooms placed", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Rooms moved", reason: NEVER },
  { board: "signalbox-placement", panel: "Nodes that come and go", reason: NO_NODE },
  { board: "signalbox-placement", panel: "Void reports, refused nodes", reason: NEVER },
  { board: "signalbox-placement", panel: "Rooms without a node of their variant", reason: NEVER },
  { board: "signalbox-observers", panel: "Batches that failed", reason: "the collector takes everything" },
  { board: "signalbox-observers", panel: "Captures made", reason: "nothing was bad enough to be captured" },
  { board: "signalbox-observers", panel: "Not kept: captures, baseline", reason: NEVER },
  { board: "signalbox-observers", panel: "Changes of the log level", reason: "nobody changed it" },
  { board: "signalbox-observers", panel: "Latencies beyond what histograms hold", reason: NEVER },
  { board: "signalbox-observers", panel: "Latest captures", reason: "no capture was made yet" },
  { board: "signalbox-observers", panel: "Log lines to the collector", refId: "B", reason: "no log line was lost" },
  {
    board: "signalbox-observers",
    panel: "Notifications by Alertmanager",
    refId: "B",
    reason: "no notification failed",
  },
  { board: "signalbox-observers", panel: "Panics beside the workers", reason: NEVER },
  {
    board: "signalbox-observers",
    panel: "Rule evaluations that failed or were missed",
    reason: "every rule is evaluated",
  },
  { board: "signalbox-observers", panel: "Slots thinned", reason: NEVER },
  { board: "signalbox-observers", panel: "Threads without a timer", reason: NEVER },
  { board: "signalbox-overview", panel: "Drains", reason: "no router drains" },
  {
    board: "signalbox-overview",
    panel: "P99 against its band, now",
    refId: "A",
    reason: "the baseline has no point yet",
  },
  {
    board: "signalbox-overview",
    panel: "P99 against its band, now",
    refId: "C",
    reason: "the baseline has no point yet",
  },
  {
    board: "signalbox-overview",
    panel: "P99 against its band, now",
    refId: "D",
    reason: "the baseline has no point yet",
  },
  {
    board: "signalbox-overview",
    panel: "P99 against its band: $region",
    refId: "C",
    reason: "the baseline has no point yet",
  },
  {
    board: "signalbox-overview",
    panel: "P99 against its band: $region",
    refId: "D",
    reason: "the baseline has no point yet",
  },
  {
    board: "signalbox-overview",
    panel: "P99 against its band: $region",
    refId: "E",
    reason: "the baseline has no point yet",
  },
  { board: "signalbox-runtime", panel: "Captures of bad minutes", reason: "no P99 has left its band yet" },
  { board: "signalbox-runtime", panel: "Stalls", reason: NEVER },
  { board: "signalbox-sessions", panel: "Admin calls", reason: "nobody called the admin API" },
  { board: "signalbox-variants", panel: "Errors over the rest, worst", reason: NO_CANARY },
  { board: "signalbox-variants", panel: "Highest share of a rule", reason: NO_CANARY },
  { board: "signalbox-variants", panel: "P99 against the rest", reason: NO_CANARY },
  { board: "signalbox-variants", panel: "P99 against the rest, worst", reason: NO_CANARY },
  { board: "signalbox-variants", panel: "Sessions beside the default", reason: NO_CANARY },
  { board: "signalbox-variants", panel: "Shares that rules are to give", reason: NO_CANARY },
  {
    board: "signalbox-variants",
    panel: "Variants by router, now",
    refId: "A",
    reason: "nobody has sent a signal in the last seconds",
  },
  { board: "signalbox-sessions", panel: "Rooms closed, by reason", reason: "no room ended lately" },
];

const meant = ({ board, panel, refId }: Silent, asked: Asked) =>
  panel === asked.panel &&
  (board === asked.board || (board === EVERY && asked.kind === "annotation")) &&
  (refId ?? asked.refId) === asked.refId;

/** Why this query may return nothing. */
export const silent = (asked: Asked): string | undefined => SILENT.find((entry) => meant(entry, asked))?.reason;
