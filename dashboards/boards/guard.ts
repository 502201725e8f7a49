// Who is refused, with which code, and whose doing it is.

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard, toProfiles } from "./links";
import { METRIC, RECORDED } from "./metrics";
import { graph, tile } from "./panels";
import { FAILED, SHED, fleet, maxBy, rate, routers, sum, sumBy } from "./queries";
import { list } from "./tables";
import { CODES, COLOR } from "./theme";

const OUR_CODES = "internal|deadline_exceeded|no_media_node|not_ready|auth_unavailable|media_unavailable|media_overloaded|room_unavailable";
const ROOM_CODES = "overloaded|router_full";
const LIMIT_CODES =
  "limit_exceeded|hold_full|room_full|too_many_connections|slow_reader|router_full|overloaded|rate_limited|too_many_at_once";
const ACCESS_CODES =
  "unauthenticated|token_expired|token_not_yet_valid|permission_denied|wrong_room|origin_refused|resume_token_invalid|resume_token_spent";

const now = [
  tile({
    title: "Shed",
    what: "Share of connections, or of signals if that is higher, that were refused for want of room here, as recorded.",
    good: "0.",
    act: "SignalboxSheds has the runbook: which reason below, then room (add routers) or a client that sends too much.",
    unit: "percentunit",
    decimals: 2,
    width: 6,
    expr: SHED,
    levels: { warn: 0.0001, bad: 0.01 },
  }),
  tile({
    title: "Failed for our fault",
    what: "Share of signals, or of connections if that is higher, that failed for the router's or a dependency's fault, as recorded.",
    good: "Under 0.1 %.",
    act: "SignalboxErrors has the runbook: which code below, then the log lines with that code.",
    unit: "percentunit",
    decimals: 2,
    width: 6,
    expr: FAILED,
    levels: { warn: 0.001, bad: 0.01 },
  }),
  tile({
    title: "Refused for want of room",
    what: "Connections, requests and signals a second that were refused as overloaded or router_full.",
    good: "0.",
    act: "The fleet is too small for what comes, or a router is slow: see Runtime.",
    unit: "cps",
    decimals: 2,
    width: 6,
    expr: `${sum(rate(METRIC.sheds, `reason=~"${ROOM_CODES}"`))} + ${sum(rate(METRIC.refusals, `code=~"${ROOM_CODES}"`))}`,
    levels: { warn: 0.001, bad: 1 },
    links: [toBoard("Runtime", "signalbox-runtime")],
  }),
  tile({
    title: "Refused for a token",
    what: "Connections, requests and signals a second that were refused for their token or origin.",
    good: "Steady and small.",
    act: "A jump: the application makes tokens that we do not take (keys, clock, rooms), or somebody tries doors.",
    unit: "cps",
    decimals: 2,
    width: 6,
    expr: `${sum(rate(METRIC.sheds, `reason=~"${ACCESS_CODES}"`))} + ${sum(rate(METRIC.refusals, `code=~"${ACCESS_CODES}"`))}`,
    links: [toBoard("Dependencies", "signalbox-dependencies")],
  }),
];

const sheds = [
  graph({
    title: "Shed ratio",
    what: "Share of connections and of signals that were refused for want of room here, by cluster and domain.",
    good: "0.",
    act: "One domain alone: its clients changed. All: room, or a drain that takes too many routers at once.",
    unit: "percentunit",
    lines: [
      { expr: maxBy("cluster, domain", fleet(RECORDED.sheds)), legend: "connections {{cluster}} {{domain}}" },
      { expr: maxBy("cluster, domain", fleet(RECORDED.signalSheds)), legend: "signals {{cluster}} {{domain}}" },
    ],
    levels: { warn: 0.0001, bad: 0.01 },
    table: true,
  }),
  graph({
    title: "Sheds by reason",
    what: "Connections and requests refused a second before they reached a room, by code. Blue: the client's doing; orange and red: ours; violet: a dependency's.",
    good: "draining during deploys, a few token refusals, nothing else.",
    act: "overloaded, router_full: add routers. too_many_connections: one address or key. handshake_timeout: scanners. auth_unavailable: see Dependencies.",
    unit: "cps",
    lines: [{ expr: `${sumBy("reason", fleet(RECORDED.shedsByReason))} > 0`, legend: "{{reason}}" }],
    styles: CODES,
    table: true,
  }),
  list({
    title: "Sheds by router, now",
    what: "Connections and requests refused a second, by router and reason: the twenty highest.",
    good: "No row, or draining alone.",
    act: "One router alone: take it out of the load balancer and look at Runtime for it.",
    labels: ["cluster", "domain", "instance", "reason"],
    columns: [
      {
        title: "a second",
        expr: `topk(20, ${sumBy("cluster, domain, instance, reason", rate(METRIC.sheds))} > 0)`,
        unit: "cps",
        decimals: 3,
      },
    ],
    cellLinks: { instance: toProfiles("fields") },
    sortBy: "a second",
    nothing: "nothing is shed",
  }),
  graph({
    title: "Room left: memory by router",
    what: "Each router's memory as a share of its limit.",
    good: "Under 70 %.",
    act: "Over 90 %: SignalboxMemoryHigh. Add routers before it is ended.",
    unit: "percentunit",
    max: 1,
    lines: [{ expr: `${routers(METRIC.memoryResident)} / ${routers(METRIC.memoryLimit)}`, legend: "{{instance}}" }],
    levels: { warn: 0.7, bad: 0.9 },
    table: true,
    links: toProfiles(),
  }),
];

