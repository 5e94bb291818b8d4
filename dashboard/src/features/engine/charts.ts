/** Which charts the engine page shows. */

import { DASHED, KV_CACHE, panelsOf, QUANTILES, SPEED, type ChartPlan } from "../../lib/chart-plan";

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
    id: "drafts",
    title: "Guessed tokens",
    unitWords: "per second, checked together",
    unit: "per-second",
    looks: {
      accepted: { color: "series-1", kind: "stack" },
      rejected: { color: "series-2", kind: "stack", dash: DASHED },
    },
    emptyWords: "speculation has not drafted yet",
    isEmptyAtZero: true,
  },
];

export const LATENCY: ChartPlan[] = [
  {
    id: "itl_heatmap",
    title: "Inter-token latency",
    unitWords: "gaps between tokens, by length",
    unit: "count",
    looks: {},
    isHeatmap: true,
  },
  {
    id: "event_loop_lag",
    title: "Event-loop lag",
    unitWords: "how late Python gets its turn",
    unit: "s",
    looks: QUANTILES,
  },
];

/** Of what not every service has. */
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
    unitWords: "share of the time that it computes",
    unit: "ratio",
    looks: { busy: { color: "series-1", kind: "area" } },
  },
  {
    id: "redis",
    title: "Redis",
    unitWords: "1 answers, 0 does not",
    unit: "count",
    looks: { up: { color: "series-3", kind: "area" } },
  },
];

export const PANELS = panelsOf([...WORK, ...LATENCY, ...OPTIONAL]);
