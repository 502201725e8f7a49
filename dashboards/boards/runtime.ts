// What each router's process takes of its machine, and where its CPU time goes.

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard, toCapture, toProfiles, toRouter } from "./links";
import { METRIC } from "./metrics";
import { graph, tile } from "./panels";
import { CLOCK_SKEW, happened, max, maxBy, rate, routers, share, sum } from "./queries";
import { list } from "./tables";
import { COLOR, LIMITS } from "./theme";

const memoryShare = `${routers(METRIC.memoryResident)} / ${routers(METRIC.memoryLimit)}`;
const fdShare = `${routers(METRIC.fdsOpen)} / ${routers(METRIC.fdsMax)}`;
const inboxShare = `${routers(METRIC.inboxDepth)} / ${routers(METRIC.inboxBound)}`;

const fullest = [
  tile({
    title: "Memory, fullest router",
    what: "Resident memory as a share of what the process may take: its cgroup's limit, else the machine's memory.",
    good: "Under 70 %.",
    act: "SignalboxMemoryHigh at 90 %: add routers or memory; a steady climb without sessions is SignalboxMemoryGrowing.",
    unit: "percentunit",
    decimals: 0,
    expr: max(memoryShare),
    levels: { warn: 0.7, bad: 0.9 },
  }),
  tile({
    title: "File descriptors, fullest router",
    what: "Open file descriptors as a share of the limit.",
    good: "Under 70 %.",
    act: "SignalboxFileDescriptorsLow at 85 %: raise LimitNOFILE, or add routers.",
    unit: "percentunit",
    decimals: 0,
    expr: max(fdShare),
    levels: { warn: 0.7, bad: 0.85 },
    nothing: "no limit",
  }),
  tile({
    title: "Inbox, fullest shard",
    what: "Inputs that wait for a shard as a share of how many may.",
    good: "Under 10 %, most of the time 0.",
    act: "At the bound signals are shed as overloaded. SignalboxQueueNearBound has the runbook.",
    unit: "percentunit",
    decimals: 0,
    expr: max(inboxShare),
    levels: { warn: 0.3, bad: 0.8 },
  }),
  tile({
    title: "Busiest worker",
    what: "The largest share of the last second that any worker ran tasks.",
    good: "Under 70 %.",
    act: "One worker alone: a hot room, or a task that blocks. All: add routers. The flamegraph says what they do.",
    unit: "percentunit",
    decimals: 0,
    expr: max(routers(METRIC.workerBusy)),
    levels: { warn: 0.7, bad: 0.9 },
  }),
  tile({
    title: "Workers stalled now",
    what: "Worker threads that have not come back from a task for telemetry.stall_ms.",
    good: "0.",
    act: "SignalboxWorkerStalled: the capture and the log line of the stall say where the thread is.",
    unit: "none",
    decimals: 0,
    expr: sum(routers(METRIC.stalledNow)),
    levels: { bad: 1 },
  }),
  tile({
    title: "Youngest router",
    what: "How long ago the router that started last did so.",
    good: "Days, between deploys.",
    act: "Minutes, again and again, is SignalboxRestarting.",
    unit: "s",
    expr: `min(time() - ${routers(METRIC.startTime)})`,
    bare: true,
  }),
];

const cpuAndMemory = [
  graph({
    title: "CPU by router",
    what: "Cores that each process keeps busy.",
    good: "Routers alike, in proportion to sessions, under 70 % of the workers.",
    act: "Open the flamegraph from here, or the difference between the last five minutes and the hour before.",
    unit: "none",
    lines: [
      { expr: rate(METRIC.cpu), legend: "{{instance}}" },
      { expr: max(routers(METRIC.workers)), legend: "limit: workers" },
    ],
    styles: LIMITS,
    table: true,
    links: toProfiles(),
  }),
  graph({
    title: "Memory by router",
    what: "Resident memory, beside the lowest limit of the choice.",
    good: "Level between deploys, following sessions.",
    act: "A climb that sessions do not explain is a leak: SignalboxMemoryGrowing. Drain the router before the limit ends it.",
    unit: "bytes",
    lines: [
      { expr: routers(METRIC.memoryResident), legend: "{{instance}}" },
      { expr: `min(${routers(METRIC.memoryLimit)})`, legend: "limit" },
    ],
    styles: LIMITS,
    table: true,
    links: [toRouter("Rooms and sessions of this router", "/api/status"), ...toProfiles()],
  }),
  graph({
    title: "Memory a session",
    what: "Resident memory divided by sessions.",
    good: "Level, once there are thousands of sessions.",
    act: "Rising while sessions do not fall: what a session holds grew, or memory is not given back.",
    unit: "bytes",
    width: 8,
    lines: [{ expr: share(routers(METRIC.memoryResident), routers(METRIC.sessions)), legend: "{{instance}}" }],
  }),
  graph({
    title: "Virtual memory",
    what: "Address space of each process.",
    good: "Level.",
    act: "Only growth matters: threads or mappings that are not given back.",
    unit: "bytes",
    width: 8,
    lines: [{ expr: routers(METRIC.memoryVirtual), legend: "{{instance}}" }],
  }),
  graph({
    title: "File descriptors",
    what: "Open file descriptors of each process, beside the lowest limit of the choice.",
    good: "About one a session, far from the limit.",
    act: "Rising without sessions: connections that do not end. SignalboxFileDescriptorsLow has the runbook.",
    unit: "short",
    width: 8,
    lines: [
      { expr: routers(METRIC.fdsOpen), legend: "{{instance}}" },
      { expr: `min(${routers(METRIC.fdsMax)})`, legend: "limit" },
    ],
    styles: LIMITS,
  }),
];

