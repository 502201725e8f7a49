// The kinds of panels. Each takes what a panel must say for itself (title, unit, what it is, what good looks like, what to do
// when it is not), so that none can be without.

import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as heatmap from "@grafana/grafana-foundation-sdk/heatmap";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as statetimeline from "@grafana/grafana-foundation-sdk/statetimeline";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";
import { type DataLink, built } from "./links";
import { COLOR, type Levels, type Styles, overrides, steps } from "./theme";
import { DATASOURCE } from "./variables";

export type Panel = cog.Builder<dashboard.Panel>;

/** What every panel says. */
export interface About {
  readonly title: string;
  /** What is drawn. */
  readonly what: string;
  /** What good looks like. */
  readonly good: string;
  /** What to do when it is not. */
  readonly act: string;
  /** Of 24. */
  readonly width?: number;
  readonly height?: number;
  readonly links?: readonly DataLink[];
}

/** One query and how its series are called. */
export interface Line {
  readonly expr: string;
  readonly legend: string;
  /** With the traces that stand for its buckets; only what is made of a histogram's buckets has them. */
  readonly exemplar?: boolean;
}

export const describe = ({ what, good, act }: About) => `${what}\n\n**Good:** ${good}\n\n**If not:** ${act}`;

const refId = (index: number) => String.fromCharCode("A".charCodeAt(0) + index);

const query = ({ expr, legend, exemplar = false }: Line, index: number) =>
  new prometheus.DataqueryBuilder()
    .refId(refId(index))
    .datasource(DATASOURCE)
    .editorMode(prometheus.QueryEditorMode.Code)
    .expr(expr)
    .legendFormat(legend)
    .exemplar(exemplar);

export const instant = (line: Line, index: number) => query(line, index).instant();
export const range = (line: Line, index: number) => query(line, index).range();

export const fieldLinks = (links: readonly DataLink[]) =>
  built(links).map((link) => ({ build: () => link as unknown as dashboard.DashboardLink }));

export const thresholds = (levels: Levels) =>
  new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps(levels));

const color = (mode: dashboard.FieldColorModeId, fixed?: string) => {
  const scheme = new dashboard.FieldColorBuilder().mode(mode);
  return fixed === undefined ? scheme : scheme.fixedColor(fixed);
};

export interface Graph extends About {
  readonly unit: string;
  readonly lines: readonly Line[];
  readonly styles?: Styles;
  /** Drawn as dashed lines; names that we cannot know are colored by them. */
  readonly levels?: Levels;
  readonly bars?: boolean;
  readonly stacked?: boolean;
  /** A table of last and highest values beside the graph, where there are many names. */
  readonly table?: boolean;
  readonly logarithmic?: boolean;
  readonly min?: number;
  readonly max?: number;
  /** One such panel for each value of this variable. */
  readonly repeat?: string;
}

const legend = (asTable: boolean, wide: boolean) => {
  const legend = new common.VizLegendOptionsBuilder()
    .showLegend(true)
    .displayMode(asTable ? common.LegendDisplayMode.Table : common.LegendDisplayMode.List)
    .placement(asTable && wide ? common.LegendPlacement.Right : common.LegendPlacement.Bottom)
    .calcs(asTable ? ["lastNotNull", "max"] : []);
  return asTable ? legend.sortBy("Last *").sortDesc(true) : legend;
};

/** Lines, or bars, over time. */
export const graph = (of: Graph): Panel => {
  const wide = (of.width ?? 12) >= 12;
  const panel = new timeseries.PanelBuilder()
    .title(of.title)
    .description(describe(of))
    .datasource(DATASOURCE)
    .span(of.width ?? 12)
    .height(of.height ?? 8)
    .targets(of.lines.map(range))
    .unit(of.unit)
    .lineWidth(1)
    .fillOpacity(of.bars || of.stacked ? 40 : 0)
    .showPoints(common.VisibilityMode.Auto)
    .pointSize(4)
    .axisSoftMin(0)
    .drawStyle(of.bars ? common.GraphDrawStyle.Bars : common.GraphDrawStyle.Line)
    .legend(legend(of.table ?? false, wide))
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .overrides(overrides(of.styles ?? {}));
  if (of.levels) {
    panel
      .thresholds(thresholds(of.levels))
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed))
      .colorScheme(color(dashboard.FieldColorModeId.Thresholds));
  } else {
    panel.colorScheme(color(dashboard.FieldColorModeId.ContinuousBlYlRd));
  }
  if (of.stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal));
  if (of.logarithmic) {
    panel.scaleDistribution(new common.ScaleDistributionConfigBuilder().type(common.ScaleDistribution.Log).log(10));
  }
  if (of.min !== undefined) panel.min(of.min);
  if (of.max !== undefined) panel.max(of.max);
  if (of.links) panel.dataLinks(fieldLinks(of.links));
  if (of.repeat !== undefined) panel.repeat(of.repeat).repeatDirection("h").maxPerRow(2);
  return panel;
};

