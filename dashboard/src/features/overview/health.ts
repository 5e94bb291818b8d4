/**
 * The state of the service in one sentence, made of its last minute.
 *
 * Each check below finds one thing that is worth a sentence. The first that finds something gives
 * the headline; what the others find is added in smaller letters.
 */

import type { Alert, Now } from "../../api/types";
import { MIN_SAMPLES } from "../../lib/series";
import {
  formatAgo,
  formatBytes,
  formatCount,
  formatDuration,
  formatNumber,
  formatPercent,
  formatSeconds,
} from "../../lib/units";
import { TTFT_OBJECTIVE } from "./charts";
import { quantileWords, refusedByLimits, windowWords } from "./minute";

export type HealthTone = "ok" | "idle" | "info" | "warn" | "bad";

export type HealthState =
  | "unknown"
  | "connecting"
  | "loading"
  | "not-ready"
  | "draining"
  | "drained"
  | "crashed"
  | "stalled"
  | "queue-full"
  | "failing"
  | "memory"
  | "limited"
  | "slow"
  | "redis-away"
  | "alert"
  | "crashed-since"
  | "restarted"
  | "few"
  | "idle"
  | "healthy";

export interface Health {
  state: HealthState;
  tone: HealthTone;
  sentence: string;
  /** What else is worth knowing, as sentences. */
  also: string[];
}

type Finding = Omit<Health, "also">;
type Check = (now: Now, firing: Alert[]) => Finding | null;

/** Shown while the service does not answer. */
export const UNKNOWN: Health = {
  state: "unknown",
  tone: "bad",
  sentence: "Unknown: these are the last known numbers.",
  also: [],
};

/** Shown before the first answer. */
export const CONNECTING: Health = {
  state: "connecting",
  tone: "info",
  sentence: "Connecting to the service…",
  also: [],
};

/** For a key that may not read metrics. */
export function notReady(reason: string): Health {
  const sentence = `Not ready: ${reason.replace(/\.$/, "") || "starting"}.`;
  return { state: "not-ready", tone: "warn", sentence, also: [] };
}

/** With a larger share of requests beyond a limit, refusals are the headline. */
const MUCH_REFUSED = 0.05;
const FAILING_SHARE = 0.01;
/** So many failures are a verdict even among few requests. */
const MANY_FAILURES = 5;
export const MEMORY_BAD = 0.9;
const STALLED_SECONDS = 15;
const LONG_WAIT_SECONDS = 10;
/** How long after a start the headline speaks of it. */
const START_SECONDS = 300;
const CRASH_SECONDS = 3600;

export function judge(now: Now, firing: Alert[] = []): Health {
  const [first, ...others] = CHECKS.flatMap((check) => check(now, firing) ?? []);
  const traffic = judgeTraffic(now);
  if (!first) return { ...traffic, also: [] };
  const rest = traffic.state === "healthy" ? [`${capital(trafficWords(now))}.`] : [];
  const also = [...others.map(({ sentence }) => sentence), ...rest];
  return { ...first, also };
}

const CHECKS: Check[] = [
  checkReadiness,
  checkCrash,
  checkStall,
  checkQueue,
  checkFailures,
  checkMemory,
  (_, firing) => checkAlerts(firing, true),
  checkLimits,
  checkLatency,
  checkRedis,
  (_, firing) => checkAlerts(firing, false),
  checkEarlierCrash,
  checkRestart,
];

function checkReadiness({ state, reason, refused, engine }: Now): Finding | null {
  const why = reason.replace(/\.$/, "");
  switch (state) {
    case "ready":
      return null;
    case "loading": {
      const turned = refused.loading > 0 ? `; ${numRefused(refused.loading)} meanwhile` : "";
      return { state: "loading", tone: "info", sentence: `Loading: ${small(why)}${turned}.` };
    }
    case "draining": {
      const left = `${formatCount(engine.running + engine.waiting)} still to finish`;
      const sentence = `Draining: the service is stopping, ${left}; new requests are refused.`;
      return { state: "draining", tone: "info", sentence };
    }
    case "drained": {
      const sentence = "Drained: nothing runs any more; new requests are refused.";
      return { state: "drained", tone: "info", sentence };
    }
    case "load_failed":
    case "not_ready":
      return { state: "not-ready", tone: "bad", sentence: `Not ready: ${small(why)}.` };
  }
}

function checkCrash({ now, runs }: Now): Finding | null {
  const { previous, started_at: startedAt } = runs;
  if (!previous || previous.reason === "stopped" || now - startedAt > START_SECONDS) return null;
  const since = formatAgo(now - startedAt);
  const sentence = `Crashed and restarted ${since}: ${endWords(previous)}${cutWords(previous)}.`;
  return { state: "crashed", tone: "bad", sentence };
}

