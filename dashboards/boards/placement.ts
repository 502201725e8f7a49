// Where rooms' media goes: how media nodes score, what each gets of the rooms, and what becomes of rooms when a node is lost.

import { banner } from "./banner";
import type { Board } from "./board";
import { toBoard } from "./links";
import { METRIC } from "./metrics";
import { graph, tile } from "./panels";
import { happened, maxBy, rate, routers, sum, sumBy } from "./queries";
import { COLOR, type Styles } from "./theme";

const NODES = "cluster, domain, node";
const GOT = `avg by (${NODES}) (${routers(METRIC.nodeShare, 'share="got"')})`;
const WANTED = `avg by (${NODES}) (${routers(METRIC.nodeShare, 'share="wanted"')})`;

const RESULTS: Styles = {
  home: { color: COLOR.good },
  spill_over: { color: COLOR.warn },
  overloaded: { color: COLOR.warn, dash: "dash" },
  none: { color: COLOR.bad },
};

const CHANGES: Styles = {
  in: { color: COLOR.good },
  "/^(cordoned|draining|drained)$/": { color: COLOR.plain },
  "/^(silent|failing|gone)$/": { color: COLOR.warn },
};

const now = [
  tile({
    title: "Nodes ready",
    what: "Media nodes that take rooms, as the router sees them that sees the fewest.",
    good: "As many as there should be.",
    act: "0: SignalboxNoHealthyMediaNode has the runbook. Fewer than there are: which ones, below.",
    unit: "none",
    decimals: 0,
    width: 6,
    expr: `min(${sumBy("cluster, domain, instance", routers(METRIC.placementNodes, 'state="ready"'))})`,
    nothing: "none",
  }),
  tile({
    title: "Rooms that found no node",
    what: "Rooms a second that could not be given a media node although there are some.",
    good: "0.",
    act: "SignalboxNoHealthyMediaNode has the runbook.",
    unit: "cps",
    decimals: 2,
    width: 6,
    expr: sum(rate(METRIC.placements, 'result="none"')),
    levels: { warn: 0.001, bad: 0.1 },
  }),
  tile({
    title: "Spilled over",
    what: "Rooms a second that were placed in another region than their first participant's.",
    good: "0, or what clients without a region bring.",
    act: "SignalboxMediaRegionLost has the runbook: which region has no node, below.",
    unit: "cps",
    decimals: 2,
    width: 6,
    expr: sum(rate(METRIC.placements, 'result="spill_over"')),
  }),
  tile({
    title: "The largest share for what was wanted",
    what: "Of all nodes, the most that one got of its region's rooms in the last minute, for what its weight says.",
    good: "About 1; with few rooms it wanders.",
    act: "Over 1.3 for long: SignalboxMediaImbalance has the runbook.",
    unit: "none",
    decimals: 2,
    width: 6,
    expr: `max(${GOT} / (${WANTED} > 0))`,
    nothing: "no rooms",
    levels: { warn: 1.3, bad: 2 },
  }),
];

