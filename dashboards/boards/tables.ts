// Tables of what is so now: one row a set of labels, one column a query.

import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import * as table from "@grafana/grafana-foundation-sdk/table";
import { type DataLink, built } from "./links";
import { type About, type Panel, describe, instant } from "./panels";
import { type Levels, steps } from "./theme";
import { DATASOURCE } from "./variables";

/** A query, and the column that its values are. */
export interface Column {
  readonly title: string;
  readonly expr: string;
  readonly unit: string;
  readonly decimals?: number;
  /** Colors the cell. */
  readonly levels?: Levels;
}

export interface Table extends About {
  readonly columns: readonly Column[];
  /** Labels in order, as they are shown. Others are left out. */
  readonly labels: readonly string[];
  /** Of a label's cells. */
  readonly cellLinks?: Readonly<Record<string, readonly DataLink[]>>;
  /** Colors of a label's values. */
  readonly cellColors?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly sortBy: string;
  /** What stands there when there is no row. */
  readonly nothing?: string;
}

/** A table with one value is called so by Grafana, one of several by its query too. */
const valueField = (columns: readonly Column[], index: number) =>
  columns.length === 1 ? "Value" : `Value #${String.fromCharCode("A".charCodeAt(0) + index)}`;

const columnOverride = ({ title, unit, decimals, levels }: Column) => ({
  matcher: { id: "byName", options: title },
  properties: [
    { id: "unit", value: unit },
    ...(decimals === undefined ? [] : [{ id: "decimals", value: decimals }]),
    ...(levels === undefined
      ? []
      : [
          { id: "thresholds", value: { mode: "absolute", steps: steps(levels) } },
          { id: "color", value: { mode: "thresholds" } },
          { id: "custom.cellOptions", value: { type: "color-background", mode: "basic" } },
        ]),
  ],
});

const colorOverride = (label: string, colors: Readonly<Record<string, string>>) => {
  const words = Object.entries(colors).map(([text, color], index) => [text, { text, color, index }] as const);
  return {
    matcher: { id: "byName", options: label },
    properties: [
      { id: "mappings", value: [{ type: dashboard.MappingType.ValueToText, options: Object.fromEntries(words) }] },
      { id: "custom.cellOptions", value: { type: "color-background", mode: "basic" } },
    ],
  };
};

const order = ({ labels, columns }: Table) =>
  Object.fromEntries(
    [...labels, ...columns.map((_, index) => valueField(columns, index))].map((name, at) => [name, at]),
  );

export const list = (of: Table): Panel => {
  const renamed = Object.fromEntries(of.columns.map(({ title }, index) => [valueField(of.columns, index), title]));
  const shown = Object.fromEntries([...of.labels, ...Object.keys(renamed)].map((name) => [name, true]));
  return new table.PanelBuilder()
    .title(of.title)
    .description(describe(of))
    .datasource(DATASOURCE)
    .span(of.width ?? 12)
    .height(of.height ?? 8)
    .unit("short")
    .noValue(of.nothing ?? "none")
    .targets(
      of.columns.map(({ expr, title }, index) =>
        instant({ expr, legend: title }, index).format(prometheus.PromQueryFormat.Table),
      ),
    )
    .transformations([
      { id: "merge", options: {} },
      { id: "filterFieldsByName", options: { include: { names: Object.keys(shown) } } },
      { id: "organize", options: { excludeByName: {}, indexByName: order(of), renameByName: renamed } },
    ])
    .overrides([
      ...of.columns.map(columnOverride),
      ...Object.entries(of.cellLinks ?? {}).map(([label, links]) => ({
        matcher: { id: "byName", options: label },
        properties: [{ id: "links", value: built(links) }],
      })),
      ...Object.entries(of.cellColors ?? {}).map(([label, colors]) => colorOverride(label, colors)),
    ])
    .cellHeight(common.TableCellHeight.Sm)
    .showHeader(true)
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(of.sortBy).desc(true)]);
};
