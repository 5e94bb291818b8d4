/** The time ranges, and which of them the source can serve. */

import type { SeriesSource } from "../api/types";
import { formatDuration } from "./units";

export const RANGES = ["5m", "15m", "1h", "6h", "24h", "7d"] as const;
export type Range = (typeof RANGES)[number];

const SECONDS: Record<Range, number> = {
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "6h": 21_600,
  "24h": 86_400,
  "7d": 604_800,
};

const WORDS: Record<Range, string> = {
  "5m": "5 minutes",
  "15m": "15 minutes",
  "1h": "hour",
  "6h": "6 hours",
  "24h": "24 hours",
  "7d": "7 days",
};

/** The range that is shown, such as "the last 5 minutes"; shorter if less is kept. */
export function rangeWords(range: Range, source?: SeriesSource): string {
  const kept = source?.max_range_seconds ?? Infinity;
  const served = RANGES.findLast((each) => SECONDS[each] <= Math.min(SECONDS[range], kept));
  return WORDS[served ?? range];
}

/** Wide ranges change slowly on the screen, so they are polled less often. */
export function refreshMilliseconds(range: Range): number {
  return SECONDS[range] > 900 ? 5000 : 2000;
}

/** Why this range cannot be shown, or null if it can. */
export function whyUnavailable(range: Range, source: SeriesSource | undefined): string | null {
  if (!source || SECONDS[range] <= source.max_range_seconds) return null;
  const kept = formatDuration(source.max_range_seconds);
  return source.kind === "history"
    ? `The service itself keeps only the last ${kept}.`
    : `Prometheus keeps only the last ${kept}.`;
}

export function rangeSeconds(range: Range): number {
  return SECONDS[range];
}
