// What every query must be: in PromQL, narrowed by the variables, of names that there are.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build, every } from "../board";
import { BOARDS } from "../boards";
import { HISTOGRAM, METRIC, OBSERVER, RECORDED } from "../metrics";
import { type Asked, filled, queries, selectors, targets } from "../promql";
import { PROMISE_SECONDS } from "../queries";
import { SILENT, silent } from "../silent";

const ALL = BOARDS.flatMap(queries);

const where = ({ board, panel, refId }: Asked) => `${board}: ${panel} (${refId})`;

const OURS: readonly string[] = [
  ...Object.values(METRIC),
  ...Object.values(HISTOGRAM).flatMap((histogram) => Object.values(histogram)),
];
const RECORDED_NAMES: readonly string[] = Object.values(RECORDED);
const OBSERVER_NAMES: readonly string[] = Object.values(OBSERVER);
/** What Prometheus says of each target, under the target's labels. */
const OF_TARGETS: readonly string[] = [
  OBSERVER.up,
  OBSERVER.scrapeDuration,
  OBSERVER.scrapeSamples,
  OBSERVER.seriesAdded,
];

/** METRICS.md: names, and which board each is meant for. */
const catalog = () => {
  const text = readFileSync(join(__dirname, "..", "..", "..", "METRICS.md"), "utf8");
  const rows = [...text.matchAll(/^\| `([a-z_0-9]+)`<br>.*$/gm)];
  assert.ok(rows.length > 80, `${rows.length} metrics were read`);
  return rows.map(([row, name = ""]) => ({ name, shown: /\| (board: [a-z ]+|alert|debug) \|/.exec(row)?.[1] ?? "" }));
};

const BOARD_OF: Readonly<Record<string, string>> = {
  "board: overview": "signalbox-overview",
  "board: latency": "signalbox-latency",
  "board: sessions and rooms": "signalbox-sessions",
  "board: dependencies": "signalbox-dependencies",
  "board: runtime": "signalbox-runtime",
  "board: guard": "signalbox-guard",
  "board: variants": "signalbox-variants",
  "board: media": "signalbox-media",
  "board: placement": "signalbox-placement",
  "board: observers": "signalbox-observers",
};

/** Whether the query names the metric, or a part of it if it is a histogram. */
const names = (expr: string, metric: string) =>
  new RegExp(`(^|[^\\w:])${metric}(_bucket|_count|_sum)?($|[^\\w:])`).test(expr);

test("every query is PromQL", () => {
  const folder = mkdtempSync(join(tmpdir(), "boards-"));
  const rules = ALL.map(({ expr }, at) => `  - record: panel:query:${at}\n    expr: ${JSON.stringify(filled(expr))}`);
  const file = join(folder, "rules.yml");
  writeFileSync(file, `groups:\n- name: boards\n  rules:\n${rules.join("\n")}\n`);
  try {
    const said = execFileSync("promtool", ["check", "rules", file], { encoding: "utf8" });
    assert.match(said, new RegExp(`SUCCESS: ${ALL.length} rules found`));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("every selector is narrowed by the variables", () => {
  const fleet = ['cluster=~"$cluster"', 'domain=~"$domain"'];
  const routers = ['job=~"$job"', ...fleet, 'instance=~"$instance"'];
  for (const asked of ALL) {
    for (const { name, matchers } of selectors(asked.expr)) {
      const has = (wanted: readonly string[]) => wanted.every((one) => matchers.split(", ").includes(one));
      if (OURS.includes(name) || OF_TARGETS.includes(name)) assert.ok(has(routers), `${where(asked)}: ${name}`);
      else if (RECORDED_NAMES.includes(name)) assert.ok(has(fleet), `${where(asked)}: ${name}`);
      else if (name.startsWith("ALERTS"))
        assert.ok(has(['cluster=~"$cluster|"', 'domain=~"$domain|"']), `${where(asked)}: ${name}`);
      else assert.ok(OBSERVER_NAMES.includes(name), `${where(asked)}: ${name} is in no list of metrics.ts`);
    }
    // a name of ours without braces would be of everybody
    for (const name of [...OURS, ...RECORDED_NAMES, ...OF_TARGETS]) {
      assert.doesNotMatch(asked.expr, new RegExp(`(^|[^\\w:])${name}($|[^\\w:{])`), `${where(asked)}: ${name}`);
    }
  }
});

test("rates are over the interval that Grafana reckons, and counters are never shown as they are", () => {
  for (const asked of ALL) {
    assert.doesNotMatch(asked.expr, /\b(rate|irate)\([^()]*\[(?!\$__rate_interval\])/, where(asked));
    // a number of the last minutes, in a tile, has a window of its own
    if (asked.kind !== "stat")
      assert.doesNotMatch(asked.expr, /\b(increase|changes)\([^()]*\[(?!\$__rate_interval\])/, where(asked));
    for (const name of OURS.filter((name) => /_(total|bucket|count|sum)$/.test(name))) {
      for (const [, before = ""] of asked.expr.matchAll(new RegExp(`([a-z_]*\\(?)${name}\\{`, "g"))) {
        assert.match(before, /^(rate|increase)\($/, `${where(asked)}: ${name}`);
      }
    }
  }
});

test("every name of metrics.ts is on a board", () => {
  const text = ALL.map(({ expr }) => expr);
  const unused = [...OURS, ...RECORDED_NAMES, ...OBSERVER_NAMES].filter(
    (name) => !name.endsWith("_sum") && !name.endsWith("_count") && !text.some((expr) => names(expr, name)),
  );
  assert.deepEqual(unused, []);
});

test("every metric is on the board that the catalogue means it for", () => {
  const missing = catalog()
    .filter(({ shown }) => shown.startsWith("board: "))
    .filter(({ name, shown }) => !ALL.some(({ board, expr }) => board === BOARD_OF[shown] && names(expr, name)));
  assert.deepEqual(missing, []);
});

test("exemplars are asked for where there are buckets, and nowhere else", () => {
  for (const asked of ALL.filter(({ exemplar }) => exemplar))
    assert.match(asked.expr, /_seconds_bucket\{/, where(asked));
  const latency = ALL.filter(({ board, exemplar }) => board === "signalbox-latency" && exemplar);
  assert.ok(latency.length >= 8, `${latency.length} queries of the board of latencies ask for exemplars`);
});

test("graphs of what was promised show the promise", () => {
  let seen = 0;
  for (const board of BOARDS) {
    for (const panel of every(build(board))) {
      const promised = targets(panel).some(({ expr }) =>
        /histogram_quantile\(.*signalbox_(signal|delivery)_latency_seconds_bucket/.test(expr),
      );
      if (panel.type !== "timeseries" || !promised || !("fieldConfig" in panel)) continue;
      seen += 1;
      const steps = panel.fieldConfig?.defaults.thresholds?.steps ?? [];
      assert.ok(
        steps.some(({ value }) => value === PROMISE_SECONDS),
        `${board.uid}: ${panel.title}`,
      );
    }
  }
  assert.ok(seen >= 8, `${seen} such graphs`);
});

test("what may be silent is a panel that there is, with its reason", () => {
  for (const entry of SILENT) {
    assert.ok(entry.reason.length > 10, JSON.stringify(entry));
    assert.ok(
      ALL.some((asked) => silent(asked) === entry.reason),
      `no query is meant by ${JSON.stringify(entry)}`,
    );
  }
});