function checkEarlierCrash({ now, runs }: Now): Finding | null {
  const crashes = runs.crashes.filter((crash) => now - crash.ended_at < CRASH_SECONDS);
  const [last] = crashes;
  // A crash just before this start is the headline already.
  if (!last || now - runs.started_at <= START_SECONDS) return null;
  const count = crashes.length > 1 ? `${crashes.length} crashes in the last hour, the last ` : "";
  const when = `${count === "" ? "Crashed " : count}${formatAgo(now - last.ended_at)}`;
  const sentence = `${when}: ${endWords(last)}${cutWords(last)}.`;
  return { state: "crashed-since", tone: "warn", sentence };
}

function checkRestart({ now, runs }: Now): Finding | null {
  const { previous, started_at: startedAt } = runs;
  if (previous?.reason !== "stopped" || now - startedAt > START_SECONDS) return null;
  const sentence = `Restarted ${formatAgo(now - startedAt)}: ${endWords(previous)}${cutWords(previous)}.`;
  return { state: "restarted", tone: "info", sentence };
}

type EndedRun = Now["runs"]["crashes"][number];

function endWords({ reason, detail }: EndedRun): string {
  switch (reason) {
    case "stopped":
      return `it was stopped (${detail})`;
    case "killed":
      return "the process was killed, for no reason that is known";
    case "crashed":
      return `the process crashed (${detail})`;
    case "out_of_memory":
      return "the kernel ended a process for lack of memory, probably this one";
    case "machine_restarted":
      return "the machine restarted or lost its power";
  }
}

function cutWords({ num_cut: count }: EndedRun): string {
  if (count === 0) return "";
  return `; ${count === 1 ? "1 open request was" : `${formatCount(count)} open requests were`} cut off`;
}

function checkStall({ engine }: Now): Finding | null {
  if (engine.stalled_seconds < STALLED_SECONDS) return null;
  const work = `${formatCount(engine.running)} running and ${formatCount(engine.waiting)} waiting`;
  const time = formatDuration(engine.stalled_seconds);
  const sentence = `Stalled: ${work}, but not one token for ${time}.`;
  return { state: "stalled", tone: "bad", sentence };
}

function checkQueue(now: Now): Finding | null {
  const { queue_full: full, unavailable } = now.refused;
  if (full > 0) {
    const share = `${formatCount(full)} of ${requestCount(now)} refused ${windowWords(now)}`;
    const sentence = `Refusing: the queue is full; ${share}.`;
    return { state: "queue-full", tone: "bad", sentence };
  }
  // A service that is stopping or not ready says so already.
  if (unavailable === 0 || now.state !== "ready") return null;
  const share = `${formatCount(unavailable)} of ${requestCount(now)} refused ${windowWords(now)}`;
  const sentence = `Refusing: the engine was not ready; ${share}.`;
  return { state: "not-ready", tone: "bad", sentence };
}

function checkFailures(now: Now): Finding | null {
  const { by_outcome: outcomes, counted } = now.requests;
  const failed = (outcomes.error ?? 0) + (outcomes.timeout ?? 0);
  const share = counted > 0 ? failed / counted : 0;
  const isMuch = counted >= MIN_SAMPLES ? share >= FAILING_SHARE : failed >= MANY_FAILURES;
  if (!isMuch) return null;
  const numbers = `${formatCount(failed)} of ${formatCount(counted)}`;
  const sentence = `Failing: ${formatPercent(share)} of requests failed ${windowWords(now)} (${numbers}).`;
  return { state: "failing", tone: "bad", sentence };
}

function checkMemory({ memory }: Now): Finding | null {
  const share = memory.limit_bytes > 0 ? memory.held_bytes / memory.limit_bytes : 0;
  if (share <= MEMORY_BAD) return null;
  const held = `${formatBytes(memory.held_bytes)} of ${formatBytes(memory.limit_bytes)}`;
  const total = `${formatBytes(memory.total_bytes)} in total`;
  const sentence = `Memory near its limit: ${held} are taken and cannot be freed (${formatPercent(share)}); ${total}.`;
  return { state: "memory", tone: "bad", sentence };
}

/** Alerts that call for someone now, or the others. */
function checkAlerts(firing: Alert[], areUrgent: boolean): Finding | null {
  const isUrgent = firing.some((alert) => alert.severity === "page");
  if (firing.length === 0 || isUrgent !== areUrgent) return null;
  const names = firing.map((alert) => alert.name).join(", ");
  const count = firing.length === 1 ? "One alert is firing" : `${firing.length} alerts are firing`;
  return { state: "alert", tone: isUrgent ? "bad" : "warn", sentence: `${count}: ${names}.` };
}

