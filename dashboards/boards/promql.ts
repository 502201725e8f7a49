// What the queries of a board are, for those who check or run them: with Grafana's variables filled in.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import type * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import { type Board, build, every } from "./board";

/** One query of a panel or an annotation. */
export interface Asked {
  readonly board: string;
  /** The panel's title, or the annotation's name. */
  readonly panel: string;
  readonly kind: string;
  readonly refId: string;
  readonly expr: string;
  readonly legend: string;
  readonly instant: boolean;
  readonly exemplar: boolean;
}

type Target = prometheus.Dataquery & { datasource?: { uid?: string } };

export const targets = (panel: dashboard.Panel | dashboard.RowPanel): Target[] =>
  "targets" in panel ? ((panel.targets ?? []) as unknown as Target[]) : [];

const asked = (board: Board, panel: string, kind: string, target: Target): Asked => ({
  board: board.uid,
  panel,
  kind,
  refId: target.refId ?? "",
  expr: target.expr,
  legend: target.legendFormat ?? "",
  instant: target.instant ?? false,
  exemplar: target.exemplar ?? false,
});

export const queries = (board: Board): Asked[] => {
  const built = build(board);
  const panels = every(built).flatMap((panel) =>
    targets(panel).map((target) => asked(board, panel.title ?? "", panel.type, target)),
  );
  const annotations = (built.annotations.list ?? []).map((annotation) =>
    asked(board, annotation.name ?? "", "annotation", annotation.target as unknown as Target),
  );
  return [...panels, ...annotations];
};

/** What All of each variable is, and a quantile. */
const VALUES: Readonly<Record<string, string>> = {
  cluster: ".*",
  domain: ".*",
  instance: ".+",
  job: ".+",
  op: ".*",
  quantile: "0.99",
  region: ".*",
  variant: ".*",
};

/** The query as Grafana would send it with everything chosen. */
export const filled = (expr: string, rateInterval = "5m", values: Readonly<Record<string, string>> = {}) =>
  expr.replace(/\$(\w+)/g, (whole, name: string) => {
    if (name === "__rate_interval") return rateInterval;
    const value = values[name] ?? VALUES[name];
    if (value === undefined) throw new Error(`no value for ${whole} in ${expr}`);
    return value;
  });

/** A selector: a name and what is between its braces. */
export interface Selector {
  readonly name: string;
  readonly matchers: string;
  /** What stands right after it, such as `[5m]`. */
  readonly after: string;
}

/** Every selector with braces. Values of ours have no braces in them. */
export const selectors = (expr: string): Selector[] =>
  [...expr.matchAll(/([a-zA-Z_:][\w:]*)\{([^}]*)\}(\[[^\]]*\])?/g)].map(([, name = "", matchers = "", after = ""]) => ({
    name,
    matchers,
    after,
  }));
