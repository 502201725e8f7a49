// What changed, drawn over every graph: versions, configurations, promotions, starts, drains, faults, captures; alerts when asked for.

import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import { METRIC, OBSERVER } from "./metrics";
import { alerts, maxBy, routers } from "./queries";
import { COLOR } from "./theme";
import { DATASOURCE } from "./variables";

interface Change {
  readonly name: string;
  readonly expr: string;
  readonly title: string;
  readonly text: string;
  readonly tags: string;
  readonly color: string;
  /** The value is when it happened, in milliseconds; else it is while the value is not 0. */
  readonly valueIsTime?: boolean;
  readonly off?: boolean;
}

const versions = (ago: string) => `count by (cluster, domain, version) (${routers(METRIC.build)}${ago})`;

const shares = (ago: string) =>
  maxBy("cluster, domain, variant, rule", `${routers(METRIC.variantShare)}${ago}`);

const CHANGES: readonly Change[] = [
  {
    name: "Versions",
    expr: `${versions("")} unless ${versions(" offset 5m")}`,
    title: "version {{version}}",
    text: "first seen in {{cluster}} {{domain}}",
    tags: "cluster,domain,version",
    color: COLOR.light,
  },
  {
    name: "Configurations",
    expr: `${routers(METRIC.configGeneration)} > ${routers(METRIC.configGeneration)} offset 1m`,
    title: "{{instance}} took up another configuration",
    text: "http://{{instance}}/api/config; its log says what changed",
    tags: "cluster,domain,instance",
    color: COLOR.light,
  },
  {
    name: "Promotions",
    // the difference, so that a share which fell to 0 is one as well
    expr: `${shares("")} - ${shares(" offset 1m")} != 0`,
    title: "another share for {{variant}}",
    text: "by the rule {{rule}}; board Variants has how much",
    tags: "cluster,domain,variant",
    color: COLOR.plain,
  },
  {
    name: "Starts",
    expr: `1000 * ${routers(METRIC.startTime)}`,
    title: "{{instance}} started",
    text: "{{cluster}} {{domain}}",
    tags: "cluster,domain,instance",
    color: COLOR.violet,
    valueIsTime: true,
  },
  {
    name: "Drains",
    expr: `${routers(METRIC.drainPhase, 'phase!="serving"')} == 1`,
    title: "{{instance}} drains",
    text: "phase {{phase}}",
    tags: "cluster,domain,phase",
    color: COLOR.warn,
  },
  {
    name: "Faults",
    expr: `${routers(METRIC.fault)} == 1`,
    title: "fault {{fault}} injected",
    text: "{{instance}}",
    tags: "cluster,domain,fault",
    color: COLOR.bad,
  },
  {
    name: "Captures",
    expr: `1000 * (${maxBy("cluster, domain, instance, op, region", routers(METRIC.latencyCaptureTimestamp))} > 0)`,
    title: "capture: {{op}} in {{region}}",
    text: "http://{{instance}}/debug/captures/latest?op={{op}}&region={{region}}",
    tags: "cluster,domain,op,region",
    color: COLOR.yellow,
    valueIsTime: true,
  },
  {
    name: "Alerts",
    expr: `count by (alertname, severity, cluster, domain) (${alerts(OBSERVER.alerts, 'alertstate="firing"', 'severity!="none"')})`,
    title: "{{alertname}}",
    text: "{{severity}} in {{cluster}} {{domain}}",
    tags: "severity",
    color: COLOR.bad,
    off: true,
  },
];

const annotation = ({ name, expr, title, text, tags, color, valueIsTime = false, off = false }: Change) =>
  new dashboard.AnnotationQueryBuilder()
    .name(name)
    .datasource(DATASOURCE)
    .enable(!off)
    .hide(false)
    .iconColor(color)
    .target(new prometheus.DataqueryBuilder().refId(name).datasource(DATASOURCE).expr(expr).interval("60s").range())
    .titleFormat(title)
    .textFormat(text)
    .tagKeys(tags)
    .useValueForTime(valueIsTime);

export const changes = (): cog.Builder<dashboard.AnnotationQuery>[] => CHANGES.map(annotation);
