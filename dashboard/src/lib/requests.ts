/** Outcome, speed and phases of a finished request. */

import type { RequestRecord } from "../api/types";
import { formatNumber, formatSeconds } from "./units";

export type Timings = Pick<
  RequestRecord,
  | "queue_seconds"
  | "prefill_seconds"
  | "decode_seconds"
  | "duration_seconds"
  | "outcome"
  | "error_phase"
>;

export type OutcomeTone = "ok" | "warn" | "bad";

const FAILED = new Set(["error", "timeout"]);
const REFUSED = new Set(["rejected", "cancelled"]);

export function outcomeTone(outcome: string): OutcomeTone {
  return FAILED.has(outcome) ? "bad" : REFUSED.has(outcome) ? "warn" : "ok";
}

/** Output tokens after the first per second of decode, or null with fewer than two tokens. */
export function decodeSpeed(outputTokens: number, decodeSeconds: number | null): number | null {
  return decodeSeconds && outputTokens > 1 ? (outputTokens - 1) / decodeSeconds : null;
}

/** Tells finished requests apart: callers choose ids, and may choose one twice. */
export function rowId({ request_id, started_at }: RequestRecord): string {
  return `${request_id} ${started_at}`;
}

export interface Phase {
  name: "queue" | "prefill" | "decode" | "other";
  from: number;
  seconds: number;
}

const CUT = new Set(["cancelled", "timeout", "error"]);

/**
 * The phases one after the other. The rest of the total is the phase "other"; that of a request
 * that was cut off before its first token is the phase it was in.
 */
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
  if (rest > 0.0005) phases.push({ name: restName(timings), from, seconds: rest });
  return phases;
}

function restName(timings: Timings): Phase["name"] {
  const { outcome, error_phase, queue_seconds, prefill_seconds } = timings;
  if (!CUT.has(outcome) || error_phase === "admission" || prefill_seconds !== null) return "other";
  return queue_seconds === null ? "queue" : "prefill";
}

/** The longest duration in seconds, which sets the scale of all bars. */
export function longestOf(requests: Timings[]): number {
  return Math.max(...requests.map((request) => request.duration_seconds ?? 0));
}

/** For example "rate limit in admission"; empty without an error. */
export function errorWords({ error_kind, error_phase }: RequestRecord): string {
  return [error_kind, error_phase].filter(Boolean).join(" in ").replaceAll("_", " ");
}

/** The formatted value, or a dash if it was not measured. */
export function secondsOrDash(value: number | null): string {
  return value === null ? "–" : formatSeconds(value);
}

export function numberOrDash(value: number | null): string {
  return value === null ? "–" : formatNumber(value);
}
