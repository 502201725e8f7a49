// The links between routers, of the board of dependencies.

import type { Dependency } from "./dependency";
import { HISTOGRAM, METRIC } from "./metrics";
import { graph } from "./panels";
import { happened, quantile, rate, routers, share, sum, sumBy } from "./queries";
import { COLOR, type Styles } from "./theme";

/** Which end of a link. */
const SIDES: Styles = { edge: { color: COLOR.plain }, host: { color: COLOR.violet } };

/** Clients that a link was there for, or should have been: without an address there is none to be had. */
const LINKABLE = 'outcome!="no_address"';

export const relay: Dependency = {
  name: "Relay: links between routers",
  tile: {
    title: "Clients sent on, not relayed",
    what: "Of the clients whose room is on another router, the share that was sent there because no link could be had, or it was full, in the last 15 minutes.",
    good: "0. Nothing: no client came to another router than its room's, or there is no relay.",
    act: "They have to reach that router themselves. SignalboxRelayUnreachable has the runbook.",
    unit: "percentunit",
    decimals: 1,
    expr: share(
      sum(`increase(${routers(METRIC.relayOpenings, 'outcome=~"unreachable|full"')}[15m])`),
      sum(`increase(${routers(METRIC.relayOpenings, LINKABLE)}[15m])`),
    ),
    nothing: "none",
    levels: { warn: 0.01, bad: 0.05 },
  },
  panels: [
    graph({
      title: "Links between routers",
      what: "Links that stand. Of each, one router is the edge, where clients are connected, the other the host, which has their rooms.",
      good: "As many edges as hosts: at most one link each way for each pair of routers, and fewer where few come to another router than their room's.",
      act: "More of one side than of the other for minutes: a router does not know yet that a link is lost, or is not among those that are shown.",
      unit: "none",
      lines: [{ expr: sumBy("side", routers(METRIC.relayLinks)), legend: "{{side}}" }],
      styles: SIDES,
      table: true,
    }),
    graph({
      title: "Connections over links",
      what: "Connections of clients that go over links, by which end counts them: each is one of an edge's and one of a host's.",
      good: "Both are one. Behind a balancer that knows nothing of rooms, of N routers' connections all but one in N.",
      act: "At relay.connections_max a link takes no more: full, beside. Fewer all at once: links were lost, below.",
      unit: "none",
      lines: [{ expr: sumBy("side", routers(METRIC.relayConnections)), legend: "{{side}}" }],
      styles: SIDES,
      table: true,
    }),
    graph({
      title: "Clients whose room is elsewhere",
      what: "Clients that want into a room of another router, by what became of them: relayed over a link, or sent there with room_elsewhere, and why.",
      good: "relayed only. no_address while routers without a relay are among them.",
      act: "unreachable: no link could be made, see the reasons below. full: relay.connections_max, or relay.link_bytes. SignalboxRelayUnreachable.",
      unit: "none",
      lines: [{ expr: `${sumBy("outcome", happened(METRIC.relayOpenings))} > 0`, legend: "{{outcome}}" }],
      styles: {
        relayed: { color: COLOR.good },
        no_address: { color: COLOR.bound },
        unreachable: { color: COLOR.bad },
        full: { color: COLOR.warn },
      },
      bars: true,
      table: true,
    }),
    graph({
      title: "Round trip over links",
      what: "How long signs of life take over a link and back, behind all that was sent before them: P99 and P50.",
      good: "About a millisecond within a place. It is a part of the latency of each signal that is relayed.",
      act: "P99 alone: links are busy, or a router's workers. Both: the way between the routers. SignalboxRelaySlow has the runbook.",
      unit: "s",
      lines: [
        { expr: quantile(0.99, HISTOGRAM.relay, ""), legend: "P99" },
        { expr: quantile(0.5, HISTOGRAM.relay, ""), legend: "P50" },
      ],
      styles: { P99: { color: COLOR.plain, width: 2 }, P50: { color: COLOR.light, dash: "dot" } },
      table: true,
    }),
    graph({
      title: "Frames over links",
      what: "Frames a second, counted where the clients are connected: theirs to the routers that have their rooms, and what comes back for them.",
      good: "More to clients than to hosts: a push for each who is in the room.",
      act: "None while connections are there: the clients are silent, or the links are; see their round trip.",
      unit: "cps",
      lines: [{ expr: sumBy("direction", rate(METRIC.relayFrames)), legend: "{{direction}}" }],
      styles: { to_host: { color: COLOR.plain }, to_client: { color: COLOR.violet } },
      table: true,
    }),
    graph({
      title: "Links ended, by reason",
      what: "Links that ended or could not be made, by reason; each that stood is counted at either end that knows of it.",
      good: "idle, and closed while routers come and go.",
      act: "lost, silent, overflowed: its clients came back by a resume, SignalboxRelayLinksLost. unreachable, refused: none stands, SignalboxRelayUnreachable.",
      unit: "none",
      lines: [{ expr: `${sumBy("side, reason", happened(METRIC.relayLinksEnded))} > 0`, legend: "{{side}} {{reason}}" }],
      bars: true,
      table: true,
    }),
  ],
};
