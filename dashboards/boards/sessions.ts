// Who is here, who comes and goes, and why; what rooms hold; what operators change.

import { banner } from "./banner";
import type { Board } from "./board";
import { toProfiles, toRouter } from "./links";
import { METRIC } from "./metrics";
import { graph, tile } from "./panels";
import { happened, rate, routers, share, sum, sumBy } from "./queries";
import { BOUND, CODES, COLOR, RESULTS, type Styles } from "./theme";

const TRANSPORTS: Styles = {
  websocket: { color: COLOR.plain },
  grpc: { color: COLOR.violet },
  http: { color: COLOR.light },
  relay: { color: COLOR.yellow },
  other: BOUND,
};

const BUFFERS: Styles = {
  held: { color: COLOR.violet },
  history: { color: COLOR.plain },
  replies: { color: COLOR.light },
  other: BOUND,
};

/** What the service is built for. */
const CONNECTIONS_A_DAY = 100_000_000;

const now = [
  tile({
    title: "Sessions",
    what: "Sessions now, lingering ones included.",
    good: "The curve of this hour of the day and week.",
    act: "A cliff: see drops and closes by reason below.",
    unit: "short",
    expr: sum(routers(METRIC.sessions)),
  }),
  tile({
    title: "Rooms",
    what: "Rooms now, empty ones that have not ended included.",
    good: "In proportion to sessions.",
    act: "Growing without sessions: rooms do not end, see rooms closed by reason.",
    unit: "short",
    expr: sum(routers(METRIC.rooms)),
  }),
  tile({
    title: "Participants",
    what: "Participants of all rooms now, lingering and hidden ones included.",
    good: "Near the number of sessions.",
    act: "Far above it: many linger, see drops.",
    unit: "short",
    expr: sum(routers(METRIC.participants)),
  }),
  tile({
    title: "Participants a room",
    what: "The mean over all rooms.",
    good: "What your product makes: small for calls, large for events.",
    act: "A jump means large rooms: deliveries grow with their square. See Latency by scenario.",
    unit: "none",
    decimals: 1,
    expr: share(sum(routers(METRIC.participants)), sum(routers(METRIC.rooms))),
    nothing: "no rooms",
  }),
  tile({
    title: "Connections in a day",
    what: "Connections accepted in the last 24 hours.",
    good: `Under what the fleet is sized for; the design's mark is ${CONNECTIONS_A_DAY / 1e6} million.`,
    act: "Over it: check room for a lost router on Runtime.",
    unit: "short",
    decimals: 1,
    expr: sum(`increase(${routers(METRIC.connections)}[1d])`),
    levels: { warn: CONNECTIONS_A_DAY * 0.8, bad: CONNECTIONS_A_DAY },
  }),
  tile({
    title: "Resumes that needed a snapshot",
    what: "Share of resumes that came too late for what they missed.",
    good: "Under 5 %.",
    act: "Clients stay away too long, or room history is too short: see pushes discarded. SignalboxReconnects has the runbook.",
    unit: "percentunit",
    decimals: 1,
    expr: share(sum(rate(METRIC.resumes, 'result="snapshot"')), sum(rate(METRIC.resumes))),
    levels: { warn: 0.05, bad: 0.2 },
    nothing: "no resumes",
  }),
];

