// What the router depends on: one entry each, with a tile that says whether it is well and a row that says why not. Another
// dependency is another entry.

import { banner } from "./banner";
import type { Board } from "./board";
import type { Dependency } from "./dependency";
import { directory } from "./directory";
import { fabric } from "./fabric";
import { toBoard } from "./links";
import { HISTOGRAM, METRIC } from "./metrics";
import { graph, tile } from "./panels";
import { CLOCK_SKEW, happened, max, quantile, rate, routers, share, sum, sumBy } from "./queries";
import { relay } from "./relay";
import { COLOR, RESULTS, type Styles } from "./theme";

const DAY = 86_400;

const keys: Dependency = {
  name: "Verification keys",
  tile: {
    title: "Key fetches that failed",
    what: "Fetches of verification keys (JWKS or OIDC discovery) that failed in the last 15 minutes.",
    good: "0. Static keys are never fetched and stay at 0.",
    act: "Keys that were fetched stay in use; new ones are not learned. SignalboxAuthKeysStale has the runbook.",
    unit: "none",
    decimals: 0,
    expr: sum(`increase(${routers(METRIC.keysRefreshed, 'result="error"')}[15m])`),
    levels: { warn: 0.5, bad: 5 },
  },
  panels: [
    graph({
      title: "Key fetches",
      what: "Fetches of verification keys, by source and result.",
      good: "ok at the pace of auth's refresh, from every router.",
      act: "error: ask the URL of the config by curl from a router's machine; its certificate, its DNS, its status.",
      unit: "none",
      lines: [{ expr: sumBy("source, result", happened(METRIC.keysRefreshed)), legend: "{{source}} {{result}}" }],
      styles: { "/ ok$/": { color: COLOR.good }, "/ error$/": { color: COLOR.bad } },
      bars: true,
      table: true,
    }),
    graph({
      title: "Verifying a renewed token",
      what: "P99 and P50 of the stage verify, of clients that renew their token over their connection: signatures, and introspection where it is asked for.",
      good: "Under a millisecond with keys at hand; introspection adds the provider's answer time.",
      act: "Slow with introspection: the provider. Slow without: the CPU, see Runtime.",
      unit: "s",
      lines: [
        { expr: quantile(0.99, HISTOGRAM.stages, "", 'stage="verify"'), legend: "P99", exemplar: true },
        { expr: quantile(0.5, HISTOGRAM.stages, "", 'stage="verify"'), legend: "P50", exemplar: true },
      ],
      styles: { P99: { color: COLOR.plain, width: 2 }, P50: { color: COLOR.light, dash: "dot" } },
      table: true,
    }),
  ],
};

const introspection: Dependency = {
  name: "Introspection",
  tile: {
    title: "Introspections that failed",
    what: "Tokens that could not be introspected in the last 15 minutes, for want of the endpoint.",
    good: "0.",
    act: "Clients with opaque tokens cannot join: they get auth_unavailable and try again. SignalboxAuthKeysStale has the runbook.",
    unit: "none",
    decimals: 0,
    expr: sum(`increase(${routers(METRIC.introspectionFailures)}[15m])`),
    levels: { warn: 0.5, bad: 5 },
  },
  panels: [
    graph({
      title: "Introspection failures",
      what: "Tokens that could not be introspected, by router.",
      good: "None.",
      act: "All routers: the provider is away. One: its network.",
      unit: "none",
      lines: [{ expr: `${sumBy("instance", happened(METRIC.introspectionFailures))} > 0`, legend: "{{instance}}" }],
      bars: true,
    }),
    graph({
      title: "Refused because the provider was away",
      what: "Signals and connections a second that were refused with auth_unavailable.",
      good: "0.",
      act: "Users cannot join. The provider's status page first, then a fetch by curl from a router's machine.",
      unit: "cps",
      lines: [
        { expr: sum(rate(METRIC.refusals, 'code="auth_unavailable"')), legend: "signals" },
        { expr: sum(rate(METRIC.sheds, 'reason="auth_unavailable"')), legend: "connections" },
      ],
      styles: { signals: { color: COLOR.violet }, connections: { color: COLOR.violet, dash: "dash" } },
      links: [toBoard("Guard", "signalbox-guard")],
    }),
  ],
};

const daysLeft = `(${routers(METRIC.certificateExpiry)} - time()) / ${DAY}`;

const certificates: Dependency = {
  name: "Certificates",
  tile: {
    title: "Certificate ends in",
    what: "Days until the first certificate that is served ends.",
    good: "Over 21 days.",
    act: "Under 21: renew; changed files are taken up without a restart. SignalboxCertificateExpiring has the runbook.",
    unit: "d",
    decimals: 0,
    expr: `min(${daysLeft})`,
    levels: { warn: 21, bad: 7, falling: true },
    nothing: "no TLS",
    bare: true,
  },
  panels: [
    graph({
      title: "Days left, by listener",
      what: "Days until the certificate ends that each router serves: the first to end of each listener.",
      good: "Lines that fall a day a day, and jump up on renewal.",
      act: "A router whose line did not jump with the others' has not taken up the new files: see reloads.",
      unit: "d",
      lines: [{ expr: `min by (instance, listener) (${daysLeft})`, legend: "{{instance}} {{listener}}" }],
      levels: { warn: 21, bad: 7, falling: true },
      table: true,
    }),
    graph({
      title: "Certificates taken up",
      what: "Changed certificate files that were taken up, or could not be.",
      good: "ok on renewal, from every router.",
      act: "error: the old certificate stays. The log names the file and what is wrong. SignalboxCertificateReloadFailing has the runbook.",
      unit: "none",
      lines: [{ expr: sumBy("result", happened(METRIC.certificatesReloaded)), legend: "{{result}}" }],
      styles: RESULTS,
      bars: true,
    }),
  ],
};

