// Are users served, and if not, where does it hurt, since when, and what changed then?

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard, toCapture, toLatencyPage, toProfiles } from "./links";
import { HISTOGRAM, METRIC, OBSERVER, RECORDED } from "./metrics";
import { graph, states, tile } from "./panels";
import { BANDS, PROMISE } from "./promise";
import {
  BUDGET,
  IN_REGION,
  PROMISE_SECONDS,
  SERVED,
  FAILED,
  SHED,
  alerts,
  fleet,
  max,
  maxBy,
  named,
  quantile,
  rate,
  routers,
  sum,
  sumBy,
} from "./queries";
import { list } from "./tables";
import { COLOR, OPS, OUTCOMES } from "./theme";
import { op } from "./variables";

const budgetLeft = `1 - ${max(fleet(RECORDED.slow3d))} / ${BUDGET}`;

const memoryShare = `${routers(METRIC.memoryResident)} / ${routers(METRIC.memoryLimit)}`;
const fdShare = `${routers(METRIC.fdsOpen)} / ${routers(METRIC.fdsMax)}`;
const inboxShare = `${routers(METRIC.inboxDepth)} / ${routers(METRIC.inboxBound)}`;
const busiest = routers(METRIC.workerBusy);

const golden = [
  tile({
    title: "Signals a second",
    what: "Signals that ended, over all routers of the choice, in the last five minutes.",
    good: "The curve of this hour of the day and week.",
    act: "A fall without a deploy: look at sessions and at regions below. A region with none is SignalboxRegionLost.",
    unit: "reqps",
    expr: sum(fleet(RECORDED.signalsByOutcome)),
  }),
  tile({
    title: "Failed for our fault",
    what: "Share of signals, or of connections if that is higher, that failed with a code of the router's or a dependency's side; sheds left out.",
    good: "Under 0.1 %.",
    act: "See which code on the board Guard; SignalboxErrors has the runbook.",
    unit: "percentunit",
    expr: FAILED,
    levels: { warn: 0.001, bad: 0.01 },
    decimals: 2,
    links: [toBoard("Guard", "signalbox-guard")],
  }),
  tile({
    title: "Worst P99",
    what: "The highest five-minute P99 of any op and region.",
    good: "At or under 80 ms.",
    act: "The table of bands below says which op and region; follow it to Latency and to its capture.",
    unit: "s",
    expr: max(fleet(RECORDED.signalP99, IN_REGION)),
    levels: { warn: 0.06, bad: PROMISE_SECONDS },
    decimals: 1,
    links: [toBoard("Latency", "signalbox-latency")],
  }),
  tile({
    title: "Shed",
    what: "Share of connections, or of signals if that is higher, that were refused for want of room here: overloaded, router_full.",
    good: "0.",
    act: "SignalboxSheds has the runbook: add routers, or find on the board Guard who sends more than usual.",
    unit: "percentunit",
    expr: SHED,
    levels: { warn: 0.0001, bad: 0.01 },
    decimals: 2,
    links: [toBoard("Guard", "signalbox-guard")],
  }),
  tile({
    title: "Fullest resource",
    what: "The fullest of any router's memory, file descriptors, inboxes and workers.",
    good: "Under 70 %.",
    act: "The graph Saturation says which it is; the board Runtime says of which router.",
    unit: "percentunit",
    expr: max(
      [
        named(max(memoryShare), "of", "memory"),
        named(max(fdShare), "of", "file descriptors"),
        named(max(inboxShare), "of", "inbox"),
        named(max(busiest), "of", "worker"),
      ].join(" or "),
    ),
    levels: { warn: 0.7, bad: 0.9 },
    decimals: 0,
    links: [toBoard("Runtime", "signalbox-runtime")],
  }),
  tile({
    title: "Error budget left",
    what: "What is left of the one percent of signals that may take longer than 80 ms, over the last three days.",
    good: "Over half.",
    act: "Under a quarter: no risky deploys. At 0 or less the promise is broken: SignalboxSloBudgetLeaking has the runbook.",
    unit: "percentunit",
    expr: budgetLeft,
    levels: { warn: 0.5, bad: 0.1, falling: true },
    decimals: 0,
  }),
  graph({
    title: "Signals by op",
    what: "How many signals ended a second, by kind.",
    good: "The same shape as yesterday; ping is the steady floor.",
    act: "Joins and resumes that rise together mean that clients reconnect in masses: look at Sessions and rooms.",
    unit: "reqps",
    lines: [{ expr: sumBy("op", fleet(RECORDED.signalsByOutcome)), legend: "{{op}}" }],
    styles: OPS,
    table: true,
  }),
  graph({
    title: "Signals by outcome",
    what: "How signals ended: answered, refused, shed, past their deadline, or their client gone.",
    good: "All but ok near 0. Errors here include those of clients; the tile above has ours alone.",
    act: "Expired: something is slow, see Latency. Shed: see Guard. Error: see the codes on Guard.",
    unit: "reqps",
    lines: [{ expr: sumBy("outcome", rate(METRIC.signals)), legend: "{{outcome}}" }],
    styles: OUTCOMES,
    logarithmic: true,
    table: true,
  }),
  graph({
    title: "P99 by op",
    what: "P99 of signals that were served, by kind, with traces of single ones as points.",
    good: "Every op under the dashed line at 80 ms.",
    act: "Click a point above the line to see its trace; follow an op to Latency to see the stage that takes the time.",
    unit: "s",
    lines: [{ expr: quantile(0.99, HISTOGRAM.signals, "op", IN_REGION, SERVED), legend: "{{op}}", exemplar: true }],
    styles: OPS,
    levels: { bad: PROMISE_SECONDS },
    table: true,
    links: [toBoard("Latency of this op", "signalbox-latency", { op: "${__field.labels.op}" })],
  }),
  graph({
    title: "Saturation",
    what: "The fullest router's share of what it may use, by resource.",
    good: "All under 70 %, with room for a router to be lost.",
    act: "Memory: SignalboxMemoryHigh. Inbox: SignalboxQueueNearBound. Worker: look at its flamegraph from Runtime.",
    unit: "percentunit",
    lines: [
      { expr: max(memoryShare), legend: "memory" },
      { expr: max(fdShare), legend: "file descriptors" },
      { expr: max(inboxShare), legend: "inbox" },
      { expr: max(busiest), legend: "worker" },
    ],
    styles: {
      memory: { color: COLOR.plain },
      "file descriptors": { color: COLOR.light },
      inbox: { color: COLOR.violet },
      worker: { color: COLOR.yellow },
    },
    levels: { warn: 0.7, bad: 0.9 },
    max: 1,
    table: true,
  }),
];