const protection = [
  graph({
    title: "Refused by the guard",
    what: "Connections and signals that the guard refused a second, by what was to be done and by the limit that was reached: rates and places of users, addresses, keys and the router, queues, deadlines.",
    good: "None.",
    act: "user_, address_, key_: SignalboxRateLimited has the runbook. queue_: SignalboxShardBehind. deadline: something is slow, see Latency by stage.",
    unit: "cps",
    lines: [{ expr: `${sumBy("op, limit", rate(METRIC.guardSheds))} > 0`, legend: "{{op}} {{limit}}" }],
    table: true,
  }),
  graph({
    title: "Delay of shards' queues",
    what: "The least that anything waited for a shard in the last tenth of a second, the longest of each router's shards.",
    good: "Under 5 ms; short peaks.",
    act: "Standing at 20 ms: new joins are turned away. At 30 ms: signals as well. SignalboxShardBehind has the runbook.",
    unit: "s",
    lines: [{ expr: maxBy("instance", routers(METRIC.shardQueueDelay)), legend: "{{instance}}" }],
    levels: { warn: 0.02, bad: 0.03 },
    table: true,
    links: toProfiles(),
  }),
  graph({
    title: "Pressure of shards",
    what: "What each router's furthest shard turns away: 0 nothing, 1 new joins, 2 signals of those who are there as well.",
    good: "0.",
    act: "For minutes: more load than CPU, or one hot room. SignalboxShardBehind has the runbook.",
    unit: "none",
    width: 8,
    lines: [{ expr: maxBy("instance", routers(METRIC.shardPressure)), legend: "{{instance}}" }],
    levels: { warn: 1, bad: 2 },
  }),
  graph({
    title: "Changes of pressure",
    what: "Times a second that a shard turned away more than before, or less.",
    good: "0.",
    act: "Many: the load is just about what the router can serve.",
    unit: "cps",
    width: 8,
    lines: [{ expr: sumBy("instance", rate(METRIC.shardPressureChanges)), legend: "{{instance}}" }],
  }),
  graph({
    title: "Remembered users, addresses and keys",
    what: "Whose limits are remembered now, of the fullest router; and, dashed, how many a second were forgotten while they still counted.",
    good: "Somewhat above the sessions; nobody forgotten.",
    act: "Forgotten: more come than guard.cells holds. Raise it, 200 bytes each, or find out who comes from so many addresses.",
    unit: "short",
    width: 8,
    lines: [
      { expr: maxBy("scope", routers(METRIC.guardCells)), legend: "{{scope}}" },
      { expr: sumBy("scope", rate(METRIC.guardForgotten)), legend: "forgotten {{scope}}" },
    ],
    styles: { "/^forgotten /": { color: COLOR.warn, dash: "dash" } },
  }),
  graph({
    title: "Routers that share the fleet's limits",
    what: "Among how many routers each one counts the limits of guard.of_the_fleet to be shared; it allows that part of them.",
    good: "All lines are one, and it is how many routers take sessions; 1 where a router runs alone.",
    act: "Apart for longer than seconds: a router has lost its directory, and allows the part that it had last. Dependencies says why.",
    unit: "none",
    width: 24,
    lines: [{ expr: maxBy("instance", routers(METRIC.guardSharers)), legend: "{{instance}}" }],
    links: [toBoard("Dependencies", "signalbox-dependencies")],
  }),
];

