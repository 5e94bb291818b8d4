/** Which charts the engine page shows. */

import { DASHED, QUANTILES, type ChartPlan } from "../../lib/chart-plan";
import { maxValue, valuesOf, type Panel, type SeriesResponse } from "../../lib/series";

const PHASES: ChartPlan["looks"] = {
  decode: { color: "series-1", kind: "line" },
  prefill: { color: "series-3", kind: "line", dash: DASHED },
};

export const WORK: ChartPlan[] = [
  {
    id: "speed",
    panel: "speed",
    title: "Speed",
    unitWords: "tokens per busy second",
    unit: "per-second",
    looks: PHASES,
  },
  {
    id: "duty",
    panel: "duty",
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
    panel: "batch_size",
    title: "Batch size",
    unitWords: "sequences per step, mean",
    unit: "count",
    looks: { mean: { color: "series-1", kind: "area" } },
  },
  {
    id: "kv_ratio",
    panel: "kv_ratio",
    title: "KV cache, prefix hits",
    unitWords: "shares",
    unit: "ratio",
    looks: {
      used: { color: "series-3", kind: "area" },
      "prefix hits": { color: "series-5", kind: "line", dash: DASHED },
    },
    derive: cacheShares,
  },
  {
    id: "preemptions",
    panel: "preemptions",
    title: "Preemptions",
    unitWords: "per second; blocks taken back",
    unit: "per-second",
    looks: { preemptions: { color: "series-2", kind: "area" } },
  },
  {
    id: "event_loop_lag",
    panel: "event_loop_lag",
    title: "Event-loop lag",
    unitWords: "how late Python gets its turn",
    unit: "s",
    looks: QUANTILES,
  },
];

export const GAPS: ChartPlan[] = [
  {
    id: "itl_heatmap",
    panel: "itl_heatmap",
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
    panel: "redis",
    title: "Redis",
    unitWords: "1 answers, 0 does not",
    unit: "count",
    looks: { up: { color: "series-3", kind: "area" } },
  },
];

export const PANELS = [...[...WORK, ...GAPS, ...REDIS].map((plan) => plan.panel), "prefix_hits"];

/** Whether limits are counted in a Redis at all. */
export function hasRedis(series: SeriesResponse): boolean {
  return maxValue(valuesOf(series.panels.redis, "up")) !== null;
}

function cacheShares(panels: Record<string, Panel>): Panel["series"] {
  return [
    { name: "used", labels: {}, values: valuesOf(panels.kv_ratio, "used") },
    { name: "prefix hits", labels: {}, values: valuesOf(panels.prefix_hits, "cached") },
  ];
}
