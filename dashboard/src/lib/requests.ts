/** One finished request in numbers: how it ended, how fast it was, where its time went. */

import type { RequestRecord } from "../api/types";
import { formatNumber, formatSeconds } from "./units";

export type Timings = Pick<
  RequestRecord,
  "queue_seconds" | "prefill_seconds" | "decode_seconds" | "duration_seconds"
>;

export type OutcomeTone = "ok" | "warn" | "bad";

const FAILED = new Set(["error", "timeout"]);
const REFUSED = new Set(["rejected", "cancelled"]);

export function outcomeTone(outcome: string): OutcomeTone {
  return FAILED.has(outcome) ? "bad" : REFUSED.has(outcome) ? "warn" : "ok";
}

/** Output tokens after the first, per second of decode; null where that says nothing. */
export function decodeSpeed(outputTokens: number, decodeSeconds: number | null): number | null {
  return decodeSeconds && outputTokens > 1 ? (outputTokens - 1) / decodeSeconds : null;
}

export interface Phase {
  name: "queue" | "prefill" | "decode" | "other";
  from: number;
  seconds: number;
}

/** The phases one after the other; what the total holds beyond them is "other". */
export function phasesOf(timings: Timings): Phase[] {
  const known = [
    { name: "queue", seconds: timings.queue_seconds },
    { name: "prefill", seconds: timings.prefill_seconds },
    { name: "decode", seconds: timings.decode_seconds },
  ] as const;
  let from = 0;
  const phases: Phase[] = [];
  for (const { name, seconds } of known) {
    if (seconds === null) continue;
    phases.push({ name, from, seconds });
    from += seconds;
  }
  const rest = (timings.duration_seconds ?? 0) - from;
  if (rest > 0.0005) phases.push({ name: "other", from, seconds: rest });
  return phases;
}

/** The longest of all, in seconds: what the others are drawn to the scale of. */
export function longestOf(requests: Timings[]): number {
  return Math.max(...requests.map((request) => request.duration_seconds ?? 0));
}

/** "rate limit in admission"; empty where nothing went wrong. */
export function errorWords({ error_kind, error_phase }: RequestRecord): string {
  return [error_kind, error_phase].filter(Boolean).join(" in ").replaceAll("_", " ");
}

/** A dash for what was never measured. */
export function secondsOrDash(value: number | null): string {
  return value === null ? "–" : formatSeconds(value);
}

export function numberOrDash(value: number | null): string {
  return value === null ? "–" : formatNumber(value);
}