const firing = [
  list({
    title: "Active alerts",
    what: "Alerts of ours that fire or are about to, with since when. Silences are in Alertmanager.",
    good: "No row but SignalboxWatchdog, which always fires: when it is missing, nobody would be paged.",
    act: "Begin with severity page. Each alert's page in alerts/runbooks says what to look at first.",
    width: 14,
    height: 9,
    labels: ["severity", "alertname", "alertstate", "cluster", "domain", "region", "op", "instance"],
    columns: [
      {
        title: "since",
        expr: `0 * ${alerts(OBSERVER.alerts)} + ignoring (alertstate) group_left () (1000 * ${alerts(OBSERVER.alertsSince)})`,
        unit: "dateTimeFromNow",
      },
    ],
    cellLinks: {
      op: [
        toBoard("Latency of this op and region", "signalbox-latency", {
          op: "${__data.fields.op}",
          region: "${__data.fields.region}",
        }),
      ],
      instance: toProfiles("fields"),
    },
    cellColors: { severity: { page: COLOR.bad, ticket: COLOR.warn, info: COLOR.light, none: COLOR.bound } },
    sortBy: "since",
    nothing: "no alert, not even SignalboxWatchdog: are the rules loaded?",
  }),
  graph({
    title: "Alerts over time",
    what: "How many alerts fired, by severity.",
    good: "None but the Watchdog's one of severity none.",
    act: "The annotations Alerts (switched on at the top) say which, over every graph.",
    unit: "none",
    width: 10,
    height: 9,
    lines: [
      { expr: `count by (severity) (${alerts(OBSERVER.alerts, 'alertstate="firing"')})`, legend: "{{severity}}" },
    ],
    styles: {
      page: { color: COLOR.bad },
      ticket: { color: COLOR.warn },
      info: { color: COLOR.light },
      none: { color: COLOR.bound },
    },
    bars: true,
    stacked: true,
  }),
];