const nodes = [
  graph({
    title: "Nodes that take rooms",
    what: "Media nodes that take rooms, by region, as the router sees them that sees the fewest.",
    good: "Flat.",
    act: "A region at 0: SignalboxMediaRegionLost. A dip and back: a node was silent or failed, see below.",
    unit: "none",
    lines: [
      {
        expr: `min by (cluster, domain, region) (${sumBy("cluster, domain, instance, region", routers(METRIC.placementNodes, 'state="ready"'))})`,
        legend: "{{region}}",
      },
    ],
    table: true,
  }),
  graph({
    title: "Scores",
    what: "Each node's score: 100 less what round trip, CPU, memory and loss cost. The lowest of all routers.",
    good: "Over 50.",
    act: "signalbox nodes says which part costs. One router alone sees it low: its way there.",
    unit: "none",
    max: 100,
    lines: [{ expr: `min by (${NODES}) (${routers(METRIC.nodeScore)})`, legend: "{{node}}" }],
    table: true,
  }),
  graph({
    title: "Weights",
    what: "Each node's weight: floor of base weight times score by 50, less for a while after it came back. The mean of all routers.",
    good: "In proportion to what the machines can do.",
    act: "0: it is overloaded, or out. A slow rise: it came back, placement.ramp_up_seconds.",
    unit: "none",
    lines: [{ expr: `avg by (${NODES}) (${routers(METRIC.nodeWeight)})`, legend: "{{node}}" }],
    table: true,
  }),
  graph({
    title: "Share got for share wanted",
    what: "What each node got of its region's rooms in the last minute, for what its weight says. Mean of all routers.",
    good: "About 1; with few rooms it wanders.",
    act: "Over 1.3 for long: SignalboxMediaImbalance. signalbox placement explain --room R says why one room is there.",
    unit: "none",
    lines: [{ expr: `${GOT} / (${WANTED} > 0)`, legend: "{{node}}" }],
    levels: { warn: 1.3, bad: 2 },
    table: true,
  }),
  graph({
    title: "Rooms by node",
    what: "Rooms that each node carries, over all routers.",
    good: "In proportion to weights, slowly.",
    act: "A drop to 0: its rooms moved, see Rooms moved. A node that is drained and keeps some: they have no other node to go to.",
    unit: "none",
    lines: [{ expr: sumBy(NODES, routers(METRIC.nodeRooms)), legend: "{{node}}" }],
    table: true,
  }),
  graph({
    title: "Nodes that come and go",
    what: "Times that nodes began to take rooms, or ceased to, and why.",
    good: "Nothing but deploys.",
    act: "silent, failing, gone and in again: SignalboxMediaNodeFlapping. The log names the node.",
    unit: "none",
    lines: [{ expr: `${sumBy("to", happened(METRIC.nodeChanges))} > 0`, legend: "{{to}}" }],
    styles: CHANGES,
    bars: true,
    stacked: true,
    table: true,
    links: [toBoard("Media nodes", "signalbox-media")],
  }),
];

const rooms = [
  graph({
    title: "Rooms placed",
    what: "Rooms that were given a media node a second: in the region of their first participant, elsewhere, the least bad of overloaded ones, or none.",
    good: "home alone.",
    act: "spill_over: a region has no node. overloaded: all nodes are at the end of what they can. none: SignalboxNoHealthyMediaNode.",
    unit: "cps",
    lines: [{ expr: `${sumBy("result", rate(METRIC.placements))} > 0`, legend: "{{result}}" }],
    styles: RESULTS,
    table: true,
  }),
  graph({
    title: "Rooms moved",
    what: "Rooms that have another media node than before, or none, and why; everybody in them connects anew.",
    good: "None; node_drained during maintenance.",
    act: "node_failed: which node, in Nodes that come and go. nowhere: no node was left.",
    unit: "none",
    lines: [{ expr: `${sumBy("reason, to", happened(METRIC.roomMoves))} > 0`, legend: "{{reason}} to {{to}}" }],
    bars: true,
    stacked: true,
    table: true,
  }),
  graph({
    title: "Rooms without a node of their variant",
    what: "Rooms whose own variant had no media node, so that they have one of the variant default.",
    good: "None.",
    act: "The variant is rolled out further than its nodes: start some, or roll it back.",
    unit: "none",
    lines: [{ expr: `${maxBy("instance", happened(METRIC.placementFallbacks))} > 0`, legend: "{{instance}}" }],
    bars: true,
  }),
  graph({
    title: "Void reports, refused nodes",
    what: "Reports of nodes that no honest node makes, and nodes that were one too many.",
    good: "None.",
    act: "The log names node and value. A node that goes on so counts as silent: its version.",
    unit: "none",
    lines: [
      { expr: `${sumBy("instance", happened(METRIC.nodeReportsVoid))} > 0`, legend: "void {{instance}}" },
      { expr: `${sumBy("instance", happened(METRIC.nodesRefused))} > 0`, legend: "refused {{instance}}" },
    ],
    bars: true,
  }),
];

export const placement: Board = {
  uid: "signalbox-placement",
  title: "signalbox / Placement",
  description: "Where rooms' media goes: how media nodes score, what each gets, and what becomes of rooms when one is lost.",
  tags: ["placement"],
  banner: banner(),
  rows: [
    { title: "Now", panels: now },
    { title: "Nodes", panels: nodes },
    { title: "Rooms", panels: rooms },
  ],
};