const refusals = [
  graph({
    title: "Failed for our fault, by cluster and domain",
    what: "Share of signals and of connections that failed for the router's or a dependency's fault, by cluster and domain, as recorded.",
    good: "Under 0.1 %.",
    act: "SignalboxErrors has the runbook. The graphs below say which code.",
    unit: "percentunit",
    lines: [
      { expr: maxBy("cluster, domain", fleet(RECORDED.errors)), legend: "signals {{cluster}} {{domain}}" },
      {
        expr: maxBy("cluster, domain", fleet(RECORDED.connectionErrors)),
        legend: "connections {{cluster}} {{domain}}",
      },
    ],
    levels: { warn: 0.001, bad: 0.01 },
    table: true,
  }),
  graph({
    title: "Refusals by code, fleet",
    what: "Signals a second that were refused over all routers, as recorded: the same codes as below, cheap over weeks.",
    good: "The same shape as last week.",
    act: "Compare with a week ago by the time picker, then narrow by router below.",
    unit: "cps",
    lines: [{ expr: `${sumBy("code", fleet(RECORDED.refusalsByCode))} > 0`, legend: "{{code}}" }],
    styles: CODES,
    table: true,
  }),
  graph({
    title: "Refusals by code",
    what: "Signals a second that were refused, of the chosen routers, by the code that the client got. Blue: the client's doing; orange and red: ours; violet: a dependency's.",
    good: "A steady few of the client's codes.",
    act: "internal is a defect, its log line has the trace. A client's code that jumps: which SDK version, on Latency.",
    unit: "cps",
    lines: [{ expr: `${sumBy("code", rate(METRIC.refusals))} > 0`, legend: "{{code}}" }],
    styles: CODES,
    table: true,
  }),
  graph({
    title: "Failures for our fault, by code",
    what: "Signals a second that failed for the router's or a dependency's fault.",
    good: "None.",
    act: "deadline_exceeded: something is slow, see Latency by stage. auth_unavailable: see Dependencies. internal: the log.",
    unit: "cps",
    lines: [{ expr: `${sumBy("code", rate(METRIC.refusals, `code=~"${OUR_CODES}"`))} > 0`, legend: "{{code}}" }],
    styles: CODES,
    bars: true,
    stacked: true,
    table: true,
  }),
  graph({
    title: "Limits that were hit",
    what: "Signals, connections and requests a second that ran into a limit: of the protocol, of a room, of a key or address, of the router.",
    good: "Near 0.",
    act: "limit_exceeded: clients send frames that are too large or too many. room_full: rooms outgrow their setting. The message to the client names the limit.",
    unit: "cps",
    lines: [
      { expr: `${sumBy("code", rate(METRIC.refusals, `code=~"${LIMIT_CODES}"`))} > 0`, legend: "signals {{code}}" },
      {
        expr: `${sumBy("reason", rate(METRIC.sheds, `reason=~"${LIMIT_CODES}"`))} > 0`,
        legend: "connections {{reason}}",
      },
    ],
    styles: { "/^signals /": { color: COLOR.plain }, "/^connections /": { color: COLOR.light, dash: "dash" } },
    table: true,
  }),
  graph({
    title: "Tokens that were not taken",
    what: "Signals, connections and requests a second that were refused for their token or origin, by code.",
    good: "token_expired at a steady few.",
    act: "token_not_yet_valid: clocks, see Dependencies. unauthenticated in masses: a key was changed on one side only.",
    unit: "cps",
    lines: [
      { expr: `${sumBy("code", rate(METRIC.refusals, `code=~"${ACCESS_CODES}"`))} > 0`, legend: "signals {{code}}" },
      {
        expr: `${sumBy("reason", rate(METRIC.sheds, `reason=~"${ACCESS_CODES}"`))} > 0`,
        legend: "connections {{reason}}",
      },
    ],
    styles: { "/^signals /": { color: COLOR.plain }, "/^connections /": { color: COLOR.light, dash: "dash" } },
    table: true,
  }),
];

export const guard: Board = {
  uid: "signalbox-guard",
  title: "signalbox / Guard",
  description: "Who is refused, with which code, and whose doing it is.",
  tags: ["guard"],
  banner: banner(),
  rows: [
    { title: "Now", panels: now },
    { title: "Sheds: refused before they reached a room", panels: sheds },
    { title: "Protection: limits, queues, deadlines", panels: protection },
    { title: "Refusals: signals that were answered with a code", panels: refusals },
  ],
};
