/** The charts of the overview: rate, errors and duration of requests, then resources. */

import {
  DASHED,
  DOTTED,
  KV_CACHE,
  panelsOf,
  QUANTILES,
  REFERENCE,
  SPEED,
  type ChartPlan,
} from "../../lib/chart-plan";

/** Objectives in seconds. Each is an exact bucket bound of its histogram. */
export const TTFT_OBJECTIVE = 2;
const DURATION_OBJECTIVE = 30;
export const INTER_TOKEN_OBJECTIVE = 0.2;

export const TRAFFIC: ChartPlan[] = [
  {
    id: "requests",
    title: "Requests",
    unitWords: "per second, by outcome",
    unit: "per-second",
    isSparse: true,
    looks: {
      stop: { color: "series-1", kind: "stack" },
      length: { color: "series-6", kind: "stack", dash: DASHED },
      cancelled: { color: "series-7", kind: "stack", dash: DOTTED },
      rejected: { color: "series-5", kind: "stack", dash: [8, 2, 2, 2] },
      timeout: { color: "series-4", kind: "stack", dash: [2, 2] },
      error: { color: "series-2", kind: "stack", dash: [10, 3] },
    },
  },
  {
    id: "ttft",
    title: "Time to first token",
    unitWords: "from arrival to first token",
    unit: "s",
    looks: QUANTILES,
    objective: TTFT_OBJECTIVE,
  },
  {
    id: "duration",
    title: "End-to-end latency",
    unitWords: "from arrival to last byte",
    unit: "s",
    looks: QUANTILES,
    objective: DURATION_OBJECTIVE,
  },
  {
    id: "errors",
    title: "Errors",
    unitWords: "per second, by kind",
    unit: "per-second",
    looks: {},
    isOpen: true,
  },
  {
    id: "inter_token",
    title: "Inter-token latency",
    unitWords: "between tokens",
    unit: "s",
    looks: QUANTILES,
    objective: INTER_TOKEN_OBJECTIVE,
  },
  {
    id: "tokens",
    title: "Tokens",
    unitWords: "per second",
    unit: "per-second",
    looks: {
      output: { color: "series-1", kind: "area" },
      "prompt computed": { color: "series-3", kind: "line", dash: DASHED },
      "prompt cached": { color: "series-5", kind: "line", dash: DOTTED },
    },
  },
];

export const RESOURCES: ChartPlan[] = [
  {
    id: "concurrency",
    title: "Running and waiting",
    unitWords: "sequences",
    unit: "count",
    looks: {
      running: { color: "series-1", kind: "area" },
      waiting: { color: "series-2", kind: "line", dash: DASHED },
      slots: REFERENCE,
    },
  },
  {
    id: "cpu",
    title: "CPU",
    unitWords: "cores",
    unit: "cores",
    looks: {
      used: { color: "series-1", kind: "area" },
      throttled: { color: "series-2", kind: "line", dash: DASHED },
      limit: REFERENCE,
    },
  },
  {
    id: "memory",
    title: "Memory",
    unitWords: "total of the process, by part",
    unit: "bytes",
    looks: {
      weights: { color: "series-1", kind: "stack" },
      kv_cache: { color: "series-3", kind: "stack", dash: DASHED, as: "KV cache" },
      compute: { color: "series-6", kind: "stack", dash: [10, 3] },
      other: { color: "series-5", kind: "stack", dash: DOTTED },
      file: { color: "series-7", kind: "stack", dash: [8, 2, 2, 2], as: "mapped files" },
      total: { color: "series-2", kind: "line" },
      limit: REFERENCE,
    },
  },
  KV_CACHE,
  {
    id: "phases",
    title: "Time per phase",
    unitWords: "mean per request",
    unit: "s",
    looks: {
      queue: { color: "series-7", kind: "stack", dash: DOTTED },
      prefill: { color: "series-3", kind: "stack", dash: DASHED },
      decode: { color: "series-1", kind: "stack" },
    },
  },
  SPEED,
];

/** The panels that the charts and the tiles need. */
export const PANELS = panelsOf([...TRAFFIC, ...RESOURCES]);
