// Media nodes: which there are, how each router reaches them, and what becomes of calls to them.

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard } from "./links";
import { METRIC } from "./metrics";
import { graph, tile } from "./panels";
import { happened, max, maxBy, rate, routers, share, sum, sumBy } from "./queries";
import { COLOR, type Styles } from "./theme";

const REFUSED = "invalid|certificate|taken|full|flapping|stranger|garbage";
const NODES = "cluster, domain, node";

const CALL_OUTCOMES: Styles = {
  ok: { color: COLOR.good },
  refused: { color: COLOR.plain },
  late: { color: COLOR.bad },
  failed: { color: COLOR.bad, dash: "dash" },
  expired: { color: COLOR.violet },
  unsent: { color: COLOR.warn },
  full: { color: COLOR.warn, dash: "dash" },
};

const now = [
  tile({
    title: "Nodes known",
    what: "Media nodes that a router knows: registered, or of the configuration. The most that any router knows.",
    good: "As many as there should be.",
    act: "Fewer: who is missing, below. None: rooms have no media, signals to a node are answered with no_media_node.",
    unit: "none",
    decimals: 0,
    width: 6,
    expr: max(routers(METRIC.mediaNodes)),
    nothing: "none",
  }),
  tile({
    title: "Nodes out of reach",
    what: "Nodes that at least one router knows and has no stream to.",
    good: "0.",
    act: "SignalboxMediaNodeUnreachable has the runbook. One router alone: its network.",
    unit: "none",
    decimals: 0,
    width: 6,
    expr: `count(min by (${NODES}) (${routers(METRIC.mediaUp)}) == 0) or vector(0)`,
    levels: { warn: 0.5, bad: 2 },
  }),
  tile({
    title: "Breakers not closed",
    what: "Pairs of router and node whose breaker is open or half open: the node is not called, or only to see.",
    good: "0.",
    act: "SignalboxMediaBreakerOpen has the runbook: how its calls end, below.",
    unit: "none",
    decimals: 0,
    width: 6,
    expr: `count(${routers(METRIC.mediaBreaker)} > 0) or vector(0)`,
    levels: { warn: 0.5, bad: 2 },
  }),
  tile({
    title: "Calls that were not answered",
    what: "Share of calls to nodes that were late, failed, or were never sent.",
    good: "Under 0.1 %.",
    act: "Which outcome and which call, below; then the node's log.",
    unit: "percentunit",
    decimals: 2,
    width: 6,
    expr: share(sum(rate(METRIC.mediaCalls, 'outcome!~"ok|refused"')), sum(rate(METRIC.mediaCalls))),
    nothing: "no calls",
    levels: { warn: 0.001, bad: 0.01 },
  }),
];

const reach = [
  graph({
    title: "Streams",
    what: "Each node: the share of the routers that know it which have a stream to it.",
    good: "1 for every node.",
    act: "Between 0 and 1: some routers do not reach it, their network. 0: the node. SignalboxMediaNodeUnreachable.",
    unit: "percentunit",
    max: 1,
    lines: [{ expr: `avg by (${NODES}) (${routers(METRIC.mediaUp)})`, legend: "{{node}}" }],
    table: true,
  }),
  graph({
    title: "Round trip",
    what: "The last round trip to each node as its farthest router measured it on its stream.",
    good: "A few milliseconds within a region.",
    act: "One node at all routers: the node is busy. One router: the network. Placement counts it: such a node gets fewer rooms.",
    unit: "s",
    lines: [{ expr: maxBy(NODES, routers(METRIC.mediaRtt)), legend: "{{node}}" }],
    levels: { warn: 0.1, bad: 0.2 },
    table: true,
  }),
  graph({
    title: "Breakers",
    what: "The breaker of each router and node: 0 closed, 1 open, 2 half open.",
    good: "0.",
    act: "SignalboxMediaBreakerOpen. At one router: its way there. At all: the node.",
    unit: "none",
    lines: [
      { expr: `${maxBy("cluster, domain, instance, node", routers(METRIC.mediaBreaker))} > 0`, legend: "{{instance}} {{node}}" },
    ],
    levels: { bad: 1 },
    table: true,
  }),
  graph({
    title: "Changes of breakers",
    what: "How often breakers changed, by what to and why.",
    good: "None.",
    act: "failures: calls fail. slow: they take longer than media.breaker.slow_ms. probe_failed: it is still so.",
    unit: "none",
    lines: [{ expr: `${sumBy("to, reason", happened(METRIC.mediaBreakerChanges))} > 0`, legend: "{{to}} {{reason}}" }],
    styles: { "/^open/": { color: COLOR.bad }, "/^half_open/": { color: COLOR.warn }, "/^closed/": { color: COLOR.good } },
    bars: true,
  }),
  graph({
    title: "Streams lost",
    what: "Streams that were lost, or could not be made, by router.",
    good: "None.",
    act: "All routers at once: a node ended. One router: its network. A steady rate: a node that is known and away.",
    unit: "none",
    lines: [{ expr: `${sumBy("instance", happened(METRIC.mediaStreamsLost))} > 0`, legend: "{{instance}}" }],
    bars: true,
    table: true,
  }),
  graph({
    title: "Clock difference",
    what: "How far each node's clock is ahead of the router's; negative: behind. The largest of all routers, either way.",
    good: "Under a second.",
    act: "SignalboxMediaClockSkewed: chronyc tracking on the node's machine. All nodes alike: the router's clock, see Dependencies.",
    unit: "s",
    lines: [{ expr: maxBy(NODES, `abs(${routers(METRIC.mediaSkew)})`), legend: "{{node}}" }],
    levels: { warn: 1, bad: 5 },
    table: true,
    links: [toBoard("Dependencies", "signalbox-dependencies")],
  }),
];

