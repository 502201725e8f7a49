// Whether what watches the routers can be trusted: measuring, scrapes, rules, notifications, traces, logs, profiles, captures.

import { banner } from "./banner";
import type { Board } from "./board";
import { EVIDENCE } from "./evidence";
import { METRIC, OBSERVER } from "./metrics";
import { graph, tile } from "./panels";
import { alerts, happened, maxBy, observers, rate, routers, sum, sumBy } from "./queries";
import { COLOR } from "./theme";

/** Rule groups of ours. */
const OUR_GROUPS = 'rule_group=~".*;signalbox-.*"';

const now = [
  tile({
    title: "Watchdog",
    what: "The alert that always fires. When it does not, no alert would reach anybody.",
    good: "fires.",
    act: "Missing: the rules are not loaded, or Prometheus does not evaluate them. The dead-man's switch behind it should have paged already.",
    unit: "none",
    expr: `count(${alerts(OBSERVER.alerts, 'alertname="SignalboxWatchdog"', 'alertstate="firing"')}) > bool 0`,
    words: { 1: { text: "fires", color: COLOR.good }, 0: { text: "silent", color: COLOR.bad } },
    nothing: "missing: nobody would be paged",
    bare: true,
  }),
  tile({
    title: "Routers that do not answer",
    what: "Targets whose last scrape failed.",
    good: "0.",
    act: "SignalboxRouterMissing has the runbook: is the process there, is its ops port reached?",
    unit: "none",
    decimals: 0,
    expr: `count(${routers(OBSERVER.up)}) - ${sum(routers(OBSERVER.up))}`,
    levels: { bad: 1 },
  }),
  tile({
    title: "Rules that failed",
    what: "Rule evaluations of Prometheus that failed in the last 15 minutes, of all its rules.",
    good: "0.",
    act: "SignalboxRuleFailing has the runbook; Status > Rules of Prometheus shows the error.",
    unit: "none",
    decimals: 0,
    expr: sum(`increase(${observers(OBSERVER.ruleFailures)}[15m])`),
    levels: { warn: 0.5, bad: 5 },
  }),
  tile({
    title: "Notifications that failed",
    what: "Notifications that Alertmanager could not deliver in the last 15 minutes.",
    good: "0.",
    act: "SignalboxNotificationsFailing has the runbook: Alertmanager's log names the receiver and its answer.",
    unit: "none",
    decimals: 0,
    expr: sum(`increase(${observers(OBSERVER.notificationsFailed)}[15m])`),
    levels: { warn: 0.5, bad: 5 },
    nothing: "Alertmanager is not scraped",
  }),
  tile({
    title: "Routers that measure",
    what: "Share of routers whose latencies were drained in the last minutes.",
    good: "100 %.",
    act: "A router that does not drain shows old latencies as new. SignalboxMeasuringStopped has the runbook.",
    unit: "percentunit",
    decimals: 0,
    expr: `count(${rate(METRIC.latencyDrains)} > 0.5) / count(${routers(METRIC.build)})`,
    levels: { warn: 1, bad: 0.9, falling: true },
    nothing: "none measures",
  }),
  tile({
    title: "Profiler running",
    what: "Share of routers whose sampler runs.",
    good: "100 %, unless it was switched off.",
    act: "A router without has no flamegraph and no CPU part in its captures: its log says at start why.",
    unit: "percentunit",
    decimals: 0,
    expr: `count(sum by (cluster, domain, instance) (${routers(METRIC.profilerRunning)}) > 0) / count(${routers(METRIC.build)})`,
    levels: { warn: 1, bad: 0.5, falling: true },
    nothing: "none runs",
  }),
];

