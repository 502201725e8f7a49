// Asks every query of every board of a Prometheus that scrapes routers, and names those that fail, that return nothing
// without a reason in silent.ts, or whose legend names a label that no series has.
//
//     npm run live -- http://127.0.0.1:9090 [rate interval, such as 30s] [seconds back, such as 120]

import { BOARDS } from "./boards";
import { type Asked, filled, queries } from "./promql";
import { silent } from "./silent";

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result: readonly { readonly metric: Readonly<Record<string, string>> }[] };
}

const [, , server = "http://127.0.0.1:9090", rateInterval = "30s", back = "120"] = process.argv;

const ask = async ({ expr, instant }: Asked): Promise<Answer> => {
  const now = Date.now() / 1000;
  const query = filled(expr, rateInterval);
  const asked: Record<string, string> = instant
    ? { query, time: `${now}` }
    : { query, start: `${now - Number(back)}`, end: `${now}`, step: "5" };
  const body = new URLSearchParams(asked);
  const answer = await fetch(`${server}/api/v1/${instant ? "query" : "query_range"}`, { method: "POST", body });
  return (await answer.json()) as Answer;
};

const main = async () => {
  const wrong: string[] = [];
  let answered = 0;
  const quiet = new Map<string, string>();
  for (const asked of BOARDS.flatMap(queries)) {
    const at = `${asked.board}: ${asked.panel} (${asked.refId})`;
    const { status, error, data } = await ask(asked);
    const series = data?.result ?? [];
    if (status !== "success") wrong.push(`${at}: ${error}\n    ${filled(asked.expr, rateInterval)}`);
    else if (series.length === 0) {
      const reason = silent(asked);
      if (reason !== undefined) quiet.set(asked.kind === "annotation" ? `every board: ${asked.panel}` : at, reason);
      else wrong.push(`${at}: nothing\n    ${filled(asked.expr, rateInterval)}`);
    } else {
      answered += 1;
      for (const [, label = ""] of asked.legend.matchAll(/\{\{(\w+)\}\}/g)) {
        if (!series.some(({ metric }) => label in metric))
          wrong.push(`${at}: no series has the label ${label} of its legend`);
      }
    }
  }
  for (const [at, reason] of quiet) console.log(`silent, ${reason}: ${at}`);
  for (const line of wrong) console.log(`wrong: ${line}`);
  console.log(`${answered} queries answered, ${quiet.size} silent for a reason, ${wrong.length} wrong`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
};

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