const LIMIT_WORDS = [
  ["requests", "requests per minute of a key"],
  ["concurrency", "choices at once of a key"],
  ["refused", "invalid requests of a key"],
  ["ip", "addresses without a valid key"],
] as const;

function checkLimits(now: Now): Finding | null {
  const { count, share } = refusedByLimits(now);
  if (count === 0 || share < MUCH_REFUSED) return null;
  const limits = LIMIT_WORDS.filter(([name]) => now.limits[name] > 0).map(([, words]) => words);
  const which = limits.length > 0 ? ` (${limits.join(", ")})` : "";
  const total = formatCount(now.requests.total + now.limits.ip);
  const sentence = `Refusing: ${formatCount(count)} of ${total} requests were over a limit ${windowWords(now)}${which}.`;
  return { state: "limited", tone: "warn", sentence };
}

function checkLatency(now: Now): Finding | null {
  const { ttft } = now;
  const { p95, longest_wait_seconds: wait } = ttft;
  if (p95 && ttft.count >= MIN_SAMPLES && p95.seconds > TTFT_OBJECTIVE) {
    const over = `above the objective of ${formatSeconds(TTFT_OBJECTIVE)}`;
    const sentence = `Slow: TTFT p95 was ${quantileWords(p95)} ${windowWords(now)}, ${over}${causeWords(now)}.`;
    return { state: "slow", tone: "warn", sentence };
  }
  if (wait === null || wait < LONG_WAIT_SECONDS) return null;
  const sentence = `Slow: a request has waited ${formatDuration(wait)} for its first token.`;
  return { state: "slow", tone: "warn", sentence };
}

function causeWords({ ttft }: Now): string {
  const queue = ttft.mean_queue_seconds ?? 0;
  const prefill = ttft.mean_prefill_seconds ?? 0;
  if (queue + prefill === 0) return "";
  return prefill > queue
    ? `; prompts take ${formatSeconds(prefill)} to read on average`
    : `; requests wait ${formatSeconds(queue)} in the queue on average`;
}

function checkRedis({ limits }: Now): Finding | null {
  const { redis_away_seconds: away } = limits;
  if (away === null) return null;
  const time = ` for ${formatDuration(Math.max(1, away))}`;
  const sentence = `Redis has been away${time}: each process counts limits for itself.`;
  return { state: "redis-away", tone: "warn", sentence };
}

/** The headline if there is nothing else to say. */
function judgeTraffic(now: Now): Finding {
  const { total, by_outcome: outcomes } = now.requests;
  if (total === 0) {
    const sentence = `Ready. No traffic ${windowWords(now)}.`;
    return { state: "idle", tone: "idle", sentence };
  }
  const failed = (outcomes.error ?? 0) + (outcomes.timeout ?? 0);
  if (total < MIN_SAMPLES) {
    const bad = failed > 0 ? `, ${formatCount(failed)} failed` : "";
    const refused = refusedByLimits(now).count;
    const turned = refused > 0 ? `, ${formatCount(refused)} refused` : "";
    const sentence = `${total === 1 ? "1 request" : `${total} requests`} ${windowWords(now)}${bad}${turned}: no verdict on so few.`;
    return { state: "few", tone: failed > 0 ? "warn" : "idle", sentence };
  }
  return { state: "healthy", tone: "ok", sentence: `Healthy: ${trafficWords(now)}.` };
}

function trafficWords(now: Now): string {
  const { per_second: rate, failed, counted } = now.requests;
  const errors = failed > 0 ? `${formatPercent(failed / counted)} errors` : "no errors";
  const { count } = refusedByLimits(now);
  const refused = count > 0 ? `, ${formatCount(count)} over a limit` : "";
  const { p95, count: n } = now.ttft;
  const speed = p95 && n >= MIN_SAMPLES ? `; TTFT p95 ${quantileWords(p95)}` : "";
  return `${formatNumber(rate)} requests/s, ${errors}${refused} ${windowWords(now)}${speed}`;
}

function requestCount({ requests }: Now): string {
  return `${formatCount(requests.total)} requests were`;
}

function numRefused(count: number): string {
  return `${count === 1 ? "1 request was" : `${formatCount(count)} requests were`} refused`;
}

/** With a small first letter, unless the word is a name in capitals. */
function small(words: string): string {
  return /^[A-Z][a-z]/.test(words) ? words.charAt(0).toLowerCase() + words.slice(1) : words;
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
