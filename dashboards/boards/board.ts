// A board from rows of panels, and its JSON, which is the same each time: keys in order, and ids made of titles, so that a
// new panel changes no other one's address.

import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { changes } from "./annotations";
import { TAG, boards as boardLinks } from "./links";
import type { Panel } from "./panels";
import { shared } from "./variables";

/** Panels under a headline. */
export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
  /** Opened by hand; its queries run only then. */
  readonly folded?: boolean;
}

/** One board. */
export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly tags: readonly string[];
  /** The one about whether there is anything to see. */
  readonly banner: Panel;
  readonly rows: readonly Row[];
  /** Beside those that all boards have. */
  readonly variables?: readonly cog.Builder<dashboard.VariableModel>[];
}

/** FNV-1a, 20 bits of it: small enough to type, and a test says when two titles of a board meet. */
const id = (title: string) => {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(title)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return (hash >>> 12) + 1;
};

export const build = (board: Board): dashboard.Dashboard => {
  const builder = new dashboard.DashboardBuilder(board.title)
    .uid(board.uid)
    .description(board.description)
    .tags([TAG, ...board.tags])
    .timezone("browser")
    .time({ from: "now-3h", to: "now" })
    .refresh("30s")
    .readonly()
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .variables([...shared(), ...(board.variables ?? [])])
    .annotations(changes())
    .links([boardLinks()])
    .withPanel(board.banner);
  for (const { title, panels, folded = false } of board.rows) {
    const row = new dashboard.RowBuilder(title).collapsed(folded);
    if (folded) for (const panel of panels) row.withPanel(panel);
    builder.withRow(row);
    if (!folded) for (const panel of panels) builder.withPanel(panel);
  }
  const built = builder.build();
  for (const panel of every(built)) panel.id = id(panel.title ?? "");
  // the SDK would hide them behind a menu
  for (const shown of [...(built.links ?? []), ...(built.annotations.list ?? [])]) delete shown.placement;
  return built;
};

/** Panels, rows, and panels in rows that are folded. */
export const every = (board: dashboard.Dashboard): (dashboard.Panel | dashboard.RowPanel)[] =>
  (board.panels ?? []).flatMap((panel) => ["panels" in panel ? panel.panels : [], panel].flat());

const ordered = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, ordered(inner)]));
};

export const json = (board: Board) => `${JSON.stringify(ordered(build(board)), null, 2)}\n`;
