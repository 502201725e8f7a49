// The rows of the board Observers about the evidence that routers keep: traces, log lines, profiles, captures.

import type { Row } from "./board";
import { toProfiles, toRouter } from "./links";
import { METRIC } from "./metrics";
import { graph } from "./panels";
import { happened, max, rate, routers, share, sum, sumBy } from "./queries";
import { list } from "./tables";
import { COLOR, LIMITS, type Styles } from "./theme";

const LOST: Styles = {
  budget: { color: COLOR.light },
  queue_full: { color: COLOR.warn },
  refused: { color: COLOR.violet },
  unreachable: { color: COLOR.bad },
  shutdown: { color: COLOR.bound },
};

const traces = [
  graph({
    title: "Traces kept, by reason",
    what: "Traces a second that were worth keeping: sampled by their client, failed, slow, or one of the head rate.",
    good: "sampled and head steady; error and slow small.",
    act: "slow jumps with P99: those traces are the evidence. error: see codes on Guard.",
    unit: "cps",
    lines: [{ expr: sumBy("reason", rate(METRIC.tracesKept)), legend: "{{reason}}" }],
    styles: {
      sampled: { color: COLOR.light },
      head: { color: COLOR.bound },
      slow: { color: COLOR.warn },
      error: { color: COLOR.bad },
    },
    table: true,
  }),
  graph({
    title: "Traces lost, by reason",
    what: "Traces that were worth keeping and did not reach the collector.",
    good: "0; budget in the worst minutes, which bounds what they cost.",
    act: "unreachable: the collector. queue_full: it is slow. refused: its limits. SignalboxExporterLosing.",
    unit: "cps",
    lines: [{ expr: sumBy("reason", rate(METRIC.tracesLost)), legend: "{{reason}}" }],
    styles: LOST,
    table: true,
  }),
  graph({
    title: "Traces on their way",
    what: "Traces that wait for the exporter, and that the collector took a second.",
    good: "Waiting near 0.",
    act: "Waiting at its bound (telemetry.otlp.traces_waiting): the collector does not keep up.",
    unit: "short",
    width: 8,
    lines: [
      { expr: sum(routers(METRIC.tracesWaiting)), legend: "waiting" },
      { expr: sum(rate(METRIC.tracesExported)), legend: "taken a second" },
    ],
    styles: { waiting: { color: COLOR.warn }, "taken a second": { color: COLOR.good } },
  }),
  graph({
    title: "Batches that failed",
    what: "Batches of traces or log lines that the collector did not take, or not all of.",
    good: "None.",
    act: "The router's log has the collector's answer.",
    unit: "none",
    width: 8,
    lines: [{ expr: `${sumBy("kind", happened(METRIC.exportFailures))} > 0`, legend: "{{kind}}" }],
    styles: { traces: { color: COLOR.plain }, logs: { color: COLOR.light }, other: { color: COLOR.bound } },
    bars: true,
  }),
  graph({
    title: "Trace contexts that cannot be read",
    what: "Frames a second whose traceparent is not one; it counts as absent.",
    good: "0.",
    act: "An SDK that makes them wrong: which version, on Latency.",
    unit: "cps",
    width: 8,
    lines: [{ expr: sum(rate(METRIC.traceparentsInvalid)), legend: "invalid" }],
    styles: { invalid: { color: COLOR.warn } },
  }),
];

const logs = [
  graph({
    title: "Log lines to the collector",
    what: "Log lines a second that the collector took, and lost ones by reason; standard error has all of them.",
    good: "Lost at 0.",
    act: "As for traces.",
    unit: "cps",
    width: 8,
    lines: [
      { expr: sum(rate(METRIC.logsExported)), legend: "taken" },
      { expr: `${sumBy("reason", rate(METRIC.logsLost))} > 0`, legend: "{{reason}}" },
    ],
    styles: { taken: { color: COLOR.good }, ...LOST },
  }),
  graph({
    title: "Log lines not written",
    what: "Repeated lines that were held back (the next of their kind says how many), and lines that were dropped because too many waited for standard error.",
    good: "held back in bad minutes only; dropped never.",
    act: "dropped: whoever reads standard error is too slow. held back: something repeats, its line says what.",
    unit: "cps",
    width: 8,
    lines: [
      { expr: sum(rate(METRIC.logLinesHeldBack)), legend: "held back" },
      { expr: sum(rate(METRIC.logLinesDropped)), legend: "dropped" },
    ],
    styles: { "held back": { color: COLOR.bound }, dropped: { color: COLOR.bad } },
  }),
  graph({
    title: "Changes of the log level",
    what: "Times that what is logged was changed while running, by router.",
    good: "None that nobody knows of.",
    act: "debug left on costs CPU and disk: PUT /api/log/level puts it back.",
    unit: "none",
    width: 8,
    lines: [{ expr: `${happened(METRIC.logLevelChanges)} > 0`, legend: "{{instance}}" }],
    bars: true,
    links: [toRouter("Level of this router", "/api/log/level")],
  }),
];

