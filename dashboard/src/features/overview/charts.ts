/** Which charts the overview shows, and how each panel's series are drawn. */

import type { Chart, ChartLine } from "../../lib/chart";
import {
  divideSeries,
  maxValue,
  valuesOf,
  type Panel,
  type SeriesResponse,
  type Value,
} from "../../lib/series";
import type { Unit } from "../../lib/units";

/** Objectives in seconds; each is an exact bucket bound of its histogram. */
export const TTFT_OBJECTIVE = 2;
const DURATION_OBJECTIVE = 30;
export const INTER_TOKEN_OBJECTIVE = 0.2;

type LineLook = Omit<ChartLine, "name" | "values">;

interface ChartPlan {
  id: string;
  panel: string;
  title: string;
  unitWords: string;
  unit: Unit;
  /** How a series of the panel is drawn, by its name. */
  looks: Record<string, LineLook & { as?: string }>;
  /** Leave out what never happened in the range, save the first series. */
  isSparse?: boolean;
  /** Draw all series of the panel that ever happened (kinds of error are open-ended). */
  isOpen?: boolean;
  objective?: number;
}

const DASHED = [6, 3];
const DOTTED = [2, 3];
const REFERENCE: LineLook = { color: "reference", kind: "reference", dash: [4, 4] };

const QUANTILES: ChartPlan["looks"] = {
  p50: { color: "series-1", kind: "line" },
  p95: { color: "series-2", kind: "line", dash: DASHED },
  p99: { color: "series-4", kind: "line", dash: DOTTED },
};

const PLANS: ChartPlan[] = [
  {
    id: "requests",
    panel: "requests",
    title: "Requests",
    unitWords: "per second, by outcome",
    unit: "per-second",
    isSparse: true,
    looks: {
      stop: { color: "series-1", kind: "stack" },
      tool_calls: { color: "series-3", kind: "stack", dash: [4, 2], as: "tool calls" },
      length: { color: "series-6", kind: "stack", dash: DASHED },
      cancelled: { color: "series-7", kind: "stack", dash: DOTTED },
      rejected: { color: "series-5", kind: "stack", dash: [8, 2, 2, 2] },
      timeout: { color: "series-4", kind: "stack", dash: [2, 2] },
      error: { color: "series-2", kind: "stack", dash: [10, 3] },
    },
  },
  {
    id: "ttft",
    panel: "ttft",
    title: "Time to first token",
    unitWords: "from arrival",
    unit: "s",
    looks: QUANTILES,
    objective: TTFT_OBJECTIVE,
  },
  {
    id: "inter_token",
    panel: "inter_token",
    title: "Inter-token latency",
    unitWords: "between tokens",
    unit: "s",
    looks: QUANTILES,
    objective: INTER_TOKEN_OBJECTIVE,
  },
  {
    id: "duration",
    panel: "duration",
    title: "End to end",
    unitWords: "arrival to last byte",
    unit: "s",
    looks: QUANTILES,
    objective: DURATION_OBJECTIVE,
  },
  {
    id: "tokens",
    panel: "tokens",
    title: "Tokens",
    unitWords: "per second",
    unit: "per-second",
    looks: {
      output: { color: "series-1", kind: "area" },
      "prompt computed": { color: "series-3", kind: "line", dash: DASHED },
      "prompt cached": { color: "series-5", kind: "line", dash: DOTTED },
    },
  },
  {
    id: "concurrency",
    panel: "concurrency",
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
    id: "memory",
    panel: "memory",
    title: "Memory",
    unitWords: "of the process",
    unit: "bytes",
    looks: {
      weights: { color: "series-1", kind: "stack" },
      kv_cache: { color: "series-3", kind: "stack", dash: DASHED, as: "KV cache" },
      other: { color: "series-5", kind: "stack", dash: DOTTED },
      file: { color: "series-7", kind: "line", dash: [8, 2, 2, 2], as: "file cache" },
      limit: REFERENCE,
    },
  },
  {
    id: "kv_cache",
    panel: "kv_cache",
    title: "KV cache used",
    unitWords: "of its capacity",
    unit: "ratio",
    looks: { used: { color: "series-3", kind: "area" } },
  },
  {
    id: "cpu",
    panel: "cpu",
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
    id: "phases",
    panel: "phases",
    title: "Where the time goes",
    unitWords: "mean per request",
    unit: "s",
    looks: {
      queue: { color: "series-7", kind: "stack", dash: DOTTED },
      prefill: { color: "series-3", kind: "stack", dash: DASHED },
      decode: { color: "series-1", kind: "stack" },
    },
  },
  {
    id: "speed",
    panel: "speed",
    title: "Engine speed",
    unitWords: "tokens per busy second",
    unit: "per-second",
    looks: {
      decode: { color: "series-1", kind: "line" },
      prefill: { color: "series-3", kind: "line", dash: DASHED },
    },
  },
  {
    id: "errors",
    panel: "errors",
    title: "Errors",
    unitWords: "per second, by kind",
    unit: "per-second",
    looks: {},
    isOpen: true,
  },
];

/** What the charts and the tiles need of /api/series. */
export const PANELS = PLANS.map((plan) => plan.panel);

export function buildCharts(response: SeriesResponse): Chart[] {
  return PLANS.flatMap((plan) => {
    const panel = response.panels[plan.panel];
    return panel ? [buildChart(plan, derivePanel(plan, panel), response.times)] : [];
  });
}

function buildChart(plan: ChartPlan, panel: Panel, times: number[]): Chart {
  const { id, title, unitWords, unit } = plan;
  const lines = plan.isOpen ? openLines(panel) : namedLines(plan, panel);
  if (plan.objective) lines.push(objectiveLine(plan.objective, times));
  const samples = panel.samples ? { samples: panel.samples } : {};
  const isMeasured = panel.series.some(({ values }) => maxValue(values) !== null);
  const emptyWords = plan.isOpen && isMeasured ? "none" : "no traffic";
  return { id, title, unitWords, unit, times, lines, emptyWords, ...samples };
}

function namedLines(plan: ChartPlan, panel: Panel): ChartLine[] {
  return Object.entries(plan.looks).flatMap(([name, { as, ...look }], i) => {
    const series = panel.series.find((candidate) => candidate.name === name);
    if (!series || (plan.isSparse && i > 0 && !maxValue(series.values))) return [];
    const isClipped = series.is_clipped === true;
    return [{ ...look, name: as ?? name, values: series.values, isClipped }];
  });
}

const OPEN_COLORS = ["series-2", "series-4", "series-5", "series-6", "series-7", "series-3"];
const OPEN_DASHES = [[], DASHED, DOTTED, [8, 2, 2, 2], [10, 3], [2, 2]];

function openLines(panel: Panel): ChartLine[] {
  return panel.series
    .filter((series) => maxValue(series.values))
    .map(({ name, values }, i) => ({
      name: name.replaceAll("_", " "),
      values,
      kind: "stack",
      color: OPEN_COLORS[i % OPEN_COLORS.length] ?? "series-1",
      dash: OPEN_DASHES[i % OPEN_DASHES.length] ?? [],
    }));
}

function objectiveLine(objective: number, times: number[]): ChartLine {
  return { ...REFERENCE, name: "objective", values: times.map((): Value => objective) };
}

/** The KV cache is drawn as a share of its capacity; the division is the reader's job. */
function derivePanel(plan: ChartPlan, panel: Panel): Panel {
  if (plan.id !== "kv_cache") return panel;
  const values = divideSeries(valuesOf(panel, "used"), valuesOf(panel, "capacity"));
  return { ...panel, series: [{ name: "used", labels: {}, values }] };
}