const changed = [
  graph({
    title: "Versions",
    what: "How many routers run which version.",
    good: "One version; two while a deploy goes on.",
    act: "Two for over two hours is SignalboxVersionSkew: finish the deploy or take it back.",
    unit: "none",
    width: 6,
    lines: [{ expr: `count by (version) (${routers(METRIC.build)})`, legend: "{{version}}" }],
    stacked: true,
  }),
  graph({
    title: "Generation of the configuration",
    what: "Which configuration each router runs: 1 at its start, one more each time that it took up another.",
    good: "Flat; a step of every router of a domain when somebody changed something.",
    act: "The router's log says which keys changed, from what to what. Steps of some only: see Configuration on Dependencies.",
    unit: "none",
    width: 6,
    lines: [{ expr: maxBy("instance", routers(METRIC.configGeneration)), legend: "{{instance}}" }],
    links: [toBoard("Dependencies", "signalbox-dependencies")],
  }),
  graph({
    title: "Restarts",
    what: "Starts of routers, by router.",
    good: "None but by deploys.",
    act: "Three in an hour is SignalboxRestarting: the last lines of its log say why it ended; memory is the usual cause.",
    unit: "none",
    width: 6,
    lines: [{ expr: `changes(${routers(METRIC.startTime)}[$__rate_interval])`, legend: "{{instance}}" }],
    bars: true,
  }),
  states({
    title: "Drains",
    what: "Routers that are in a phase of their drain.",
    good: "Only those that a deploy replaces, each for no longer than drain.seconds.",
    act: "A router that stays in closing has sessions that do not go: see Sessions and rooms for it.",
    unit: "none",
    width: 6,
    height: 8,
    lines: [{ expr: `${routers(METRIC.drainPhase, 'phase!="serving"')} == 1`, legend: "{{instance}} {{phase}}" }],
    words: { 1: { text: "in this phase", color: COLOR.warn } },
  }),
  graph({
    title: "Injected faults",
    what: "Faults that somebody injects, on routers that were started with --dev.",
    good: "None in production, ever.",
    act: "SignalboxFaultActive: find who does it; a router in production must not run with --dev.",
    unit: "none",
    width: 8,
    lines: [{ expr: sumBy("fault", routers(METRIC.fault)), legend: "{{fault}}" }],
    bars: true,
  }),
  graph({
    title: "Sessions",
    what: "Sessions now, lingering ones included.",
    good: "The curve of this hour of the day and week.",
    act: "A cliff: a router went, or clients cannot come back. See Sessions and rooms.",
    unit: "short",
    width: 8,
    lines: [{ expr: sum(routers(METRIC.sessions)), legend: "sessions" }],
    styles: { sessions: { color: COLOR.plain } },
    links: [toBoard("Sessions and rooms", "signalbox-sessions")],
  }),
  graph({
    title: "Deliveries",
    what: "Pushes handed to sockets a second: what signals brought about for others.",
    good: "Moves with signals.",
    act: "More a signal than usual: rooms grew. Fewer: recipients are gone or read too slowly, see Sessions and rooms.",
    unit: "cps",
    width: 8,
    lines: [{ expr: sum(rate(METRIC.deliveries)), legend: "deliveries" }],
    styles: { deliveries: { color: COLOR.plain } },
  }),
];

const worst = [
  list({
    title: "Slowest routers of the last minute",
    what: "The ten highest last-minute P99s by router, op and region.",
    good: "Under 80 ms, and many routers alike.",
    act: "One router alone: follow it to its own page, its flamegraph or its capture. All alike: it is not the router.",
    width: 24,
    labels: ["cluster", "domain", "instance", "region", "op"],
    columns: [
      {
        title: "P99",
        expr: `topk(10, ${maxBy("cluster, domain, instance, op, region", routers(METRIC.signalP99, IN_REGION))})`,
        unit: "s",
        decimals: 1,
        levels: { warn: 0.06, bad: PROMISE_SECONDS },
      },
    ],
    cellLinks: {
      instance: [toCapture("fields"), toLatencyPage("fields"), ...toProfiles("fields")],
      op: [toBoard("Latency of this op", "signalbox-latency", { op: "${__data.fields.op}" })],
    },
    sortBy: "P99",
    nothing: "no signals in the last minute",
  }),
];

export const overview: Board = {
  uid: "signalbox-overview",
  title: "signalbox / Overview",
  description: "Are users served, and if not: where does it hurt, since when, and what changed then?",
  tags: ["overview"],
  banner: banner(),
  variables: [op("join")],
  rows: [
    { title: "Golden signals", panels: golden },
    { title: "What fires", panels: firing },
    { title: "The promise: 99 % of signals within 80 ms", panels: PROMISE },
    { title: "P99 against its band, by region", panels: BANDS },
    { title: "Where it is slow", panels: worst },
    { title: "What changed", panels: changed },
  ],
};
