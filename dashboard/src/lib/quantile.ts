/** The current value of a quantile, and whether it rests on enough observations. */

import type { Panel } from "../api/types";
import { latestIndex, MIN_SAMPLES } from "./series";
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
  const isExact = (panel?.exact_since ?? null) !== null; // the newest points, if any
  const words = quantileWords(seconds, panel?.bounds, isExact);
  return { seconds, words, n, isWeak: n !== null && n < MIN_SAMPLES };
}

/**
 * Says how exactly a quantile is known: "16.6 ms" if it was observed; "≈ 16.6 ms" if it is interpolated inside a bucket; "< 1 ms" or
 * "> 15:00" in the first or the last bucket, where only the bound is known. `bounds` are the lowest and the largest of the buckets.
 */
export function quantileWords(
  seconds: number,
  bounds: number[] | null | undefined,
  isExact: boolean,
): string {
  const words = formatSeconds(seconds);
  if (isExact || !bounds) return words;
  const [lowest = -Infinity, largest = Infinity] = bounds;
  if (seconds <= lowest) return `< ${words}`;
  return `${seconds >= largest ? ">" : "≈"} ${words}`;
}

/** How many points count as "now": ten seconds, but at least three points. */
export function pointsOfNow(stepSeconds: number): number {
  return Math.max(3, Math.ceil(10 / stepSeconds));
}