const EXPORT: Styles = {
  "traces taken": { color: COLOR.good },
  "log lines taken": { color: COLOR.good, dash: "dash" },
  "/^traces lost/": { color: COLOR.bad },
  "/^log lines lost/": { color: COLOR.bad, dash: "dash" },
};

const collector: Dependency = {
  name: "Collector",
  tile: {
    title: "Traces lost on the way",
    what: "Share of traces worth keeping that did not reach the collector.",
    good: "0. Losing traces costs no signal.",
    act: "unreachable: the collector is away. queue_full: it is too slow. SignalboxExporterLosing has the runbook.",
    unit: "percentunit",
    decimals: 1,
    expr: share(
      sum(rate(METRIC.tracesLost)),
      `(${sum(rate(METRIC.tracesLost))} + ${sum(rate(METRIC.tracesExported))})`,
    ),
    levels: { warn: 0.001, bad: 0.1 },
    nothing: "no traces",
  },
  panels: [
    graph({
      title: "Taken and lost",
      what: "Traces and log lines a second that the collector took, and that did not reach it.",
      good: "Lost at 0.",
      act: "See Observers for why, by reason.",
      unit: "cps",
      lines: [
        { expr: sum(rate(METRIC.tracesExported)), legend: "traces taken" },
        { expr: sum(rate(METRIC.tracesLost)), legend: "traces lost" },
        { expr: sum(rate(METRIC.logsExported)), legend: "log lines taken" },
        { expr: sum(rate(METRIC.logsLost)), legend: "log lines lost" },
      ],
      styles: EXPORT,
      table: true,
      links: [toBoard("Observers", "signalbox-observers")],
    }),
    graph({
      title: "Batches that failed",
      what: "Batches that the collector did not take, or not all of, by what was in them.",
      good: "None.",
      act: "The router's log has the collector's answer, once a minute at most.",
      unit: "none",
      lines: [{ expr: `${sumBy("kind", happened(METRIC.exportFailures))} > 0`, legend: "{{kind}}" }],
      styles: { traces: { color: COLOR.plain }, logs: { color: COLOR.light }, other: { color: COLOR.bound } },
      bars: true,
    }),
  ],
};

const clocks: Dependency = {
  name: "Clocks",
  tile: {
    title: "Largest clock difference",
    what: "How far the clock of any router is from Prometheus's, either way.",
    good: "Under a second; a scrape's own time is in it.",
    act: "Over two: tokens seem expired or not yet valid. SignalboxClockSkewed has the runbook: chronyc tracking on the router's machine.",
    unit: "s",
    decimals: 2,
    expr: max(`abs(${CLOCK_SKEW})`),
    levels: { warn: 1, bad: 2 },
  },
  panels: [
    graph({
      title: "Clock difference by router",
      what: "The router's clock at the scrape, less Prometheus's.",
      good: "Near 0, all alike.",
      act: "All off alike: Prometheus's own clock. One: that machine's.",
      unit: "s",
      width: 24,
      lines: [{ expr: CLOCK_SKEW, legend: "{{instance}}" }],
      table: true,
    }),
  ],
};

const hashes = `count_values by (cluster, domain) ("hash", ${routers(METRIC.configHash)})`;

const configuration: Dependency = {
  name: "Configuration",
  tile: {
    title: "Configurations refused",
    what: "Routers that refused their configuration file and run with what they had before.",
    good: "0.",
    act: "The router's log names every mistake, and every key that needs a restart. SignalboxConfigRefused has the runbook.",
    unit: "none",
    decimals: 0,
    expr: sum(routers(METRIC.configRefused)),
    levels: { warn: 0.5, bad: 5 },
  },
  panels: [
    graph({
      title: "Configurations in use",
      what: "How many routers run which configuration, by the hash of what routers have in common: neither secrets nor their own names and addresses.",
      good: "One a domain; two while a change is on its way.",
      act: "Two for over an hour is SignalboxConfigSkew: compare /api/config of a router of each.",
      unit: "none",
      lines: [{ expr: hashes, legend: "{{domain}} {{hash}}" }],
      stacked: true,
      table: true,
    }),
    graph({
      title: "Configurations read again",
      what: "Times that a configuration was read again: taken up, the same as before, or refused.",
      good: "ok on a change, from every router.",
      act: "error: what ran runs on. The log says why; POST the file to /api/config/check to see it without a change.",
      unit: "none",
      lines: [{ expr: sumBy("result", happened(METRIC.configReloads)), legend: "{{result}}" }],
      styles: RESULTS,
      bars: true,
    }),
  ],
};

const DEPENDENCIES: readonly Dependency[] = [
  keys,
  introspection,
  certificates,
  configuration,
  directory,
  fabric,
  relay,
  collector,
  clocks,
];

/** The tiles share one line. */
const width = (at: number) => Math.floor(24 / DEPENDENCIES.length) + (at < 24 % DEPENDENCIES.length ? 1 : 0);

export const dependencies: Board = {
  uid: "signalbox-dependencies",
  title: "signalbox / Dependencies",
  description: "Whether what the router depends on is well: keys, introspection, certificates, its configuration, the directory of its fleet, the Redis that keeps its rooms, its links to other routers, the collector, clocks.",
  tags: ["dependencies"],
  banner: banner(),
  rows: [
    { title: "Is each well?", panels: DEPENDENCIES.map((one, at) => tile({ ...one.tile, width: width(at) })) },
    ...DEPENDENCIES.map(({ name, panels }) => ({ title: name, panels })),
  ],
};
