/** How panels of the service become charts: their lines, looks and objectives. */

import type { Panel, Series } from "../api/types";
import type { Chart, ChartLine } from "./chart";
import { bucketLines } from "./heatmap";
import { maxValue, type Value } from "./series";
import type { Unit } from "./units";

export type LineLook = Omit<ChartLine, "name" | "values">;

export interface ChartPlan {
  /** The panel that the chart draws. */
  id: string;
  /** Another panel whose series are drawn in the same chart. */
  beside?: string;
  title: string;
  unitWords: string;
  unit: Unit;
  /** The look of each series, by its name. */
  looks: Record<string, LineLook & { as?: string }>;
  /** Leaves out series without values above 0, except the first. */
  isSparse?: boolean;
  /** Draws every series of the panel with a value above 0, whatever its name. */
  isOpen?: boolean;
  /** Shows `emptyWords` if all values are 0. */
  isEmptyAtZero?: boolean;
  /** The series are buckets, named by their upper bounds in seconds. */
  isHeatmap?: boolean;
  /** What a heatmap counts, such as "gaps". */
  counted?: string;
  objective?: number;
  /** The text if nothing was measured; "no traffic" by default. */
  emptyWords?: string;
}

export const DASHED = [6, 3];
export const DOTTED = [2, 3];
export const REFERENCE: LineLook = { color: "reference", kind: "reference", dash: [4, 4] };

export const QUANTILES: ChartPlan["looks"] = {
  p50: { color: "series-1", kind: "line" },
  p95: { color: "series-2", kind: "line", dash: DASHED },
  p99: { color: "series-4", kind: "line", dash: DOTTED },
};

/** Two pages show this chart. */
export const KV_CACHE: ChartPlan = {
  id: "kv_ratio",
  beside: "prefix_hits",
  title: "KV cache and prefix hits",
  unitWords: "ratio",
  unit: "ratio",
  looks: {
    used: { color: "series-3", kind: "area" },
    cached: { color: "series-5", kind: "line", dash: DASHED, as: "prefix hits" },
  },
};

/** Two pages show this chart. */
export const SPEED: ChartPlan = {
  id: "speed",
  title: "Engine speed",
  unitWords: "tokens per busy second",
  unit: "per-second",
  looks: {
    decode: { color: "series-1", kind: "line" },
    prefill: { color: "series-3", kind: "line", dash: DASHED },
  },
};

/** The panels that the plans need. */
export function panelsOf(plans: ChartPlan[]): string[] {
  return plans.flatMap(({ id, beside }) => (beside === undefined ? [id] : [id, beside]));
}

/** The plans whose panel has at least one value. */
export function presentPlans(plans: ChartPlan[], { panels }: Series): ChartPlan[] {
  return plans.filter(({ id }) =>
    panels[id]?.series.some(({ values }) => maxValue(values) !== null),
  );
}

/** A chart for each plan whose panel the service sent. */
export function buildCharts(plans: ChartPlan[], response: Series): Chart[] {
  return plans.flatMap((plan) => {
    const panel = response.panels[plan.id];
    if (!panel) return [];
    const others = response.panels[plan.beside ?? ""]?.series ?? [];
    const joined = { ...panel, series: [...panel.series, ...others] };
    return [buildChart(plan, joined, response.times)];
  });
}

function buildChart(plan: ChartPlan, panel: Panel, times: number[]): Chart {
  const { id, title, unitWords, unit, emptyWords = "no traffic" } = plan;
  const lines = linesOf(plan, panel);
  if (plan.objective) lines.push(objectiveLine(plan.objective, times));
  const samples = panel.samples ? { samples: panel.samples } : {};
  const isMeasured = panel.series.some(({ values }) => maxValue(values) !== null);
  const words = plan.isOpen && isMeasured ? "none" : emptyWords;
  const precision = panel.bounds
    ? { bounds: panel.bounds, exactSince: panel.exact_since ?? null }
    : {};
  const heatmap = plan.isHeatmap ? { isHeatmap: true, counted: plan.counted ?? "" } : {};
  const shown = { id, title, unitWords, unit, times, lines, emptyWords: words };
  return { ...shown, ...samples, ...precision, ...heatmap };
}

function linesOf(plan: ChartPlan, panel: Panel): ChartLine[] {
  if (plan.isHeatmap) return bucketLines(panel);
  if (plan.isEmptyAtZero && !panel.series.some(({ values }) => maxValue(values))) return [];
  return plan.isOpen ? openLines(panel) : namedLines(plan, panel);
}

function namedLines(plan: ChartPlan, panel: Panel): ChartLine[] {
  return Object.entries(plan.looks).flatMap(([name, { as, ...look }], i) => {
    const series = panel.series.find((candidate) => candidate.name === name);
    if (!series || (plan.isSparse && i > 0 && !maxValue(series.values))) return [];
    return [{ ...look, name: as ?? name, values: series.values }];
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
