// Gray release: who gets which variant, and whether each is served as well as all others.

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard, toRouter } from "./links";
import { HISTOGRAM, METRIC, RECORDED } from "./metrics";
import { graph, tile } from "./panels";
import { PROMISE_SECONDS, SERVED, fleet, happened, max, maxBy, quantile, rate, routers, share, sum, sumBy } from "./queries";
import { list } from "./tables";
import { COLOR, OUTCOMES } from "./theme";
import { variant } from "./variables";

const CHOSEN = 'variant=~"$variant"';
const LEVELS = { bad: PROMISE_SECONDS };
const beside = (series: string, rest: string) =>
  `${fleet(series, CHOSEN)} / on (cluster, domain, variant) (${fleet(rest, CHOSEN)} > 0)`;

const SLOWER = beside(RECORDED.variantP99, RECORDED.variantRestP99);
const FAILS_MORE = `${fleet(RECORDED.variantErrors, CHOSEN)} - on (cluster, domain, variant) ${fleet(RECORDED.variantRestErrors, CHOSEN)}`;

const now = [
  tile({
    title: "P99 against the rest, worst",
    what: "The P99 of the worst variant as a multiple of that of all other variants together, as recorded.",
    good: "Around 1.",
    act: "SignalboxCanarySlow has the runbook: signalbox variant rollback, then look why.",
    unit: "none",
    decimals: 2,
    width: 6,
    expr: max(SLOWER),
    levels: { warn: 1.1, bad: 1.25 },
    nothing: "no rest",
  }),
  tile({
    title: "Errors over the rest, worst",
    what: "By how much the share of errors of the worst variant is above that of all others together, as recorded.",
    good: "0 or less.",
    act: "SignalboxCanaryErrors has the runbook: signalbox variant rollback, then look why.",
    unit: "percentunit",
    decimals: 2,
    width: 6,
    expr: max(FAILS_MORE),
    levels: { warn: 0.002, bad: 0.01 },
    nothing: "no rest",
  }),
  tile({
    title: "Sessions beside the default",
    what: "Share of the sessions now that have another variant than the default.",
    good: "About what the rules are to give, some minutes after a promotion.",
    act: "Far off: see shares and rules below; sessions keep the variant that they began with.",
    unit: "percentunit",
    decimals: 2,
    width: 6,
    expr: share(sum(routers(METRIC.variantSessions, 'variant!="default"')), sum(routers(METRIC.variantSessions))),
  }),
  tile({
    title: "Highest share of a rule",
    what: "The highest share of the users that a rule by percent is to send to its variant.",
    good: "What was decided.",
    act: "signalbox variant promote and rollback change it; signalbox variant list says what each router does.",
    unit: "percentunit",
    decimals: 2,
    width: 6,
    expr: max(routers(METRIC.variantShare)),
    nothing: "no such rule",
  }),
];

const served = [
  graph({
    title: "P99 by variant",
    what: "P99 of signals served, by the variant that their sessions began with, as recorded. Marks are changes of shares and of configurations.",
    good: "Variants alike, under the dashed line at 80 ms.",
    act: "One apart since a mark: signalbox variant rollback. Choose it at the top and look at its quantiles below.",
    unit: "s",
    lines: [{ expr: maxBy("variant", fleet(RECORDED.variantP99, CHOSEN)), legend: "{{variant}}" }],
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "P99 against the rest",
    what: "The P99 of each variant but the default as a multiple of that of all others together. The alert is at the dashed line, and 5 ms more.",
    good: "Around 1.",
    act: "SignalboxCanarySlow has the runbook.",
    unit: "none",
    lines: [{ expr: maxBy("variant", SLOWER), legend: "{{variant}}" }],
    levels: { bad: 1.25 },
    table: true,
  }),
  graph({
    title: "Errors by variant",
    what: "Share of signals that failed or expired, by variant, as recorded; mistakes of clients are among them.",
    good: "Variants alike.",
    act: "One apart since a mark: signalbox variant rollback. Which codes is on Guard.",
    unit: "percentunit",
    lines: [{ expr: maxBy("variant", fleet(RECORDED.variantErrors, CHOSEN)), legend: "{{variant}}" }],
    levels: { bad: 0.01 },
    table: true,
    links: [toBoard("Guard", "signalbox-guard")],
  }),
  graph({
    title: "Signals by variant",
    what: "Signals a second by variant, as recorded. The alerts speak from 3 a second on, of a variant and of all others together.",
    good: "In the proportion of the shares.",
    act: "A variant of 5 % of the users with 50 % of the signals has clients that send too much.",
    unit: "cps",
    lines: [{ expr: sumBy("variant", fleet(RECORDED.variantSignals, CHOSEN)), legend: "{{variant}}" }],
    levels: { warn: 3 },
    table: true,
  }),
  graph({
    title: "Quantiles of the chosen variants",
    what: "Quantiles of signals served to the chosen variants, by the chosen routers.",
    good: "P99 under the dashed line at 80 ms.",
    act: "P50 higher than without it: the variant is slower altogether. Only P99 and above: a few of its signals are.",
    unit: "s",
    lines: [
      { expr: quantile(0.5, HISTOGRAM.variants, "", CHOSEN, SERVED), legend: "P50" },
      { expr: quantile(0.9, HISTOGRAM.variants, "", CHOSEN, SERVED), legend: "P90" },
      { expr: quantile(0.99, HISTOGRAM.variants, "", CHOSEN, SERVED), legend: "P99" },
    ],
    styles: {
      P50: { color: COLOR.light },
      P90: { color: COLOR.plain, dash: "dash" },
      P99: { color: COLOR.violet },
    },
    levels: LEVELS,
    table: true,
  }),
  graph({
    title: "Outcomes of the chosen variants",
    what: "Signals a second of the chosen variants, by how they ended.",
    good: "Nearly all ok.",
    act: "Errors: which codes, on Guard. Expired: something is slow, see Latency by stage.",
    unit: "cps",
    lines: [{ expr: sumBy("outcome", rate(HISTOGRAM.variants.count, CHOSEN)), legend: "{{outcome}}" }],
    styles: OUTCOMES,
    stacked: true,
    table: true,
  }),
];