const calls = [
  graph({
    title: "Calls by outcome",
    what: "Calls to nodes a second that ended so. expired, unsent and full were never sent.",
    good: "ok, and a few refused.",
    act: "late, failed: the node. expired, full: more calls than it answers in time. unsent: it is not connected, or its breaker is open.",
    unit: "cps",
    lines: [{ expr: `${sumBy("outcome", rate(METRIC.mediaCalls))} > 0`, legend: "{{outcome}}" }],
    styles: CALL_OUTCOMES,
    table: true,
  }),
  graph({
    title: "Calls by kind",
    what: "Calls to nodes a second, by kind.",
    good: "The shape of joins and of what they bring about.",
    act: "health: a breaker is not closed. Many put_participant without joins: nodes lose what they held.",
    unit: "cps",
    lines: [{ expr: `${sumBy("call", rate(METRIC.mediaCalls))} > 0`, legend: "{{call}}" }],
    table: true,
  }),
  graph({
    title: "Time of a call, mean",
    what: "From when a call was asked for until it ended, its turn included; by kind.",
    good: "A few milliseconds; offers some tens.",
    act: "All kinds: the node or the way there. Offers alone: the node's CPU. P99 of signals is on Latency, stage media.",
    unit: "s",
    lines: [
      { expr: share(sumBy("call", rate(METRIC.mediaCallSeconds)), sumBy("call", rate(METRIC.mediaCalls))), legend: "{{call}}" },
    ],
    levels: { warn: 0.05, bad: 0.1 },
    table: true,
    links: [toBoard("Latency", "signalbox-latency")],
  }),
  graph({
    title: "Pushes dropped",
    what: "Offers and candidates of nodes that were not handed to their participant: they cannot be used, or the room's shard took none.",
    good: "None.",
    act: "The log says why. A full shard: SignalboxQueueNearBound, board Runtime.",
    unit: "none",
    lines: [{ expr: `${sumBy("instance", happened(METRIC.mediaPushesDropped))} > 0`, legend: "{{instance}}" }],
    bars: true,
  }),
];

const comings = [
  graph({
    title: "Registrations",
    what: "What nodes said of themselves: taken (new, renewed, changed, leaving), or refused and why. stranger, garbage: what answers at a node's address.",
    good: "renewed, steadily; nothing orange.",
    act: "SignalboxMediaNodeRefused has the runbook: the log names the node and what is allowed.",
    unit: "none",
    lines: [{ expr: `${sumBy("result", happened(METRIC.mediaRegistrations))} > 0`, legend: "{{result}}" }],
    styles: {
      "/.*/": { color: COLOR.plain },
      renewed: { color: COLOR.good },
      [`/^(${REFUSED})$/`]: { color: COLOR.warn },
    },
    bars: true,
    stacked: true,
    table: true,
  }),
  graph({
    title: "Nodes that went",
    what: "Nodes that are not known any more: silent for longer than media.ttl_ms, left by themselves, or taken out of the configuration.",
    good: "left, during deploys of nodes.",
    act: "silent: a node died, or does not reach the router's port any more.",
    unit: "none",
    lines: [{ expr: `${sumBy("why", happened(METRIC.mediaNodesGone))} > 0`, legend: "{{why}}" }],
    styles: { left: { color: COLOR.good }, configuration: { color: COLOR.plain }, silent: { color: COLOR.warn } },
    bars: true,
  }),
];

export const media: Board = {
  uid: "signalbox-media",
  title: "signalbox / Media nodes",
  description: "Which media nodes there are, how routers reach them, and what becomes of calls to them.",
  tags: ["media"],
  banner: banner(),
  rows: [
    { title: "Now", panels: now },
    { title: "How routers reach them", panels: reach },
    { title: "Calls", panels: calls },
    { title: "Who comes and goes", panels: comings },
  ],
};