export interface Tile extends About {
  readonly unit: string;
  readonly expr: string;
  readonly levels?: Levels;
  readonly decimals?: number;
  /** What stands there when the query has no answer. */
  readonly nothing?: string;
  /** Numbers that are words: `{ 0: { text: "none", color } }`. */
  readonly words?: Readonly<Record<string, { text: string; color: string }>>;
  /** Without the small graph below the number. */
  readonly bare?: boolean;
}

/** One number, colored by how good it is. */
export const tile = (of: Tile): Panel => {
  const panel = new stat.PanelBuilder()
    .title(of.title)
    .description(describe(of))
    .datasource(DATASOURCE)
    .span(of.width ?? 4)
    .height(of.height ?? 4)
    .targets([range({ expr: of.expr, legend: of.title }, 0)])
    .unit(of.unit)
    .noValue(of.nothing ?? "no data")
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]).fields("").values(false))
    .colorMode(of.levels || of.words ? common.BigValueColorMode.Background : common.BigValueColorMode.None)
    .graphMode(of.bare ? common.BigValueGraphMode.None : common.BigValueGraphMode.Area)
    .textMode(common.BigValueTextMode.Value);
  if (of.levels) panel.thresholds(thresholds(of.levels));
  if (!of.levels) panel.colorScheme(color(dashboard.FieldColorModeId.Fixed, COLOR.plain));
  if (of.decimals !== undefined) panel.decimals(of.decimals);
  if (of.words) panel.mappings([{ type: dashboard.MappingType.ValueToText, options: { ...of.words } }]);
  if (of.links) panel.dataLinks(fieldLinks(of.links));
  return panel;
};

export interface Heat extends About {
  readonly expr: string;
}

/** How latencies are spread over time, with the traces that stand for single ones. */
export const heat = (of: Heat): Panel =>
  new heatmap.PanelBuilder()
    .title(of.title)
    .description(describe(of))
    .datasource(DATASOURCE)
    .span(of.width ?? 12)
    .height(of.height ?? 9)
    .targets([range({ expr: of.expr, legend: "{{le}}", exemplar: true }, 0).format(prometheus.PromQueryFormat.Heatmap)])
    .unit("s")
    .calculate(false)
    .cellGap(0)
    .color(
      new heatmap.HeatmapColorOptionsBuilder()
        .mode(heatmap.HeatmapColorMode.Scheme)
        .scheme("Cividis")
        .scale(heatmap.HeatmapColorScale.Exponential)
        .exponent(0.5)
        .steps(64)
        .fill(COLOR.plain),
    )
    .cellValues(new heatmap.CellValuesBuilder().unit("reqps"))
    .filterValues(new heatmap.FilterValueRangeBuilder().le(1e-9))
    .yAxis(new heatmap.YAxisConfigBuilder().unit("s").axisPlacement(common.AxisPlacement.Left))
    .exemplarsColor(COLOR.bad)
    .showLegend()
    .tooltip(
      new heatmap.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true).showColorScale(true),
    );

export interface States extends About {
  readonly unit: string;
  readonly lines: readonly Line[];
  readonly words: Readonly<Record<string, { text: string; color: string }>>;
}

/** Which of a few states something was in over time. */
export const states = (of: States): Panel =>
  new statetimeline.PanelBuilder()
    .title(of.title)
    .description(describe(of))
    .datasource(DATASOURCE)
    .span(of.width ?? 12)
    .height(of.height ?? 6)
    .targets(of.lines.map(range))
    .unit(of.unit)
    .mappings([{ type: dashboard.MappingType.ValueToText, options: { ...of.words } }])
    .colorScheme(color(dashboard.FieldColorModeId.Fixed, COLOR.bound))
    .showValue(common.VisibilityMode.Auto)
    .mergeValues(true)
    .rowHeight(0.8)
    .fillOpacity(70)
    .lineWidth(0)
    .legend(
      new common.VizLegendOptionsBuilder()
        .showLegend(false)
        .displayMode(common.LegendDisplayMode.Hidden)
        .placement(common.LegendPlacement.Bottom),
    )
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Single).sort(common.SortOrder.None));
