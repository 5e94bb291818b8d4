/** Which charts the engine page shows. */

import { DASHED, KV_CACHE, panelsOf, QUANTILES, SPEED, type ChartPlan } from "../../lib/chart-plan";
import { maxValue, valuesOf, type SeriesResponse } from "../../lib/series";

export const WORK: ChartPlan[] = [
  SPEED,
  {
    id: "duty",
    title: "Duty cycle",
    unitWords: "share of the time at work",
    unit: "ratio",
    looks: {
      decode: { color: "series-1", kind: "stack" },
      prefill: { color: "series-3", kind: "stack", dash: DASHED },
    },
  },
  {
    id: "batch_size",
    title: "Batch size",
    unitWords: "sequences per step, mean",
    unit: "count",
    looks: { mean: { color: "series-1", kind: "area" } },
  },
  KV_CACHE,
  {
    id: "preemptions",
    title: "Preemptions",
    unitWords: "per second; blocks taken back",
    unit: "per-second",
    looks: { preemptions: { color: "series-2", kind: "area" } },
  },
  {
    id: "event_loop_lag",
    title: "Event-loop lag",
    unitWords: "how late Python gets its turn",
    unit: "s",
    looks: QUANTILES,
  },
];

export const GAPS: ChartPlan[] = [
  {
    id: "itl_heatmap",
    title: "Inter-token latency",
    unitWords: "gaps between tokens, by length",
    unit: "count",
    looks: {},
    isHeatmap: true,
  },
];

export const REDIS: ChartPlan[] = [
  {
    id: "redis",
    title: "Redis",
    unitWords: "1 answers, 0 does not",
    unit: "count",
    looks: { up: { color: "series-3", kind: "area" } },
  },
];

export const PANELS = panelsOf([...WORK, ...GAPS, ...REDIS]);

/** Whether limits are counted in a Redis at all. */
export function hasRedis(series: SeriesResponse): boolean {
  return maxValue(valuesOf(series.panels.redis, "up")) !== null;
}