const who = [
  graph({
    title: "Sessions by variant",
    what: "Sessions now, by the variant that they began with.",
    good: "The shares of the rules, after a while: sessions keep their variant, also when they come back.",
    act: "A variant that stays at 0 although its rule has a share: signalbox variant explain says why a user does not get it.",
    unit: "short",
    lines: [{ expr: sumBy("variant", routers(METRIC.variantSessions, CHOSEN)), legend: "{{variant}}" }],
    stacked: true,
    table: true,
  }),
  graph({
    title: "Shares that rules are to give",
    what: "The share of the users that each rule by percent is to send to its variant: the highest and the lowest of the routers.",
    good: "Both lines of a rule are one: routers agree.",
    act: "Apart: routers run different configurations, see SignalboxConfigSkew.",
    unit: "percentunit",
    lines: [
      { expr: maxBy("variant, rule", routers(METRIC.variantShare, CHOSEN)), legend: "{{rule}} to {{variant}}, highest" },
      {
        expr: `min by (variant, rule) (${routers(METRIC.variantShare, CHOSEN)})`,
        legend: "{{rule}} to {{variant}}, lowest",
      },
    ],
    table: true,
  }),
  graph({
    title: "Who gets a variant, by what decided",
    what: "Connections that got a variant, by the kind of rule that decided; one that comes back counts again.",
    good: "percent in the proportion of the shares, the others as many as such clients come.",
    act: "ab_tag more than expected: somebody hands out the tag. default alone: no rule fits anybody.",
    unit: "short",
    lines: [
      { expr: `${sumBy("variant, by", happened(METRIC.variantAssignments, CHOSEN))} > 0`, legend: "{{variant}} by {{by}}" },
    ],
    bars: true,
    stacked: true,
    table: true,
  }),
  list({
    title: "Variants by router, now",
    what: "Sessions and P99 of the last minutes, by router and variant: the twenty slowest.",
    good: "Routers alike.",
    act: "One router alone: it is the router and not the variant; see Runtime for it.",
    labels: ["cluster", "domain", "instance", "variant"],
    columns: [
      {
        title: "P99",
        expr: `topk(20, ${quantile(0.99, HISTOGRAM.variants, "cluster, domain, instance, variant", CHOSEN, SERVED)} > 0)`,
        unit: "s",
        decimals: 3,
        levels: LEVELS,
      },
      {
        title: "sessions",
        expr: sumBy("cluster, domain, instance, variant", routers(METRIC.variantSessions, CHOSEN)),
        unit: "short",
      },
    ],
    cellLinks: { instance: [toRouter("Its rules and variants", "/api/variants", "fields")] },
    sortBy: "P99",
  }),
];

export const variants: Board = {
  uid: "signalbox-variants",
  title: "signalbox / Variants",
  description: "Gray release: who gets which variant, and whether each is served as well as all others.",
  tags: ["variants"],
  banner: banner(),
  rows: [
    { title: "Now", panels: now },
    { title: "How each variant is served", panels: served },
    { title: "Who gets which", panels: who },
  ],
  variables: [variant()],
};
