/** The charts of an answer, with a pale line of the time that they are compared with. */

import type { Series } from "../api/types";
import type { Chart } from "./chart";
import { buildCharts, type ChartPlan } from "./chart-plan";
import { offsetOf, withEarlier, type Comparison } from "./compare";

const WORDS: Record<Comparison, string> = { "": "", hour: "1 h", day: "1 day", week: "1 week" };

export function comparedCharts(
  plans: ChartPlan[],
  series: Series,
  earlier: Series | undefined,
  compared: Comparison,
): Chart[] {
  const charts = buildCharts(plans, series);
  if (!earlier || compared === "") return charts;
  return withEarlier(charts, buildCharts(plans, earlier), offsetOf(compared), WORDS[compared]);
}
