/** The charts of the engine page. */

import { DASHED, KV_CACHE, panelsOf, QUANTILES, SPEED, type ChartPlan } from "../../lib/chart-plan";

export const WORK: ChartPlan[] = [
  SPEED,
  {
    id: "duty",
    title: "Duty cycle",
    unitWords: "share of time busy",
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
    unitWords: "sequences evicted per second",
    unit: "per-second",
    looks: { preemptions: { color: "series-2", kind: "area" } },
  },
  {
    id: "drafts",
    title: "Draft tokens",
    unitWords: "per second, by outcome",
    unit: "per-second",
    looks: {
      accepted: { color: "series-1", kind: "stack" },
      rejected: { color: "series-2", kind: "stack", dash: DASHED },
    },
    emptyWords: "no draft tokens yet",
    isEmptyAtZero: true,
  },
];

export const LATENCY: ChartPlan[] = [
  {
    id: "ttft_heatmap",
    title: "Time to first token",
    unitWords: "requests, by time",
    unit: "count",
    looks: {},
    isHeatmap: true,
    counted: "first tokens",
  },
  {
    id: "itl_heatmap",
    title: "Inter-token latency",
    unitWords: "gaps, by length",
    unit: "count",
    looks: {},
    isHeatmap: true,
    counted: "gaps",
  },
  {
    id: "event_loop_lag",
    title: "Event-loop lag",
    unitWords: "delay of scheduled callbacks",
    unit: "s",
    looks: QUANTILES,
  },
];

/** Charts of parts that not every service has. */
export const OPTIONAL: ChartPlan[] = [
  {
    id: "gpu_memory",
    title: "GPU memory",
    unitWords: "in use, by all processes",
    unit: "bytes",
    looks: { used: { color: "series-1", kind: "area" } },
  },
  {
    id: "gpu_busy",
    title: "GPU busy",
    unitWords: "share of time busy",
    unit: "ratio",
    looks: { busy: { color: "series-1", kind: "area" } },
  },
  {
    id: "redis",
    title: "Redis",
    unitWords: "1: reachable, 0: unreachable",
    unit: "count",
    looks: { up: { color: "series-3", kind: "area" } },
  },
];

export const PANELS = panelsOf([...WORK, ...LATENCY, ...OPTIONAL]);