const scrapes = [
  graph({
    title: "Scrape time by router",
    what: "How long Prometheus waited for each router's metrics.",
    good: "Under a tenth of the scrape interval.",
    act: "Rising with series: see the graph beside. Rising alone: the router's ops thread does not get CPU.",
    unit: "s",
    width: 8,
    lines: [{ expr: routers(OBSERVER.scrapeDuration), legend: "{{instance}}" }],
  }),
  graph({
    title: "Rendering a scrape",
    what: "How long each router took to render its last scrape.",
    good: "A few milliseconds.",
    act: "Grows with series; METRICS.md says how many there may be.",
    unit: "s",
    width: 8,
    lines: [{ expr: routers(METRIC.scrapeTime), legend: "{{instance}}" }],
  }),
  graph({
    title: "Series by router",
    what: "Samples of each router's last scrape.",
    good: "Level; under the bound of METRICS.md, some 20,000.",
    act: "A jump: a new label value (region, SDK version, scenario). Set sample_limit above the bound, never below.",
    unit: "short",
    width: 8,
    lines: [{ expr: routers(OBSERVER.scrapeSamples), legend: "{{instance}}" }],
  }),
  graph({
    title: "New series by scrape",
    what: "Series that each scrape added: churn.",
    good: "0 but after a start.",
    act: "Standing above 0: something puts values into labels that change. SignalboxLabelsFolded is about its bound.",
    unit: "short",
    width: 8,
    lines: [{ expr: routers(OBSERVER.seriesAdded), legend: "{{instance}}" }],
  }),
  graph({
    title: "Scrapes answered, by format",
    what: "Scrapes a second by what was asked for.",
    good: "One format: protobuf from a Prometheus 3 with native histograms, openmetrics from others.",
    act: "text alone has no exemplars: look at the scrape config.",
    unit: "cps",
    width: 8,
    lines: [{ expr: sumBy("format", rate(METRIC.scrapes)), legend: "{{format}}" }],
    styles: { text: { color: COLOR.bound }, openmetrics: { color: COLOR.plain }, protobuf: { color: COLOR.light } },
  }),
  graph({
    title: "Series in this Prometheus",
    what: "Series in the head of the Prometheus that this board asks, of all that it scrapes.",
    good: "Level.",
    act: "Growth takes its memory. Its own page Status > TSDB says which names.",
    unit: "short",
    width: 8,
    lines: [{ expr: observers(OBSERVER.headSeries), legend: "{{instance}}" }],
  }),
];

const measuring = [
  graph({
    title: "Drains of histograms",
    what: "Drains of the workers' histograms a second: latencies are as fresh as these.",
    good: "1.",
    act: "Less: the router's metronome does not come on time; 0: all its latencies stand still. SignalboxMeasuringStopped.",
    unit: "cps",
    width: 8,
    lines: [{ expr: rate(METRIC.latencyDrains), legend: "{{instance}}" }],
    levels: { bad: 0.5, warn: 0.9, falling: true },
  }),
  graph({
    title: "Time of a drain",
    what: "How long the last drain took.",
    good: "A few milliseconds.",
    act: "Tens: many regions and SDK versions at once, or no CPU left beside the workers.",
    unit: "s",
    width: 8,
    lines: [{ expr: routers(METRIC.latencyDrainTime), legend: "{{instance}}" }],
  }),
  graph({
    title: "Panics beside the workers",
    what: "Times that what a thread beside the workers does at an interval panicked.",
    good: "None.",
    act: "A defect: the log has the panic with its place. SignalboxMeasuringStopped has the runbook.",
    unit: "none",
    width: 8,
    lines: [
      { expr: `${sumBy("instance, thread", happened(METRIC.ticksPanicked))} > 0`, legend: "{{instance}} {{thread}}" },
    ],
    bars: true,
  }),
  graph({
    title: "Labels folded into other",
    what: "Recordings whose SDK version and scenario (client), or region, became other for want of histograms.",
    good: "0, or a steady few of rare SDK versions.",
    act: "region: clients name regions that the config does not. client: more versions and scenarios than are kept. SignalboxLabelsFolded.",
    unit: "cps",
    lines: [{ expr: sumBy("part", rate(METRIC.latencyFolded)), legend: "{{part}}" }],
    styles: { client: { color: COLOR.light }, region: { color: COLOR.violet } },
  }),
  graph({
    title: "Latencies beyond what histograms hold",
    what: "Latencies over 60 seconds, recorded as 60 seconds.",
    good: "None.",
    act: "A clock that jumped, or a machine that was suspended: see the router's log.",
    unit: "none",
    lines: [{ expr: `${sumBy("instance", happened(METRIC.latencyOutliers))} > 0`, legend: "{{instance}}" }],
    bars: true,
  }),
];

