// One thing that the router depends on: a tile that says whether it is well and a row that says why not.

import type { Panel, Tile } from "./panels";

export interface Dependency {
  readonly name: string;
  readonly tile: Tile;
  readonly panels: readonly Panel[];
}
