// Ways from here: board to board, with the time range and every variable; series to the router's own pages.

import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { SHARED } from "./variables";

/** What all boards are tagged with, and found by. */
export const TAG = "signalbox";

/** Every board of ours, in a row under the variables. */
export const boards = () =>
  new dashboard.DashboardLinkBuilder("Boards of signalbox")
    .type(dashboard.DashboardLinkType.Dashboards)
    .tags([TAG])
    .asDropdown(false)
    .includeVars(true)
    .keepTime(true)
    .targetBlank(false);

/** A way from a series or a table's cell to somewhere. */
export interface DataLink {
  readonly title: string;
  readonly url: string;
}

/** To another board, all that was chosen kept, but for what `more` sets by the series: `{ op: "${__field.labels.op}" }`. */
export const toBoard = (title: string, uid: string, more: Record<string, string> = {}): DataLink => {
  const kept = SHARED.filter((name) => !(name in more)).map((name) => `\${${name}:queryparam}`);
  const set = Object.entries(more).map(([name, value]) => `var-${name}=${value}`);
  return { title, url: `/d/${uid}?${["${__url_time_range}", ...kept, ...set].join("&")}` };
};

/** Where a router's address, and what of it, is found. */
type From = "labels" | "fields";

const value = (from: From, name: string) =>
  from === "labels" ? `\${__field.labels.${name}}` : `\${__data.fields.${name}}`;

/** To a page of the router that the series (`labels`) or row (`fields`) is of. */
export const toRouter = (title: string, path: string, from: From = "labels"): DataLink => ({
  title,
  url: `http://${value(from, "instance")}${path}`,
});

/** To the newest capture of the router about that op and region. */
export const toCapture = (from: From = "labels"): DataLink =>
  toRouter(
    "Latest capture of this op and region",
    `/debug/captures/latest?op=${value(from, "op")}&region=${value(from, "region")}`,
    from,
  );

export const toLatencyPage = (from: From = "labels"): DataLink =>
  toRouter("Last hour of this op on that router", `/debug/latency?op=${value(from, "op")}`, from);

/** What a router can say of where its CPU time goes. */
export const toProfiles = (from: From = "labels"): DataLink[] => [
  toRouter("Flamegraph of the last ten minutes", "/debug/pprof/flamegraph?seconds=600", from),
  toRouter("Difference: last five minutes against the hour before", "/debug/pprof/diff?base=1h..10m&target=5m", from),
  toRouter("Captures of bad minutes", "/debug/captures/", from),
];

/** As the fields of a panel carry it. */
export const built = (links: readonly DataLink[]) =>
  links.map(({ title, url }) => ({ title, url, targetBlank: url.startsWith("http") }));
