// The first panel of every board: a sentence when there is nothing to see, so that nobody takes an empty board for a quiet
// fleet.

import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import { OBSERVER, RECORDED } from "./metrics";
import { type Panel, describe, instant } from "./panels";
import { fleet, routers } from "./queries";
import { COLOR } from "./theme";
import { DATASOURCE } from "./variables";

const NOBODY = -2;
const NO_RULES = -1;
const ALL_DOWN = 0;

const WORDS = {
  [NOBODY]: {
    text: "No data: no router is scraped with these variables. Try All in each; then look at Status > Targets of this Prometheus",
    color: COLOR.bad,
  },
  [NO_RULES]: {
    text: "Routers are scraped, but nothing is recorded: load the rules in alerts/ into this Prometheus, then wait five minutes",
    color: COLOR.warn,
  },
  [ALL_DOWN]: {
    text: "No data: no router answers its scrape. See the runbook of SignalboxRouterMissing",
    color: COLOR.bad,
  },
};

const answering = `sum(${routers(OBSERVER.up)})`;

export const banner = (): Panel => {
  const about = {
    title: "Is there data?",
    what: "Whether any of the chosen routers answers its scrape, or why this board is empty.",
    good: "Green. How many do not answer is on the board Observers.",
    act: "The sentence says what is missing: targets, answers, or the recording rules.",
  };
  return new stat.PanelBuilder()
    .title(about.title)
    .description(describe(about))
    .datasource(DATASOURCE)
    .span(24)
    .height(2)
    .targets([
      instant(
        {
          expr: [
            `${NOBODY} * absent(${routers(OBSERVER.up)})`,
            `(${answering} == ${ALL_DOWN})`,
            `${NO_RULES} * absent(${fleet(RECORDED.slow5m)})`,
            answering,
          ].join(" or "),
          legend: about.title,
        },
        0,
      ),
    ])
    .unit("none")
    .noValue("This data source did not answer: choose another one, or look at it in Grafana's data sources")
    .mappings([
      { type: dashboard.MappingType.ValueToText, options: WORDS },
      {
        type: dashboard.MappingType.RangeToText,
        options: {
          from: 1,
          to: null,
          result: { text: "Routers answer: what is below is about them", color: COLOR.good },
        },
      },
    ])
    .thresholds(
      new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps([
        { value: null, color: COLOR.bad },
        { value: 1, color: COLOR.good },
      ]),
    )
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]).fields("").values(false))
    .colorMode(common.BigValueColorMode.Background)
    .graphMode(common.BigValueGraphMode.None)
    .textMode(common.BigValueTextMode.Value)
    .text(new common.VizTextDisplayOptionsBuilder().valueSize(18));
};