const comings = [
  graph({
    title: "Sessions by router",
    what: "Sessions of each router.",
    good: "Routers alike: connections are spread evenly.",
    act: "One at 0: it drains or is not reached. One far above: the load balancer sticks to it.",
    unit: "short",
    lines: [{ expr: sumBy("instance", routers(METRIC.sessions)), legend: "{{instance}}" }],
    table: true,
    links: [toRouter("Status of this router", "/api/status"), ...toProfiles()],
  }),
  graph({
    title: "Opened and closed",
    what: "Sessions that began with a join, that ended for good, that lost their connection, and that came back.",
    good: "Opened and closed near each other; dropped a few percent of them, resumed near dropped.",
    act: "Dropped rises and resumed does not: clients cannot come back, see refusals on Guard. SignalboxReconnects has the runbook.",
    unit: "cps",
    lines: [
      { expr: sum(rate(METRIC.sessionsOpened)), legend: "opened" },
      { expr: sum(rate(METRIC.sessionsClosed)), legend: "closed" },
      { expr: sum(rate(METRIC.sessionsDropped)), legend: "dropped" },
      { expr: sum(rate(METRIC.resumes)), legend: "resumed" },
    ],
    styles: {
      opened: { color: COLOR.plain },
      closed: { color: COLOR.bound },
      dropped: { color: COLOR.warn },
      resumed: { color: COLOR.good },
    },
    table: true,
  }),
  graph({
    title: "Sessions closed, by reason",
    what: "Sessions that ended for good a second, by code. Blue: the client's doing; orange and red: ours; violet: a dependency's.",
    good: "left, and some lingered_out.",
    act: "draining is a deploy. internal is a defect: the log has it. token_expired in masses: the application does not renew tokens.",
    unit: "cps",
    lines: [{ expr: `${sumBy("reason", rate(METRIC.sessionsClosed))} > 0`, legend: "{{reason}}" }],
    styles: CODES,
    table: true,
  }),
  graph({
    title: "Sessions dropped, by reason",
    what: "Sessions that lost their connection and linger, by code.",
    good: "connection_lost at a steady few: mobile networks.",
    act: "idle: clients sleep or a proxy cuts quiet connections. slow_reader: their network cannot take what is sent. overloaded: see Runtime.",
    unit: "cps",
    lines: [{ expr: `${sumBy("reason", rate(METRIC.sessionsDropped))} > 0`, legend: "{{reason}}" }],
    styles: CODES,
    table: true,
  }),
  graph({
    title: "Resumes",
    what: "Sessions that came back: all that was missed was given (recovered), or a snapshot had to do.",
    good: "recovered nearly alone.",
    act: "snapshot in masses: history lets go too early, see pushes discarded.",
    unit: "cps",
    lines: [{ expr: sumBy("result", rate(METRIC.resumes)), legend: "{{result}}" }],
    styles: RESULTS,
    stacked: true,
    table: true,
  }),
  graph({
    title: "Pushes discarded",
    what: "Entries that a full log or buffer let go of: a room's history, what is held for a session that is away, replies kept for resumes.",
    good: "history alone, in busy rooms; held and replies near 0.",
    act: "held: sessions are away long while much is sent to them. Limits of the config bound each buffer.",
    unit: "cps",
    lines: [{ expr: sumBy("buffer", rate(METRIC.pushesDiscarded)), legend: "{{buffer}}" }],
    styles: BUFFERS,
    table: true,
  }),
];

const connections = [
  graph({
    title: "Connections accepted",
    what: "Connections accepted a second, by transport.",
    good: "websocket and grpc follow sessions; http is the admin API; relay are clients of other routers, whose room is here: counted there as well.",
    act: "Far more connections than sessions: clients are refused before they join, see sheds on Guard.",
    unit: "cps",
    lines: [{ expr: sumBy("transport", rate(METRIC.connections)), legend: "{{transport}}" }],
    styles: TRANSPORTS,
    table: true,
  }),
  graph({
    title: "Connections closed, by reason",
    what: "Connections that ended a second, by transport and code.",
    good: "left and connection_lost.",
    act: "handshake_timeout, first_frame_timeout: scanners, or clients that hang. draining: a deploy.",
    unit: "cps",
    lines: [
      { expr: `${sumBy("transport, reason", rate(METRIC.connectionsClosed))} > 0`, legend: "{{transport}} {{reason}}" },
    ],
    table: true,
  }),
];

const rooms = [
  graph({
    title: "Rooms created and closed",
    what: "Rooms that came to be, and that ended, a second.",
    good: "Near each other over an hour.",
    act: "Created far above closed: rooms pile up, and memory with them. See linger and empty-room settings.",
    unit: "cps",
    width: 8,
    lines: [
      { expr: sum(rate(METRIC.roomsCreated)), legend: "created" },
      { expr: sum(rate(METRIC.roomsClosed)), legend: "closed" },
    ],
    styles: { created: { color: COLOR.plain }, closed: { color: COLOR.bound } },
  }),
  graph({
    title: "Rooms closed, by reason",
    what: "Rooms that ended a second, by code.",
    good: "left and lingered_out: the last one went.",
    act: "room_deleted in masses: an application cleans up, see admin calls. internal: a defect, the log has it.",
    unit: "cps",
    width: 8,
    lines: [{ expr: `${sumBy("reason", rate(METRIC.roomsClosed))} > 0`, legend: "{{reason}}" }],
    styles: CODES,
    table: true,
  }),
  graph({
    title: "Admin calls",
    what: "Calls of the admin API that change something, by call and outcome.",
    good: "What your application does; errors near 0.",
    act: "Errors: the log has each with its reason. Calls that nobody expects: whose key is it?",
    unit: "none",
    width: 8,
    lines: [{ expr: `${sumBy("call, outcome", happened(METRIC.adminCalls))} > 0`, legend: "{{call}} {{outcome}}" }],
    styles: { "/ ok$/": { color: COLOR.good }, "/ error$/": { color: COLOR.bad } },
    bars: true,
  }),
];

export const sessions: Board = {
  uid: "signalbox-sessions",
  title: "signalbox / Sessions and rooms",
  description: "Who is here, who comes and goes and why, and what rooms hold.",
  tags: ["sessions"],
  banner: banner(),
  rows: [
    { title: "Now", panels: now },
    { title: "Coming and going", panels: comings },
    { title: "Connections", panels: connections },
    { title: "Rooms and operators", panels: rooms },
  ],
};