const machine = [
  graph({
    title: "Clock difference by router",
    what: "The router's clock at the scrape, less Prometheus's.",
    good: "Near 0, all alike.",
    act: "Over two seconds tokens seem expired or not yet valid: SignalboxClockSkewed. The board Dependencies says more.",
    unit: "s",
    width: 24,
    height: 6,
    lines: [{ expr: CLOCK_SKEW, legend: "{{instance}}" }],
    table: true,
    links: [toBoard("Dependencies", "signalbox-dependencies")],
  }),
];

const workers = [
  graph({
    title: "Busy share of workers",
    what: "The share of the last second that each router's busiest worker ran tasks.",
    good: "Under 70 %.",
    act: "Over 90 %: everything on that worker waits. The router's flamegraph says for what.",
    unit: "percentunit",
    max: 1,
    lines: [{ expr: maxBy("instance", routers(METRIC.workerBusy)), legend: "{{instance}}" }],
    levels: { warn: 0.7, bad: 0.9 },
    table: true,
    links: toProfiles(),
  }),
  graph({
    title: "Spread of load over workers",
    what: "The busiest worker of each router less its laziest.",
    good: "Under 30 points: rooms are spread evenly.",
    act: "A hot room sits on one shard: /debug/slow of the router names it.",
    unit: "percentunit",
    lines: [
      {
        expr: `${maxBy("instance", routers(METRIC.workerBusy))} - min by (instance) (${routers(METRIC.workerBusy)})`,
        legend: "{{instance}}",
      },
    ],
    levels: { warn: 0.3, bad: 0.6 },
    table: true,
    links: [toRouter("Slowest signals of this router", "/debug/slow")],
  }),
  graph({
    title: "Stalls",
    what: "Times that a worker did not come back from a task for telemetry.stall_ms, by router.",
    good: "None.",
    act: "SignalboxWorkerStalled. Each stall makes a capture: open it from here.",
    unit: "none",
    width: 8,
    lines: [{ expr: `${happened(METRIC.stallCount)} > 0`, legend: "{{instance}}" }],
    bars: true,
    links: [toRouter("Latest capture of this router", "/debug/captures/latest"), ...toProfiles()],
  }),
  graph({
    title: "Time lost to stalls",
    what: "Share of time that workers were away, counted when they come back.",
    good: "0.",
    act: "A blocking call on a worker: the stall's log line has the thread, its capture the stack.",
    unit: "percentunit",
    width: 8,
    lines: [{ expr: rate(METRIC.stalledTime), legend: "{{instance}}" }],
    links: [toRouter("Latest capture of this router", "/debug/captures/latest")],
  }),
  graph({
    title: "Threads",
    what: "Threads of each process.",
    good: "Level: workers, and a few beside them.",
    act: "Growth is blocking work that piles up: a slow disk or DNS.",
    unit: "none",
    width: 8,
    lines: [{ expr: routers(METRIC.threads), legend: "{{instance}}" }],
  }),
  graph({
    title: "Tasks alive",
    what: "Tasks that have begun and not ended, by router.",
    good: "A few a session.",
    act: "Growth without sessions: tasks that do not end.",
    unit: "short",
    width: 8,
    lines: [{ expr: routers(METRIC.tasksAlive), legend: "{{instance}}" }],
  }),
  graph({
    title: "Tasks that wait for any worker",
    what: "Length of the queue that all workers of a router share.",
    good: "Near 0.",
    act: "Standing above 0: workers are all busy, see the flamegraph.",
    unit: "short",
    width: 8,
    lines: [{ expr: routers(METRIC.globalQueue), legend: "{{instance}}" }],
    links: toProfiles(),
  }),
  graph({
    title: "Workers going to sleep",
    what: "Times a second that workers found nothing to do, by router.",
    good: "High when quiet, falling as load rises.",
    act: "0 under load: no slack is left. High under load: wake-ups cost CPU.",
    unit: "cps",
    width: 8,
    lines: [{ expr: `sum by (instance) (${rate(METRIC.workerParks)})`, legend: "{{instance}}" }],
  }),
];