const rules = [
  graph({
    title: "Time of a rule group against its interval",
    what: "Share of its interval that the last evaluation of each rule group took.",
    good: "Under 10 %; the baseline group, every five minutes, takes the longest.",
    act: "Over 100 % evaluations are missed, and alerts come late: more CPU, or a larger interval.",
    unit: "percentunit",
    lines: [
      {
        expr: `${maxBy("rule_group", observers(OBSERVER.groupDuration, OUR_GROUPS))} / ${maxBy("rule_group", observers(OBSERVER.groupInterval, OUR_GROUPS))}`,
        legend: "{{rule_group}}",
      },
    ],
    levels: { warn: 0.5, bad: 1 },
    table: true,
  }),
  graph({
    title: "Rule evaluations that failed or were missed",
    what: "Failures and missed iterations, by rule group.",
    good: "None.",
    act: "SignalboxRuleFailing: Status > Rules of Prometheus shows the error beside the rule.",
    unit: "none",
    lines: [
      {
        expr: `sum by (rule_group) (increase(${observers(OBSERVER.ruleFailures)}[$__rate_interval])) > 0`,
        legend: "failed {{rule_group}}",
      },
      {
        expr: `sum by (rule_group) (increase(${observers(OBSERVER.groupMissed)}[$__rate_interval])) > 0`,
        legend: "missed {{rule_group}}",
      },
    ],
    styles: { "/^failed /": { color: COLOR.bad }, "/^missed /": { color: COLOR.warn } },
    bars: true,
    table: true,
  }),
  graph({
    title: "Notifications by Alertmanager",
    what: "Notifications a second that Alertmanager sent, and that failed, by integration.",
    good: "Failed at 0; sent never at 0 for longer than the Watchdog's repeat interval.",
    act: "failed: its log names the receiver and what it answered. SignalboxNotificationsFailing.",
    unit: "cps",
    lines: [
      {
        expr: `sum by (integration) (rate(${observers(OBSERVER.notificationsSent)}[$__rate_interval])) > 0`,
        legend: "sent {{integration}}",
      },
      {
        expr: `sum by (integration) (rate(${observers(OBSERVER.notificationsFailed)}[$__rate_interval])) > 0`,
        legend: "failed {{integration}}",
      },
    ],
    styles: { "/^sent /": { color: COLOR.good }, "/^failed /": { color: COLOR.bad } },
    table: true,
  }),
  graph({
    title: "Alerts handed to Alertmanager",
    what: "Alerts on the way from Prometheus to Alertmanager: handed over, failed, dropped; and how many Alertmanagers are known.",
    good: "Failed and dropped at 0; as many Alertmanagers as there are.",
    act: "No Alertmanager is reached: alerting in prometheus.yml, and whether it runs.",
    unit: "none",
    lines: [
      { expr: `sum(increase(${observers(OBSERVER.handedOver)}[$__rate_interval]))`, legend: "handed over" },
      { expr: `sum(increase(${observers(OBSERVER.handingFailed)}[$__rate_interval]))`, legend: "failed" },
      { expr: `sum(increase(${observers(OBSERVER.notificationsDropped)}[$__rate_interval]))`, legend: "dropped" },
      { expr: `min(${observers(OBSERVER.alertmanagers)})`, legend: "Alertmanagers known" },
    ],
    styles: {
      "handed over": { color: COLOR.good },
      failed: { color: COLOR.bad },
      dropped: { color: COLOR.bad, dash: "dash" },
      "Alertmanagers known": { color: COLOR.bound },
    },
    table: true,
  }),
];

export const observersBoard: Board = {
  uid: "signalbox-observers",
  title: "signalbox / Observers",
  description:
    "Whether what watches the routers can be trusted: measuring, scrapes, rules, notifications, traces, profiles, captures.",
  tags: ["observers"],
  banner: banner(),
  rows: [
    { title: "Would somebody be told?", panels: now },
    { title: "Rules and notifications", panels: rules },
    { title: "Scrapes and series", panels: scrapes },
    { title: "Measuring", panels: measuring },
    ...EVIDENCE,
  ],
};
