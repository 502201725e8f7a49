// Which signals are slow, for whom, and in which stage the time goes.

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard, toCapture, toLatencyPage, toProfiles } from "./links";
import { HISTOGRAM, METRIC, RECORDED } from "./metrics";
import { type Graph, graph, heat } from "./panels";
import {
  IN_REGION,
  OF_OP,
  PROMISE_SECONDS,
  SERVED,
  fleet,
  maxBy,
  mean,
  quantile,
  rate,
  routers,
  sumBy,
} from "./queries";
import { list } from "./tables";
import { COLOR, OPS, OUTCOMES, QUANTILES, QUANTILE_LABELS, STAGES } from "./theme";
import { op, quantile as quantileVariable } from "./variables";

const CHOSEN = [IN_REGION, OF_OP];
const LEVELS = { bad: PROMISE_SECONDS };

/** Quantiles as lines of one graph. */
const quantiles = (histogram: (typeof HISTOGRAM)["signals" | "deliveries"], ...more: string[]): Graph["lines"] =>
  [
    ["P50", 0.5],
    ["P90", 0.9],
    ["P99", 0.99],
    ["P99.9", 0.999],
  ].map(([name, q]) => ({
    expr: quantile(q ?? 0, histogram, "", ...CHOSEN, ...more),
    legend: `${name}`,
    exemplar: name === "P99",
  }));

const signals = [
  heat({
    title: "Signals: how latencies are spread",
    what: "Signals served a second by how long they took; points are traces of single ones.",
    good: "One bright band well under 80 ms, and nothing drifting up from it.",
    act: "A second band is a second path: find it by op, stage or SDK version below. Click a high point for its trace.",
    expr: sumBy("le", rate(HISTOGRAM.signals.bucket, ...CHOSEN, SERVED)),
  }),
  graph({
    title: "Signals: quantiles",
    what: "Quantiles of signals served, of the chosen ops and regions.",
    good: "P99 under the dashed line at 80 ms; P99.9 under the deadline of 150 ms.",
    act: "P50 rises too: everything is slower, see Runtime. Only P99 and above: a few are, see the stages and the traces.",
    unit: "s",
    height: 9,
    lines: quantiles(HISTOGRAM.signals, SERVED),
    styles: QUANTILES,
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Signals by op",
    what: "The chosen quantile, by kind of signal.",
    good: "Under 80 ms, most of them far under.",
    act: "One op alone: look at its stages in a capture or a trace. Choose it at the top to narrow everything here.",
    unit: "s",
    lines: [
      { expr: quantile("$quantile", HISTOGRAM.signals, "op", ...CHOSEN, SERVED), legend: "{{op}}", exemplar: true },
    ],
    styles: OPS,
    levels: LEVELS,
    table: true,
    links: [toBoard("Only this op", "signalbox-latency", { op: "${__field.labels.op}" })],
  }),
  graph({
    title: "Signals by region",
    what: "The chosen quantile, by region of the client. Colored by whether it keeps the promise.",
    good: "Under 80 ms, and regions alike: this is time inside the router, not on the network.",
    act: "One region alone: which routers serve it, in the table below; its clients may read slowly.",
    unit: "s",
    lines: [
      {
        expr: quantile("$quantile", HISTOGRAM.signals, "region", ...CHOSEN, SERVED),
        legend: "{{region}}",
        exemplar: true,
      },
    ],
    levels: LEVELS,
    table: true,
    links: [toBoard("Only this region", "signalbox-latency", { region: "${__field.labels.region}" })],
  }),
  graph({
    title: "Signals by outcome",
    what: "P99 by how signals ended.",
    good: "Errors and sheds faster than ok.",
    act: "Slow errors are work that is thrown away: see their codes on Guard.",
    unit: "s",
    lines: [{ expr: quantile(0.99, HISTOGRAM.signals, "outcome", ...CHOSEN), legend: "{{outcome}}", exemplar: true }],
    styles: OUTCOMES,
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Signals by router",
    what: "The chosen quantile of the ten slowest routers. Colored by whether it keeps the promise.",
    good: "Routers alike.",
    act: "One alone: open its flamegraph or its capture from here. SignalboxWorkerStalled and SignalboxMemoryHigh name causes.",
    unit: "s",
    lines: [
      {
        expr: `topk(10, ${quantile("$quantile", HISTOGRAM.signals, "instance", ...CHOSEN, SERVED)})`,
        legend: "{{instance}}",
      },
    ],
    levels: LEVELS,
    table: true,
    links: toProfiles(),
  }),
];