const inboxes = [
  graph({
    title: "Inputs that wait, by router",
    what: "The longest inbox of each router, beside the lowest bound of the choice.",
    good: "Near 0; short peaks.",
    act: "Standing: that shard's worker is behind. SignalboxQueueNearBound has the runbook.",
    unit: "short",
    lines: [
      { expr: maxBy("instance", routers(METRIC.inboxDepth)), legend: "{{instance}}" },
      { expr: `min(${routers(METRIC.inboxBound)})`, legend: "bound" },
    ],
    styles: LIMITS,
    table: true,
    links: toProfiles(),
  }),
  list({
    title: "Fullest shards now",
    what: "The ten shards whose inboxes are fullest.",
    good: "All at 0 %.",
    act: "One shard: a hot room. All of one router: its machine. All: load.",
    labels: ["cluster", "domain", "instance", "shard"],
    columns: [
      {
        title: "full",
        expr: `topk(10, ${inboxShare})`,
        unit: "percentunit",
        decimals: 0,
        levels: { warn: 0.3, bad: 0.8 },
      },
    ],
    cellLinks: { instance: toProfiles("fields") },
    sortBy: "full",
  }),
];

const profiles = [
  list({
    title: "Open a profile",
    what: "Every router of the choice with its version and how long it runs. Its cells lead to flamegraphs, differences and captures.",
    good: "One version.",
    act: "In trouble: first the capture of the bad minute, then the difference between then and the hour before.",
    height: 9,
    labels: ["cluster", "domain", "instance", "version"],
    columns: [
      {
        title: "up for",
        expr: `(time() - ${routers(METRIC.startTime)}) * on (cluster, domain, job, instance) group_left (version) ${routers(METRIC.build)}`,
        unit: "s",
        decimals: 0,
      },
    ],
    cellLinks: {
      instance: [
        ...toProfiles("fields"),
        toRouter("All profiles", "/debug/pprof/", "fields"),
        toRouter("Slowest signals", "/debug/slow", "fields"),
      ],
    },
    sortBy: "up for",
  }),
  list({
    title: "Captures of bad minutes",
    what: "When each router last made a capture because the P99 of an op and region had left its band.",
    good: "None, or old.",
    act: "Open it from here: flamegraph of the moment beside the quiet hour before, slow signals, histograms.",
    height: 9,
    labels: ["instance", "op", "region"],
    columns: [{ title: "made", expr: `1000 * ${routers(METRIC.latencyCaptureTimestamp)}`, unit: "dateTimeFromNow" }],
    cellLinks: { instance: [toCapture("fields"), ...toProfiles("fields")] },
    sortBy: "made",
    nothing: "no capture of a bad minute",
  }),
  graph({
    title: "Profiler: samples kept and lost",
    what: "Samples a second that came, and that the CPU time spent was worth and did not come, over the chosen routers.",
    good: "Lost under 20 % of all.",
    act: "More lost: flamegraphs are of what is left. SignalboxProfilerLosing has the runbook; Observers says more.",
    unit: "cps",
    width: 24,
    height: 7,
    lines: [
      { expr: sum(rate(METRIC.profilerRaised)), legend: "raised" },
      { expr: sum(rate(METRIC.profilerLost)), legend: "lost" },
    ],
    styles: { raised: { color: COLOR.good }, lost: { color: COLOR.bad } },
    table: true,
  }),
];

export const runtime: Board = {
  uid: "signalbox-runtime",
  title: "signalbox / Runtime and profile",
  description: "What each router's process takes of its machine, and where its CPU time goes.",
  tags: ["runtime"],
  banner: banner(),
  rows: [
    { title: "Fullest", panels: fullest },
    { title: "CPU, memory, file descriptors", panels: cpuAndMemory },
    { title: "Workers", panels: workers },
    { title: "Inboxes", panels: inboxes },
    { title: "Profiles", panels: profiles },
    { title: "Clocks", panels: machine },
  ],
};