const profiler = [
  graph({
    title: "Samples lost by the profiler",
    what: "Share of samples that the CPU time spent was worth and that did not come, by router.",
    good: "Under 20 %.",
    act: "Over: short-lived threads, or threads without a timer. SignalboxProfilerLosing has the runbook.",
    unit: "percentunit",
    width: 8,
    lines: [
      {
        expr: share(rate(METRIC.profilerLost), `(${rate(METRIC.profilerLost)} + ${rate(METRIC.profilerRaised)})`),
        legend: "{{instance}}",
      },
    ],
    levels: { warn: 0.1, bad: 0.2 },
    links: toProfiles(),
  }),
  graph({
    title: "Samples raised, kept, cut off",
    what: "Samples a second that timers raised, stacks that were kept, and of those the ones that do not reach down to where their thread began.",
    good: "kept near raised (those that ran out together are one stack); cut off under 30 %.",
    act: "Cut off: code without frame pointers. See profiling/README.md.",
    unit: "cps",
    width: 8,
    lines: [
      { expr: sum(rate(METRIC.profilerRaised)), legend: "raised" },
      { expr: sum(rate(METRIC.profilerKept)), legend: "kept" },
      { expr: sum(rate(METRIC.profilerTruncated)), legend: "cut off" },
    ],
    styles: { raised: { color: COLOR.light }, kept: { color: COLOR.good }, "cut off": { color: COLOR.warn } },
  }),
  graph({
    title: "Room for the last hour of samples",
    what: "What the last hour of samples takes, the fullest router, and what it may take.",
    good: "Under the bound.",
    act: "At the bound rare stacks are summed up: see slots thinned.",
    unit: "bytes",
    width: 8,
    lines: [
      { expr: max(routers(METRIC.profilerRing)), legend: "samples" },
      { expr: `min(${routers(METRIC.profilerRingMax)})`, legend: "bound" },
    ],
    styles: { ...LIMITS, samples: { color: COLOR.plain } },
  }),
  graph({
    title: "Sampler by router",
    what: "How many routers run which sampler.",
    good: "ctimer on every router: exact addresses.",
    act: "itimer is the fallback; none: switched off, or refused to start, the log says why.",
    unit: "none",
    width: 8,
    lines: [{ expr: sumBy("sampler", routers(METRIC.profilerRunning)), legend: "{{sampler}}" }],
    styles: { ctimer: { color: COLOR.good }, itimer: { color: COLOR.warn } },
  }),
  graph({
    title: "Slots thinned",
    what: "Ten-second slots whose rare stacks were summed up for want of room.",
    good: "None.",
    act: "More different stacks than fit: raise the profiler's memory, or accept it.",
    unit: "none",
    width: 8,
    lines: [{ expr: `${happened(METRIC.profilerThinned)} > 0`, legend: "{{instance}}" }],
    bars: true,
  }),
  graph({
    title: "Threads without a timer",
    what: "Threads that are not sampled because the system had no timer for them.",
    good: "None.",
    act: "Raise the limit of pending signals (ulimit -i).",
    unit: "none",
    width: 8,
    lines: [{ expr: `${happened(METRIC.profilerWithoutTimer)} > 0`, legend: "{{instance}}" }],
    bars: true,
  }),
];

const captures = [
  list({
    title: "Latest captures",
    what: "When each router last made a capture, by cause.",
    good: "None, or old.",
    act: "Open it: it holds the flamegraph, the slow signals and the histograms of the moment.",
    width: 8,
    labels: ["instance", "cause"],
    columns: [{ title: "made", expr: `1000 * (${routers(METRIC.captureTimestamp)} > 0)`, unit: "dateTimeFromNow" }],
    cellLinks: { instance: [toRouter("Captures of this router", "/debug/captures/", "fields")] },
    sortBy: "made",
    nothing: "no capture yet",
  }),
  graph({
    title: "Captures made",
    what: "Captures that were begun, by cause.",
    good: "None but by operators.",
    act: "latency, stall: each stands for a bad minute. Open the latest from the table beside.",
    unit: "none",
    width: 8,
    lines: [{ expr: `${sumBy("cause", happened(METRIC.capturesMade))} > 0`, legend: "{{cause}}" }],
    styles: { latency: { color: COLOR.warn }, stall: { color: COLOR.bad }, operator: { color: COLOR.light } },
    bars: true,
  }),
  graph({
    title: "Not kept: captures, baseline",
    what: "Captures that were not made because there have been enough, that were begun and will not be there, and times that their folder could not be used; times that the file of the baseline could not be read or written, and points that it had no place for.",
    good: "refused in long incidents only; the others never.",
    act: "Folder: disk full or rights under server.data_dir. SignalboxCapturesFailing has the runbook.",
    unit: "none",
    width: 8,
    lines: [
      { expr: `${sumBy("reason", happened(METRIC.capturesRefused))} > 0`, legend: "refused: {{reason}}" },
      { expr: `${sum(happened(METRIC.capturesLost))} > 0`, legend: "lost" },
      { expr: `${sum(happened(METRIC.captureFolderFailures))} > 0`, legend: "folder" },
      { expr: `${sumBy("doing", happened(METRIC.baselineFailures))} > 0`, legend: "baseline: {{doing}}" },
      { expr: `${sum(happened(METRIC.baselineRefused))} > 0`, legend: "baseline: no place" },
    ],
    styles: { "/^refused/": { color: COLOR.bound }, lost: { color: COLOR.bad }, folder: { color: COLOR.warn }, "/^baseline/": { color: COLOR.warn } },
    bars: true,
  }),
  graph({
    title: "Captures ready",
    what: "Captures that can be opened, by router.",
    good: "Under the number that the config keeps; old ones go.",
    act: "Copy what an incident needs before it goes.",
    unit: "none",
    width: 12,
    lines: [{ expr: routers(METRIC.captures), legend: "{{instance}}" }],
    links: [toRouter("Captures of this router", "/debug/captures/")],
  }),
  graph({
    title: "Size of captures",
    what: "What the captures that are ready weigh, by router.",
    good: "Level; bounded by the config.",
    act: "Check the disk under server.data_dir.",
    unit: "bytes",
    width: 12,
    lines: [{ expr: routers(METRIC.captureBytes), legend: "{{instance}}" }],
  }),
];

export const EVIDENCE: readonly Row[] = [
  { title: "Traces", panels: traces },
  { title: "Logs", panels: logs },
  { title: "Profiler", panels: profiler },
  { title: "Captures", panels: captures },
];
