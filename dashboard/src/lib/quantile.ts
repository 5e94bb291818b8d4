/** The current value of a quantile, and whether it rests on enough observations. */

import type { Panel } from "../api/types";
import { latestIndex, maxValue, MIN_SAMPLES, type Value } from "./series";
import { formatSeconds } from "./units";

export interface Reading {
  seconds: number;
  words: string;
  /** The number of observations; null if the service does not report it. */
  n: number | null;
  isWeak: boolean;
}

/** The newest value of a quantile among the last `within` points, or null without traffic. */
export function readQuantile(
  panel: Panel | undefined,
  name: string,
  within: number,
): Reading | null {
  const series = panel?.series.find((candidate) => candidate.name === name);
  const index = latestIndex(series?.values ?? [], within);
  if (!series || index === null) return null;
  const seconds = series.values[index] ?? 0;
  const n = panel?.samples?.[index] ?? null;
  const words = `${isClipped(series.is_clipped, series.values, seconds) ? "> " : ""}${formatSeconds(seconds)}`;
  return { seconds, words, n, isWeak: n !== null && n < MIN_SAMPLES };
}

/** The largest value of a clipped series is only the bound of the last bucket. */
export function isClipped(hasClipped: boolean | undefined, values: Value[], value: number) {
  return hasClipped === true && value === maxValue(values);
}

/** How many points count as "now": ten seconds, but at least three points. */
export function pointsOfNow(stepSeconds: number): number {
  return Math.max(3, Math.ceil(10 / stepSeconds));
}
