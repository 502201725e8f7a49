// What a person may choose at the top of a board. The same on every board, so that links carry them over.

import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import { HISTOGRAM, METRIC } from "./metrics";

export const DATASOURCE = { type: "prometheus", uid: "${datasource}" } as const;

/** On every board, in this order. */
export const SHARED = ["datasource", "job", "cluster", "domain", "region", "instance"] as const;

type Variable = cog.Builder<dashboard.VariableModel>;

const ALL = { selected: true, text: ["All"], value: ["$__all"] };

interface Asked {
  readonly name: string;
  readonly label: string;
  readonly description: string;
  /** The series whose label it is. */
  readonly of: string;
  /** What All matches. A label that a scrape config forgot must not empty the board. */
  readonly all: ".+" | ".*";
  readonly current?: dashboard.VariableOption;
}

const labelValues = ({ name, label, description, of, all, current }: Asked) => {
  const query = `label_values(${of}, ${name})`;
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .datasource(DATASOURCE)
    .query({ query, refId: `variable-${name}` })
    .definition(query)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(all)
    .current(current ?? ALL);
};

const chosen = '{job=~"$job", cluster=~"$cluster", domain=~"$domain"}';

export const shared = (): Variable[] => [
  new dashboard.DatasourceVariableBuilder("datasource")
    .label("Data source")
    .description("The Prometheus that scrapes the routers and evaluates the rules")
    .type("prometheus")
    .multi(false)
    .includeAll(false),
  labelValues({
    name: "job",
    label: "Job",
    description: "The scrape job of the routers",
    of: METRIC.build,
    all: ".+",
    current: { selected: true, text: ["signalbox"], value: ["signalbox"] },
  }),
  labelValues({
    name: "cluster",
    label: "Cluster",
    description: "Clusters of routers: a label of the scrape targets",
    of: `${METRIC.build}{job=~"$job"}`,
    all: ".*",
  }),
  labelValues({
    name: "domain",
    label: "Domain",
    description: "Business domains: a label of the scrape targets",
    of: `${METRIC.build}{job=~"$job", cluster=~"$cluster"}`,
    all: ".*",
  }),
  labelValues({
    name: "region",
    label: "Region",
    description: "Where clients are, as they joined; panels of whole routers do not heed it",
    of: `${HISTOGRAM.signals.count}${chosen}`,
    all: ".*",
  }),
  labelValues({
    name: "instance",
    label: "Instance",
    description: "Routers, by the address they are scraped at; what rules record over all routers does not heed it",
    of: `${METRIC.build}${chosen}`,
    all: ".+",
  }),
];

/** Kinds of signals, for the boards about latency. `first` alone is chosen at first. */
export const op = (first?: string): Variable =>
  labelValues({
    name: "op",
    label: "Op",
    description: "Kinds of signals",
    of: `${HISTOGRAM.signals.count}${chosen}`,
    all: ".*",
    current: first === undefined ? undefined : { selected: true, text: [first], value: [first] },
  });

/** Variants, for the board of gray release. */
export const variant = (): Variable =>
  labelValues({
    name: "variant",
    label: "Variant",
    description: "Variants, by what sessions began with",
    of: `${METRIC.variantSessions}${chosen}`,
    all: ".*",
  });

/** The quantile that panels by op, region or router show. */
export const quantile = (): Variable =>
  new dashboard.CustomVariableBuilder("quantile")
    .label("Quantile")
    .description("What the panels by op, region and router show")
    .values("P50 : 0.5, P90 : 0.9, P99 : 0.99, P99.9 : 0.999")
    .current({ selected: true, text: "P99", value: "0.99" })
    .options(
      [
        ["P50", "0.5"],
        ["P90", "0.9"],
        ["P99", "0.99"],
        ["P99.9", "0.999"],
      ].map(([text, value]) => ({
        selected: text === "P99",
        text: text ?? "",
        value: value ?? "",
      })),
    )
    .multi(false)
    .includeAll(false);
