/** One quantile, now: its value in words, and whether enough was observed to believe it. */

import type { Panel } from "../api/types";
import { latestIndex, maxValue, MIN_SAMPLES, type Value } from "./series";
import { formatSeconds } from "./units";

export interface Reading {
  seconds: number;
  words: string;
  /** Observations behind it; null when the service does not say. */
  n: number | null;
  isWeak: boolean;
}

/** The newest value of a quantile among the last `within` points, or null: no traffic. */
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

/** In a clipped series the largest value is only the last bucket's bound. */
export function isClipped(hasClipped: boolean | undefined, values: Value[], value: number) {
  return hasClipped === true && value === maxValue(values);
}

/** How many points "now" reaches back: ten seconds, and at least three points. */
export function pointsOfNow(stepSeconds: number): number {
  return Math.max(3, Math.ceil(10 / stepSeconds));
}