const stages = [
  graph({
    title: "P99 by stage",
    what: "P99 of each step of a signal's way, over all ops and regions.",
    good: "handle and flush the highest, all together under 80 ms.",
    act: "verify (a token renewed over its connection): keys or introspection, see Dependencies. admit: full inboxes, see Runtime. handle: the flamegraph. flush: clients that read slowly, or a full network.",
    unit: "s",
    lines: [{ expr: fleet(RECORDED.stageP99), legend: "{{stage}}" }],
    styles: STAGES,
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Mean by stage",
    what: "Where the time of an average signal goes: the mean of each stage, stacked.",
    good: "The same proportions from day to day.",
    act: "The stage that grew is the one to look at: compare two flamegraphs from Runtime, before and after.",
    unit: "s",
    lines: [{ expr: mean(HISTOGRAM.stages, "stage"), legend: "{{stage}}" }],
    styles: STAGES,
    stacked: true,
    table: true,
  }),
];

const clients = [
  graph({
    title: "By SDK version: worst router",
    what: "The worst router's last-minute P99, by SDK version of the client. The eight busiest; the rest is other.",
    good: "Versions alike.",
    act: "One version alone: its release notes, and its team. It may send more, or larger, signals.",
    unit: "s",
    lines: [{ expr: maxBy("sdk_version", fleet(RECORDED.worstBySdkVersion, ...CHOSEN)), legend: "{{sdk_version}}" }],
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "By scenario: worst router",
    what: "The worst router's last-minute P99, by scenario as clients tell it. The eight busiest; the rest is other.",
    good: "Scenarios alike but for size of rooms.",
    act: "One scenario alone: how large its rooms are, and what its clients send, on Sessions and rooms.",
    unit: "s",
    lines: [{ expr: maxBy("scenario", fleet(RECORDED.worstByScenario, ...CHOSEN)), legend: "{{scenario}}" }],
    levels: LEVELS,
    table: true,
  }),
  list({
    title: "Slowest of the last minute",
    what: "The twenty highest last-minute P99s by router, op, region, SDK version and scenario.",
    good: "Under 80 ms.",
    act: "What the rows share is the cause's name. Follow instance to the router's own page or capture.",
    width: 24,
    height: 9,
    labels: ["instance", "op", "region", "sdk_version", "scenario"],
    columns: [
      {
        title: "P99",
        expr: `topk(20, ${maxBy("instance, op, region, sdk_version, scenario", routers(METRIC.signalP99, ...CHOSEN))})`,
        unit: "s",
        decimals: 1,
        levels: { warn: 0.06, bad: PROMISE_SECONDS },
      },
    ],
    cellLinks: { instance: [toCapture("fields"), toLatencyPage("fields"), ...toProfiles("fields")] },
    sortBy: "P99",
    nothing: "no signals in the last minute",
  }),
];

const deliveries = [
  heat({
    title: "Deliveries: how latencies are spread",
    what: "Deliveries a second by how long it took from a frame's arrival to each recipient's socket.",
    good: "One bright band well under 80 ms.",
    act: "A long tail: recipients that read slowly, or large rooms. Click a high point for its trace.",
    expr: sumBy("le", rate(HISTOGRAM.deliveries.bucket, ...CHOSEN)),
  }),
  graph({
    title: "Deliveries: quantiles",
    what: "Quantiles of deliveries, of the chosen ops and regions of recipients.",
    good: "P99 under the dashed line at 80 ms.",
    act: "Deliveries slow and signals not: look at flush above, and at slow_reader among the closes on Sessions and rooms.",
    unit: "s",
    height: 9,
    lines: quantiles(HISTOGRAM.deliveries),
    styles: QUANTILES,
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Deliveries by op",
    what: "P99 of deliveries by the kind of signal that brought them about, as recorded, worst of the chosen regions.",
    good: "Under 80 ms.",
    act: "send and signal alone: who sends, and how much. All: see Runtime.",
    unit: "s",
    lines: [{ expr: maxBy("op", fleet(RECORDED.deliveryP99, ...CHOSEN)), legend: "{{op}}" }],
    styles: OPS,
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Deliveries by region",
    what: "The chosen quantile of deliveries, by region of the recipient. Colored by whether it keeps the promise.",
    good: "Regions alike.",
    act: "One region alone: its clients' network cannot take what is sent to them.",
    unit: "s",
    lines: [
      { expr: quantile("$quantile", HISTOGRAM.deliveries, "region", ...CHOSEN), legend: "{{region}}", exemplar: true },
    ],
    levels: LEVELS,
    table: true,
  }),
];

