// What every board must be, as people see it: titles, units, words, places, ways to go on.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { type Board, build, every, json } from "../board";
import { BOARDS } from "../boards";
import { FOLDER, drift } from "../generate";
import { targets } from "../promql";
import { COLOR } from "../theme";
import { DATASOURCE, SHARED } from "../variables";

const panels = (board: Board) => every(build(board)).filter((panel): panel is dashboard.Panel => panel.type !== "row");

const variables = (board: Board) => build(board).templating.list ?? [];

/** Every text of the board that is a link's address. */
const addresses = (board: Board) => [...json(board).matchAll(/"url": "([^"]*)"/g)].map(([, address = ""]) => address);

test("the committed files are what the sources make", () => {
  assert.deepEqual(drift(FOLDER), []);
});

test("each board has a uid and a title of its own", () => {
  assert.equal(new Set(BOARDS.map(({ uid }) => uid)).size, BOARDS.length);
  assert.equal(new Set(BOARDS.map(({ title }) => title)).size, BOARDS.length);
});

for (const board of BOARDS) {
  describe(board.uid, () => {
    test("ids are unique, rows included", () => {
      const ids = every(build(board)).map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length, `${ids.length} panels and rows`);
    });

    test("no panel lies over another or beyond the grid", () => {
      const taken = new Map<string, string>();
      for (const { gridPos, title = "" } of every(build(board))) {
        assert.ok(gridPos, title);
        const { x, y, w, h } = gridPos;
        assert.ok(w > 0 && h > 0 && x + w <= 24, `${title} is ${JSON.stringify(gridPos)}`);
        for (let column = x; column < x + w; column += 1) {
          for (let line = y; line < y + h; line += 1) {
            const at = `${column},${line}`;
            assert.equal(taken.get(at), undefined, `${title} lies over ${taken.get(at)}`);
            taken.set(at, title);
          }
        }
      }
    });

    test("rows of panels end at the right edge", () => {
      const filled = new Map<number, number>();
      for (const { gridPos } of panels(board))
        filled.set(gridPos?.y ?? 0, (filled.get(gridPos?.y ?? 0) ?? 0) + (gridPos?.w ?? 0));
      // a panel that is repeated by a variable fills its row itself
      const repeated = panels(board)
        .filter(({ repeat }) => repeat)
        .map(({ gridPos }) => gridPos?.y);
      for (const [y, width] of filled) if (!repeated.includes(y)) assert.equal(width, 24, `the panels at y = ${y}`);
    });

    test("each panel has a title, a unit, and words for good and bad days", () => {
      for (const { title, description = "", fieldConfig } of panels(board)) {
        assert.ok(title, JSON.stringify(description));
        assert.match(description, /^[^\n]{20,}\n\n\*\*Good:\*\* [^\n]{2,}\n\n\*\*If not:\*\* [^\n]{8,}$/, title);
        assert.ok(fieldConfig?.defaults.unit, `${title} has no unit`);
      }
    });

    test("titles are unique", () => {
      const titles = panels(board).map(({ title }) => title);
      assert.deepEqual(
        titles.filter((title, at) => titles.indexOf(title) !== at),
        [],
      );
    });

    test("the first panel says when there is no data", () => {
      const [first] = panels(board);
      assert.equal(first?.title, "Is there data?");
      assert.ok(JSON.stringify(first?.fieldConfig?.defaults.mappings).includes("No data: no router is scraped"));
    });

    test("panels and queries go to the chosen data source", () => {
      for (const panel of panels(board)) {
        assert.deepEqual(panel.datasource, DATASOURCE, panel.title);
        assert.ok(targets(panel).length > 0, `${panel.title} asks nothing`);
        for (const target of targets(panel)) assert.deepEqual(target.datasource, DATASOURCE, panel.title);
        const refIds = targets(panel).map(({ refId }) => refId);
        assert.equal(new Set(refIds).size, refIds.length, panel.title);
      }
    });

    test("the shared variables come first, many may be chosen, and All is one", () => {
      const all = variables(board);
      assert.deepEqual(
        all.slice(0, SHARED.length).map(({ name }) => name),
        [...SHARED],
      );
      assert.equal(all[0]?.query, "prometheus");
      for (const { name, multi, includeAll, allValue, refresh, label, description } of all.slice(1)) {
        assert.ok(label && description, name);
        if (name === "quantile") continue;
        assert.deepEqual({ multi, includeAll, refresh }, { multi: true, includeAll: true, refresh: 2 }, name);
        assert.match(allValue ?? "", /^\.[+*]$/, name);
      }
    });

    // those that all boards share are carried along even where no panel asks for them
    test("every variable of its own is used", () => {
      const text = json(board);
      for (const { name } of variables(board).slice(SHARED.length))
        assert.match(text, new RegExp(`\\$\\{?${name}\\b`), name);
    });

    test("links to boards keep time and variables, and lead to what is there", () => {
      for (const address of addresses(board).filter((address) => address.startsWith("/d/"))) {
        const [, uid, query = ""] = /^\/d\/([^?]+)\?(.*)$/.exec(address) ?? [];
        const target = BOARDS.find((board) => board.uid === uid);
        assert.ok(target, address);
        assert.ok(query.includes("${__url_time_range}"), address);
        const set = [...query.matchAll(/var-(\w+)=/g)].map(([, name = ""]) => name);
        for (const name of SHARED)
          assert.ok(query.includes(`\${${name}:queryparam}`) || set.includes(name), `${name}: ${address}`);
        const known = variables(target).map(({ name }) => name);
        for (const name of set) assert.ok(known.includes(name), `${name} is no variable of ${uid}: ${address}`);
      }
      const [toBoards] = build(board).links ?? [];
      assert.ok(toBoards?.includeVars && toBoards.keepTime && toBoards.placement === undefined);
      assert.deepEqual(toBoards.tags, ["signalbox"]);
      assert.ok(build(board).tags?.includes("signalbox"));
    });

    test("links to routers begin with the series' own address and lead to pages that there are", () => {
      const pages =
        /^\/(debug\/(captures\/(latest)?|latency|slow|pprof\/(flamegraph|diff)?)|api\/(status|log\/level|variants))(\?.*)?$/;
      for (const address of addresses(board).filter((address) => !address.startsWith("/d/"))) {
        const [, path = ""] = /^http:\/\/\$\{(?:__field\.labels|__data\.fields)\.instance\}(.*)$/.exec(address) ?? [];
        assert.match(path, pages, address);
      }
    });

    test("only colors of the theme are used", () => {
      const known: string[] = Object.values(COLOR);
      for (const [color = ""] of json(board).matchAll(/#[0-9A-Fa-f]{6}\b/g)) assert.ok(known.includes(color), color);
      assert.doesNotMatch(json(board), /"fixedColor": "(?!#)/);
    });
  });
}
