/** Keys as data: their scopes, lifetimes and states. */

import type { KeyEntry, Scope } from "../../api/types";
import { formatCount, formatDate, formatDuration, formatSeconds } from "../../lib/units";

export const SCOPES: { name: Scope; words: string }[] = [
  { name: "inference", words: "chat, completions, tokenize" },
  { name: "metrics", words: "charts, requests, alerts, /metrics" },
  { name: "admin", words: "managing keys, cancelling requests" },
];

const DAY = 86_400;

/** The lifetimes to choose from; null means that the key never expires. */
export const LIFETIMES: { value: string; label: string; seconds: number | null }[] = [
  { value: "never", label: "never", seconds: null },
  { value: "1d", label: "in one day", seconds: DAY },
  { value: "7d", label: "in 7 days", seconds: 7 * DAY },
  { value: "30d", label: "in 30 days", seconds: 30 * DAY },
  { value: "90d", label: "in 90 days", seconds: 90 * DAY },
  { value: "365d", label: "in one year", seconds: 365 * DAY },
];

/** When a key with this lifetime expires, in seconds since the epoch. */
export function expiryOf(lifetime: string, now: number): number | null {
  const seconds = LIFETIMES.find(({ value }) => value === lifetime)?.seconds ?? null;
  return seconds === null ? null : Math.round(now + seconds);
}

export type KeyState = "live" | "expiring" | "expired" | "revoked";

export function stateOf(key: KeyEntry, now: number): KeyState {
  if (key.revoked_at !== null) return "revoked";
  if (key.expires_at === null) return "live";
  if (key.expires_at <= now) return "expired";
  return key.expires_at - now < 7 * DAY ? "expiring" : "live";
}

export function expiryWords(key: KeyEntry, now: number): string {
  if (key.revoked_at !== null) return `revoked ${formatDate(key.revoked_at)}`;
  if (key.expires_at === null) return "never expires";
  const left = key.expires_at - now;
  if (left <= 0) return `expired ${formatDate(key.expires_at)}`;
  return left < 30 * DAY
    ? `expires in ${formatDuration(left)}`
    : `expires ${formatDate(key.expires_at)}`;
}

/** What the limit leaves now, and when a spent one frees. */
export function limitWords({ rpm, remaining }: KeyEntry): string {
  if (rpm === 0) return "no limit";
  const left = remaining?.requests ?? rpm;
  const words = `${formatCount(left)} of ${formatCount(rpm)} / min left`;
  if (left > 0 || !remaining) return words;
  return `spent: ${formatCount(rpm)} / min; the next is accepted in ${formatSeconds(Math.ceil(remaining.reset_seconds))}`;
}

/** The requests and tokens of the last seven days, today included. */
export function weekOf({ last_7_days }: KeyEntry["usage"]) {
  const sum = (name: "requests" | "prompt_tokens" | "output_tokens") =>
    last_7_days.reduce((all, day) => all + day[name], 0);
  return {
    requests: sum("requests"),
    promptTokens: sum("prompt_tokens"),
    outputTokens: sum("output_tokens"),
  };
}

/** Since when the total of a key's usage counts. */
export function totalWords({ usage, created_at }: KeyEntry): string {
  const since = created_at === null ? "in all" : `since ${formatDate(created_at)}`;
  return `${formatCount(usage.requests)} requests ${since}`;
}

/** How long the secret from before a rotation stays valid, or null. */
export function oldSecretWords(key: KeyEntry, now: number): string | null {
  const until = key.old_secret_valid_until;
  if (until === null || until <= now) return null;
  return `old secret valid for ${formatDuration(until - now)}`;
}

/** Why the service would refuse this name, or null. The service checks it again. */
export function nameProblem(name: string, taken: string[]): string | null {
  if (!/^[a-z0-9_-]{1,32}$/.test(name)) return "Use 1 to 32 characters from a-z, 0-9, _ and -.";
  if (name === "anonymous" || name === "other") return "This name is reserved for metrics.";
  return taken.includes(name) ? "Another key has this name." : null;
}
