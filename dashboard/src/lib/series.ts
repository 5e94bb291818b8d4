/**
 * Arithmetic on the time series of the service, for charts and tiles.
 *
 * null means "no samples here". It stays null through every function: it never becomes 0.
 */

import type { Panel, Series } from "../api/types";

export type Value = number | null;

/** A quantile of fewer observations than this is shown in grey, with n. */
export const MIN_SAMPLES = 20;

export function valuesOf(panel: Panel | undefined, name: string): Value[] {
  return panel?.series.find((series) => series.name === name)?.values ?? [];
}

/** The sum of all series at each point; null only where every series is null. */
export function sumSeries(all: Value[][]): Value[] {
  const length = Math.max(0, ...all.map((values) => values.length));
  return Array.from({ length }, (_, i) =>
    all.reduce<Value>((sum, values) => {
      const value = values[i] ?? null;
      return value === null ? sum : (sum ?? 0) + value;
    }, null),
  );
}

/** a / b at each point; null where either is unknown or b is 0. */
export function divideSeries(a: Value[], b: Value[]): Value[] {
  return a.map((value, i) => {
    const divisor = b[i] ?? null;
    return value === null || divisor === null || divisor === 0 ? null : value / divisor;
  });
}

/** Index of the newest point with a value among the last `within` points, or null. */
export function latestIndex(values: Value[], within = values.length): number | null {
  for (let i = values.length - 1; i >= Math.max(0, values.length - within); i--) {
    if ((values[i] ?? null) !== null) return i;
  }
  return null;
}

export function latestValue(values: Value[], within = values.length): Value {
  const index = latestIndex(values, within);
  return index === null ? null : (values[index] ?? null);
}

export function maxValue(values: Value[]): Value {
  return values.reduce<Value>((max, v) => (v === null ? max : Math.max(max ?? v, v)), null);
}

export function meanValue(values: Value[]): Value {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
}

/** Running totals over the series, for a stacked chart. Gaps stay gaps. */
export function stackSeries(all: Value[][]): Value[][] {
  return all.map((_, last) => sumSeries(all.slice(0, last + 1)));
}

/**
 * Keeps the points from before a restart of the service, whose own history then starts again:
 * points of `previous` older than `next.source.since` are put in front, after them a gap.
 */
export function joinAfterRestart(previous: Series | undefined, next: Series): Series {
  if (previous?.step_seconds !== next.step_seconds) return next;
  const gap = next.source.since - 0.001;
  const isKept = previous.times.map((t) => t >= next.start && t < gap);
  const isNew = next.times.map((t) => t > gap);
  if (!isKept.includes(true)) return next;
  const join = <T>(old: T[], fresh: T[], between: T): T[] => [
    ...old.filter((_, i) => isKept[i]),
    between,
    ...fresh.filter((_, i) => isNew[i]),
  ];
  const joinPanel = (name: string, panel: Panel): Panel => {
    const old = previous.panels[name];
    const empty = previous.times.map(() => null);
    return {
      ...panel,
      // Old points are as exact as they were.
      ...(panel.exact_since ? { exact_since: old?.exact_since ?? gap } : {}),
      ...(panel.samples ? { samples: join(old?.samples ?? [], panel.samples, 0) } : {}),
      series: panel.series.map((series) => {
        const before = old?.series.find((other) => other.name === series.name)?.values ?? empty;
        return { ...series, values: join<Value>(before, series.values, null) };
      }),
    };
  };
  return {
    ...next,
    times: join(previous.times, next.times, gap),
    panels: Object.fromEntries(
      Object.entries(next.panels).map(([name, panel]) => [name, joinPanel(name, panel)]),
    ),
  };
}
