// PromQL, in the few shapes that boards need. Every query goes through `routers`, `fleet` or `observers`, which put the
// variables in: a panel that forgets one cannot be written.

import { type Histogram, METRIC, RECORDED } from "./metrics";

/** The promise: P99 at or under 80 ms. Its bucket's edge is exact. */
export const PROMISE_SECONDS = 0.08;
/** The share of signals that must keep it. */
export const OBJECTIVE = 0.99;
/** The share that may break it. */
export const BUDGET = 0.01;

const FLEET = ['cluster=~"$cluster"', 'domain=~"$domain"'];
const ROUTERS = ['job=~"$job"', ...FLEET, 'instance=~"$instance"'];

export const IN_REGION = 'region=~"$region"';
export const OF_OP = 'op=~"$op"';
/** Signals that the promise is about: refusals are fast and have shares of their own. */
export const SERVED = 'outcome=~"ok|expired"';

const matched = (name: string, matchers: string[]) => `${name}{${matchers.join(", ")}}`;

/** A series of the chosen routers. */
export const routers = (metric: string, ...more: string[]) => matched(metric, [...ROUTERS, ...more]);

/** A series that was recorded over all routers of a cluster and domain. */
export const fleet = (series: string, ...more: string[]) => matched(series, [...FLEET, ...more]);

/** A series of Prometheus or Alertmanager themselves, which belong to no cluster of routers. */
export const observers = (series: string, ...more: string[]) => (more.length === 0 ? series : matched(series, more));

/** Alerts of ours, those without a cluster (about the observers) included. */
export const alerts = (series: string, ...more: string[]) =>
  matched(series, ['alertname=~"Signalbox.+"', 'cluster=~"$cluster|"', 'domain=~"$domain|"', ...more]);

export const rate = (metric: string, ...more: string[]) => `rate(${routers(metric, ...more)}[$__rate_interval])`;

/** How often it happened between two points of the graph. */
export const happened = (metric: string, ...more: string[]) =>
  `increase(${routers(metric, ...more)}[$__rate_interval])`;

export const sumBy = (labels: string, expr: string) => `sum by (${labels}) (${expr})`;
export const maxBy = (labels: string, expr: string) => `max by (${labels}) (${expr})`;
export const sum = (expr: string) => `sum(${expr})`;
export const max = (expr: string) => `max(${expr})`;

/** A share, without a line where nothing was asked. */
export const share = (part: string, whole: string) => `${part} / (${whole} > 0)`;

/** A quantile over the chosen routers, by `labels`. */
export const quantile = (q: number | string, histogram: Histogram, labels: string, ...more: string[]) => {
  const by = labels === "" ? "le" : `le, ${labels}`;
  return `histogram_quantile(${q}, ${sumBy(by, rate(histogram.bucket, ...more))})`;
};

/** The mean over the chosen routers, by `labels`. */
export const mean = (histogram: Histogram, labels: string, ...more: string[]) =>
  `${sumBy(labels, rate(histogram.sum, ...more))} / (${sumBy(labels, rate(histogram.count, ...more))} > 0)`;

/** The last value of a series that is recorded only every five minutes. */
export const lastOf = (selector: string) => `last_over_time(${selector}[15m])`;

/** One value called something, so that `or` keeps it beside others. */
export const named = (expr: string, label: string, name: string) =>
  `label_replace(${expr}, "${label}", "${name}", "", "")`;

const worseOf = (signals: string, connections: string) =>
  max(`${named(max(fleet(signals)), "of", "signals")} or ${named(max(fleet(connections)), "of", "connections")}`);

/** The share that failed for our fault: of signals or of connections, whichever is higher. */
export const FAILED = worseOf(RECORDED.errors, RECORDED.connectionErrors);

/** The share that was shed for want of room: of signals or of connections, whichever is higher. */
export const SHED = worseOf(RECORDED.signalSheds, RECORDED.sheds);

/** How far each router's clock is from Prometheus's. */
export const CLOCK_SKEW = `${routers(METRIC.clock)} - timestamp(${routers(METRIC.clock)})`;
