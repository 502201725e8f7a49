// The rows of the board Overview about the promise: its budget, and P99 against its band.

import { toBoard } from "./links";
import { HISTOGRAM, RECORDED } from "./metrics";
import { graph } from "./panels";
import { BUDGET, IN_REGION, OF_OP, PROMISE_SECONDS, SERVED, fleet, lastOf, maxBy, rate, sumBy } from "./queries";
import { list } from "./tables";
import { COLOR, type Styles } from "./theme";

const burn = (series: string) => `${maxBy("cluster, domain", fleet(series))} / ${BUDGET}`;

export const PROMISE = [
  graph({
    title: "Burn rate of the error budget",
    what: "How many times faster than allowed the budget is spent, by window. At 1 it lasts exactly as long as it should.",
    good: "Under 1.",
    act: "SignalboxSloBurnFast pages at 14.4 over 1 h and 5 m, SignalboxSloBurnSlow at 6 over 6 h and 30 m: their runbooks begin with the bands below.",
    unit: "none",
    width: 12,
    lines: [
      { expr: burn(RECORDED.slow5m), legend: "5m {{cluster}} {{domain}}" },
      { expr: burn(RECORDED.slow30m), legend: "30m {{cluster}} {{domain}}" },
      { expr: burn(RECORDED.slow1h), legend: "1h {{cluster}} {{domain}}" },
      { expr: burn(RECORDED.slow6h), legend: "6h {{cluster}} {{domain}}" },
      { expr: burn(RECORDED.slow3d), legend: "3d {{cluster}} {{domain}}" },
    ],
    styles: {
      "/^5m /": { color: COLOR.light, dash: "dot" },
      "/^30m /": { color: COLOR.light },
      "/^1h /": { color: COLOR.plain, width: 2 },
      "/^6h /": { color: COLOR.violet, width: 2 },
      "/^3d /": { color: COLOR.violet, dash: "dash" },
    },
    levels: { warn: 6, bad: 14.4 },
    table: true,
  }),
  graph({
    title: "Budget left, by cluster and domain",
    what: "What is left of the budget of the last three days.",
    good: "A line near 100 %.",
    act: "A line that falls steadily is a leak: compare with the annotations of versions, and see Latency by SDK version and scenario.",
    unit: "percentunit",
    width: 6,
    lines: [
      { expr: `1 - ${maxBy("cluster, domain", fleet(RECORDED.slow3d))} / ${BUDGET}`, legend: "{{cluster}} {{domain}}" },
    ],
    levels: { warn: 0.5, bad: 0.1, falling: true },
    max: 1,
  }),
  graph({
    title: "Slow signals by region",
    what: "Share of signals served that took longer than 80 ms, by region of the client.",
    good: "Under 1 %: the dashed line.",
    act: "One region alone: its network or its routers. All at once: a deploy, a dependency, or load.",
    unit: "percentunit",
    width: 6,
    lines: [
      {
        expr: `1 - ${sumBy("region", rate(HISTOGRAM.signals.bucket, 'le="0.08"', IN_REGION, SERVED))} / (${sumBy("region", rate(HISTOGRAM.signals.count, IN_REGION, SERVED))} > 0)`,
        legend: "{{region}}",
      },
    ],
    levels: { bad: BUDGET },
  }),
];

const BAND: Styles = {
  "/ P99$/": { color: COLOR.plain, width: 2 },
  "/ last minute$/": { color: COLOR.light, dash: "dot" },
  "/ band$/": { color: COLOR.bound, width: 1, fill: 12 },
  "/ usual$/": { color: COLOR.good, dash: "dot" },
  "/ plain band$/": { color: COLOR.bound, dash: "dash", width: 1, fill: 0 },
};

const banded = (series: string) => fleet(series, IN_REGION, OF_OP);
const overBand = `${banded(RECORDED.signalP99)} / on (cluster, domain, op, region) ${lastOf(banded(RECORDED.baselineUpper))}`;

export const BANDS = [
  list({
    title: "P99 against its band, now",
    what: "The chosen op's P99 in each region as a share of its band's upper edge, with what the band stands on.",
    good: "Every share under 100 %. A band speaks from 288 points on, and from 1,000 signals in five minutes.",
    act: "Over 100 %: follow the op to Latency. SignalboxP99AboveBaseline has the runbook and links the capture.",
    width: 24,
    height: 7,
    labels: ["cluster", "domain", "region", "op"],
    columns: [
      { title: "of the band", expr: overBand, unit: "percentunit", decimals: 0, levels: { warn: 0.9, bad: 1 } },
      { title: "P99", expr: banded(RECORDED.signalP99), unit: "s", decimals: 1, levels: { bad: PROMISE_SECONDS } },
      { title: "band", expr: lastOf(banded(RECORDED.baselineUpper)), unit: "s", decimals: 1 },
      { title: "points", expr: lastOf(banded(RECORDED.baselinePoints)), unit: "none", decimals: 0 },
      { title: "signals in 5 min", expr: banded(RECORDED.signals), unit: "short", decimals: 0 },
    ],
    cellLinks: {
      op: [
        toBoard("Latency of this op and region", "signalbox-latency", {
          op: "${__data.fields.op}",
          region: "${__data.fields.region}",
        }),
      ],
    },
    sortBy: "of the band",
    nothing: "no recorded P99: no signals, or no recording rules",
  }),
  graph({
    title: "P99 against its band: $region",
    what: "P99 of the chosen op in this region; grey up to the upper edge of its band (the last seven days at this time of day, with margins); dotted green what is usual; dashed grey the plain band (mean + 2 sigma), for comparison.",
    good: "The thick line inside the grey.",
    act: "Above it for five minutes, and confirmed by the last minute: SignalboxP99AboveBaseline. See what changed in the annotations, then Latency by stage.",
    unit: "s",
    width: 12,
    height: 9,
    lines: [
      { expr: banded(RECORDED.signalP99), legend: "{{cluster}} {{domain}} {{op}} P99" },
      { expr: banded(RECORDED.signalP99Minute), legend: "{{cluster}} {{domain}} {{op}} last minute" },
      { expr: lastOf(banded(RECORDED.baselineUpper)), legend: "{{cluster}} {{domain}} {{op}} band" },
      { expr: lastOf(banded(RECORDED.baselineExpected)), legend: "{{cluster}} {{domain}} {{op}} usual" },
      { expr: lastOf(banded(RECORDED.baselinePlainUpper)), legend: "{{cluster}} {{domain}} {{op}} plain band" },
    ],
    styles: BAND,
    repeat: "region",
    levels: { bad: PROMISE_SECONDS },
    links: [
      toBoard("Latency of this op and region", "signalbox-latency", {
        op: "${__field.labels.op}",
        region: "${__field.labels.region}",
      }),
    ],
  }),
];
