/** Readings of the last minute that the sentence and the tiles share. */

import type { Now } from "../../api/types";
import { formatSeconds } from "../../lib/units";

export type QuantileNow = NonNullable<Now["ttft"]["p95"]>;

/** "in the last minute", or less just after a start. */
export function windowWords({ window_seconds: seconds }: Now): string {
  if (seconds >= 55) return "in the last minute";
  return `in the ${Math.max(1, Math.round(seconds))} s since the start`;
}

/** "300 ms", or "< 5 ms" and "> 5 s" where only a bound is known. */
export function quantileWords({ seconds, bound }: QuantileNow): string {
  return `${bound === "" ? "" : `${bound} `}${formatSeconds(seconds)}`;
}

/** Requests that were refused because a limit was spent, and their share of all. */
export function refusedByLimits({ requests, refused, limits }: Now): {
  count: number;
  share: number;
} {
  // Requests without a valid key are counted by the address limit alone.
  const count = refused.limit + limits.ip;
  const total = requests.total + limits.ip;
  return { count, share: total > 0 ? count / total : 0 };
}