const own = [
  graph({
    title: "Worst router's last minute: signals",
    what: "The router's own quantiles of the last minute, from the histograms at full precision: the worst router of the choice.",
    good: "As the quantiles above, which are over all routers and from buckets.",
    act: "Much higher than above: one router is slow. The table Slowest of the last minute names it.",
    unit: "s",
    lines: [{ expr: maxBy("q", routers(METRIC.signalQuantile, ...CHOSEN)), legend: "{{q}}" }],
    styles: QUANTILE_LABELS,
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Worst router's last minute: deliveries",
    what: "The same of deliveries.",
    good: "As the quantiles of deliveries above.",
    act: "Much higher than above: one router is slow. See Runtime for it.",
    unit: "s",
    lines: [{ expr: maxBy("q", routers(METRIC.deliveryQuantile, ...CHOSEN)), legend: "{{q}}" }],
    styles: QUANTILE_LABELS,
    levels: LEVELS,
    table: true,
  }),
];

const bounds = [
  graph({
    title: "From when on a signal is kept as a trace",
    what: "The moving bound of each op: slower signals are kept as traces. The highest of the chosen routers.",
    good: "A little above P99 of the op.",
    act: "Far above: everything was slow for long, and it learned that. Far below: traces waste the collector, see Observers.",
    unit: "s",
    lines: [{ expr: maxBy("op", routers(METRIC.signalBound, OF_OP)), legend: "{{op}}" }],
    styles: OPS,
    table: true,
  }),
  graph({
    title: "From when on a delivery is kept as a trace",
    what: "The same of deliveries, the longest of those that went out together.",
    good: "A little above P99 of deliveries of the op.",
    act: "As for signals.",
    unit: "s",
    lines: [{ expr: maxBy("op", routers(METRIC.deliveryBound, OF_OP)), legend: "{{op}}" }],
    styles: OPS,
    table: true,
  }),
  graph({
    title: "The router's own band",
    what: "Mean and upper edge of each router's own baseline, by op and region: what its captures and traces go by. The rules' band is on Overview.",
    good: "Near the rules' band, for routers that are up for over a day.",
    act: "Far from it on one router: it serves another mix, or its data_dir was lost.",
    unit: "s",
    lines: [
      {
        expr: maxBy("op, region", routers(METRIC.baselineBounds, 'bound="mean"', ...CHOSEN)),
        legend: "{{op}} {{region}} mean",
      },
      {
        expr: maxBy("op, region", routers(METRIC.baselineBounds, 'bound="upper"', ...CHOSEN)),
        legend: "{{op}} {{region}} upper",
      },
    ],
    styles: { "/ mean$/": { color: COLOR.good, dash: "dot" }, "/ upper$/": { color: COLOR.bound } },
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Points that the router's own band stands on",
    what: "Clean five-minute points of the last seven days, by op and region: the fewest of any chosen router.",
    good: "At least 288, a day of them; at most 2016.",
    act: "Fewer: the router is young, or has too little traffic of the op; until then the promise of 80 ms rules.",
    unit: "none",
    lines: [
      { expr: `min by (op, region) (${routers(METRIC.baselinePoints, ...CHOSEN)})`, legend: "{{op}} {{region}}" },
    ],
    levels: { bad: 1, warn: 288, falling: true },
    table: true,
  }),
];

export const latency: Board = {
  uid: "signalbox-latency",
  title: "signalbox / Latency",
  description: "Which signals are slow, for whom, and in which stage the time goes.",
  tags: ["latency"],
  banner: banner(),
  variables: [op(), quantileVariable()],
  rows: [
    { title: "Signals: from a frame's arrival to its answer's last byte", panels: signals },
    { title: "Where the time goes", panels: stages },
    { title: "By who the client is", panels: clients },
    { title: "Deliveries: to the sockets of others", panels: deliveries },
    { title: "Each router's own last minute", panels: own },
    { title: "Bounds and the router's own band", panels: bounds },
  ],
};
