// Colours and lines. One meaning each, on every board, and told apart by people who do not see all colours (Okabe and Ito):
// what is good, bad or a bound has a colour that nothing else has; closed sets of names (ops, stages, outcomes) have a
// colour and a dash each; names that we cannot know (regions, routers, versions) are coloured by how high they are.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

export const COLOR = {
  good: "#009E73",
  warn: "#E69F00",
  bad: "#D55E00",
  bound: "#8C8C8C",
  plain: "#0072B2",
  light: "#56B4E9",
  violet: "#CC79A7",
  yellow: "#C9B700",
} as const;

type Dash = "solid" | "dash" | "dot";

/** How one name is drawn. */
export interface Style {
  readonly color: string;
  readonly dash?: Dash;
  readonly width?: number;
  /** 0 to 100: the area under the line. */
  readonly fill?: number;
}

/** How names are drawn: by the whole name, or by a pattern between slashes. */
export type Styles = Readonly<Record<string, Style>>;

const family = (color: string, solid: string, dash: string, dot: string): Styles => ({
  [solid]: { color },
  [dash]: { color, dash: "dash" },
  [dot]: { color, dash: "dot" },
});

export const OPS: Styles = {
  ...family(COLOR.plain, "join", "resume", "leave"),
  ...family(COLOR.violet, "publish", "unpublish", "mute"),
  ...family(COLOR.light, "signal", "send", "update"),
  ...family(COLOR.yellow, "subscribe", "ping", "unknown"),
};

export const STAGES: Styles = {
  ...family(COLOR.plain, "decode", "verify", "admit"),
  ...family(COLOR.violet, "handle", "reply", "flush"),
  ...family(COLOR.light, "media", "directory", "fabric"),
};

export const OUTCOMES: Styles = {
  ok: { color: COLOR.good },
  error: { color: COLOR.bad },
  shed: { color: COLOR.warn },
  expired: { color: COLOR.violet },
  gone: { color: COLOR.bound },
};

export const RESULTS: Styles = {
  ok: { color: COLOR.good },
  unchanged: { color: COLOR.bound },
  recovered: { color: COLOR.good },
  snapshot: { color: COLOR.warn },
  error: { color: COLOR.bad },
};

const P50: Style = { color: COLOR.light, dash: "dot" };
const P90: Style = { color: COLOR.light };
const P99: Style = { color: COLOR.plain, width: 2 };
const P999: Style = { color: COLOR.violet };
const P9999: Style = { color: COLOR.violet, dash: "dash" };

export const QUANTILES: Styles = { P50, P90, P99, "P99.9": P999 };
/** By the label `q` of the routers' own quantiles. */
export const QUANTILE_LABELS: Styles = { "0.5": P50, "0.9": P90, "0.99": P99, "0.999": P999, "0.9999": P9999 };

/** Codes by whose doing they are, as in src/protocol/codes.rs: what is left is the client's. */
export const CODES: Styles = {
  "/.*/": { color: COLOR.plain },
  "/^(draining|overloaded|router_full)$/": { color: COLOR.warn },
  "/^(internal|deadline_exceeded|no_media_node|not_ready)$/": { color: COLOR.bad },
  "/^(auth_unavailable|media_unavailable|media_overloaded|room_unavailable)$/": { color: COLOR.violet },
};

export const BOUND: Style = { color: COLOR.bound, dash: "dash" };

/** A limit drawn beside what it limits. */
export const LIMITS: Styles = { "/limit|bound|objective/": BOUND };

const lineStyle = (dash: Dash) =>
  ({ solid: { fill: "solid" }, dash: { fill: "dash", dash: [8, 6] }, dot: { fill: "dot", dash: [2, 4] } })[dash];

/** The overrides that draw names so. */
export const overrides = (styles: Styles) =>
  Object.entries(styles).map(([name, style]) => {
    const properties: dashboard.DynamicConfigValue[] = [
      { id: "color", value: { mode: "fixed", fixedColor: style.color } },
      { id: "custom.lineStyle", value: lineStyle(style.dash ?? "solid") },
    ];
    if (style.width !== undefined) properties.push({ id: "custom.lineWidth", value: style.width });
    if (style.fill !== undefined) properties.push({ id: "custom.fillOpacity", value: style.fill });
    const pattern = name.startsWith("/");
    return { matcher: { id: pattern ? "byRegexp" : "byName", options: name }, properties };
  });

/** From which value on it is what. */
export interface Levels {
  readonly warn?: number;
  readonly bad?: number;
  /** Lower is worse: what is under `bad` is bad. */
  readonly falling?: boolean;
}

/** Steps of thresholds, lowest first. */
export const steps = ({ warn, bad, falling = false }: Levels): dashboard.Threshold[] => {
  const marks: [number | undefined, string][] = falling
    ? [
        [bad, COLOR.warn],
        [warn, COLOR.good],
      ]
    : [
        [warn, COLOR.warn],
        [bad, COLOR.bad],
      ];
  const all: dashboard.Threshold[] = [{ value: null, color: falling ? COLOR.bad : COLOR.good }];
  for (const [value, color] of marks) if (value !== undefined) all.push({ value, color });
  return all;
};
