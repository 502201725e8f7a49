// Writes the boards into dashboards/grafana, or with --check compares: exit code 1 names each board that differs.

import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { json } from "./board";
import { BOARDS } from "./boards";

/** From `target`, where this is compiled to. */
export const FOLDER = join(__dirname, "..", "..", "grafana");

const read = (path: string) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

/** What is wrong with the files, a sentence each. */
export const drift = (folder: string): string[] => {
  const names = BOARDS.map(({ uid }) => `${uid}.json`);
  const wrong = BOARDS.flatMap((board) => {
    const name = `${board.uid}.json`;
    const there = read(join(folder, name));
    if (there === undefined) return [`${name} is missing`];
    return there === json(board) ? [] : [`${name} is not what dashboards/boards makes: npm run generate`];
  });
  const extra = readdirSync(folder).filter((name) => name.endsWith(".json") && !names.includes(name));
  return [...wrong, ...extra.map((name) => `${name} is made by no board`)];
};

const generate = () => {
  mkdirSync(FOLDER, { recursive: true });
  for (const name of readdirSync(FOLDER)) if (name.endsWith(".json")) rmSync(join(FOLDER, name));
  for (const board of BOARDS) writeFileSync(join(FOLDER, `${board.uid}.json`), json(board));
  console.log(`${BOARDS.length} boards written`);
};

if (require.main === module) {
  if (process.argv.includes("--check")) {
    const wrong = drift(FOLDER);
    for (const line of wrong) console.error(line);
    if (wrong.length === 0) console.log(`${BOARDS.length} boards are as their sources make them`);
    process.exitCode = wrong.length === 0 ? 0 : 1;
  } else generate();
}
