/** Compares with an earlier time: a pale line per chart, as long before as was chosen. */

import type { SeriesSource } from "../api/types";
import type { Chart, ChartLine } from "./chart";
import { stackSeries, type Value } from "./series";
import { formatDayAndClock } from "./units";

export const COMPARISONS = ["", "hour", "day", "week"] as const;
export type Comparison = (typeof COMPARISONS)[number];

const OFFSETS = { hour: 3600, day: 86_400, week: 604_800 };

export function offsetOf(comparison: Comparison): number {
  return comparison === "" ? 0 : OFFSETS[comparison];
}

/** Why the source cannot show the earlier time, or null if it can. */
export function whyNotComparable(
  comparison: Comparison,
  end: number,
  source: SeriesSource,
): string | null {
  if (end - offsetOf(comparison) > source.since) return null;
  return `${source.kind === "history" ? "The service itself" : "Prometheus"} has numbers since ${formatDayAndClock(source.since)} only.`;
}

/** `charts` with a line of what `earlier` shows at the same place, `offset` seconds before. */
export function withEarlier(
  charts: Chart[],
  earlier: Chart[],
  offset: number,
  words: string,
): Chart[] {
  return charts.map((chart) => {
    const other = earlier.find(({ id }) => id === chart.id);
    const line = other && !chart.isHeatmap ? mainLine(other) : null;
    if (!other || !line) return chart;
    const values = chart.times.map((time) => valueNear(other.times, line.values, time - offset));
    return {
      ...chart,
      lines: [
        ...chart.lines,
        {
          name: `${line.name} ${words} before`,
          values,
          color: "faint",
          kind: "line",
        },
      ],
    };
  });
}

/** The total of a stack, the p95 of quantiles, else the first line. */
function mainLine({ lines }: Chart): Pick<ChartLine, "name" | "values"> | null {
  const stack = lines.filter(({ kind }) => kind === "stack");
  const total = stackSeries(stack.map(({ values }) => values)).at(-1);
  if (total) return { name: stack.length > 1 ? "total" : (stack[0]?.name ?? ""), values: total };
  const shown = lines.filter(({ kind }) => kind !== "reference");
  return shown.find(({ name }) => name === "p95") ?? shown[0] ?? null;
}

/** The value at the point nearest to `time`, if it is at most one step away. */
function valueNear(times: number[], values: Value[], time: number): Value {
  const step = Math.max(0, (times[1] ?? 0) - (times[0] ?? 0));
  const place = times.findIndex((each) => each >= time - step / 2);
  const found = times[place];
  return found !== undefined && Math.abs(found - time) <= step ? (values[place] ?? null) : null;
}
