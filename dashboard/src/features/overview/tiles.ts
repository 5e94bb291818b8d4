/**
 * The eight numbers at the top of the overview, each with a verdict.
 *
 * They are of the last minute, or of this moment, whatever range the charts show. Only the small
 * lines below them are of the range.
 */

import type { Now, Series } from "../../api/types";
import { divideSeries, MIN_SAMPLES, sumSeries, valuesOf, type Value } from "../../lib/series";
import {
  formatBytes,
  formatCount,
  formatNumber,
  formatPercent,
  formatSeconds,
} from "../../lib/units";
import { INTER_TOKEN_OBJECTIVE, TTFT_OBJECTIVE } from "./charts";
import { MEMORY_BAD } from "./health";
import { quantileWords, refusedByLimits } from "./minute";

export type Tone = "plain" | "warn" | "bad";

export interface Tile {
  label: string;
  /** null if nothing was measured; shown as `emptyWords`. */
  value: string | null;
  emptyWords?: string;
  detail: string;
  tone: Tone;
  /** True if it rests on too few samples; shown in grey. */
  isWeak: boolean;
  values: Value[];
}

export function buildTiles(now: Now, series: Series | undefined): Tile[] {
  return [
    requestsTile(now, series),
    errorTile(now, series),
    ttftTile(now, series),
    interTokenTile(now, series),
    tokensTile(now, series),
    runningTile(now, series),
    waitingTile(now, series),
    memoryTile(now, series),
  ];
}

const PLAIN = { tone: "plain", isWeak: false } as const;
const MUCH_REFUSED = 0.05;

function requestsTile(now: Now, series: Series | undefined): Tile {
  const { count, share } = refusedByLimits(now);
  const full = now.refused.queue_full + now.refused.unavailable;
  const { loading } = now.refused;
  const refused = (count + full + loading) / now.window_seconds;
  const rate = (now.requests.total + now.limits.ip) / now.window_seconds;
  const values = sumSeries((series?.panels.requests?.series ?? []).map((line) => line.values));
  return {
    ...PLAIN,
    label: "Requests",
    value: `${formatNumber(rate)}/s`,
    detail: refused > 0 ? `${formatNumber(refused)}/s refused` : "in the last minute",
    tone: full > 0 ? "bad" : loading > 0 || share >= MUCH_REFUSED ? "warn" : "plain",
    values,
  };
}

/** "no traffic" only if nothing was asked: requests may still run, or all be refused. */
function emptyWords({ requests, engine }: Now, otherwise: string): string {
  return requests.total + engine.running + engine.waiting > 0 ? otherwise : "no traffic";
}

function errorTile(now: Now, series: Series | undefined): Tile {
  const { failed, counted } = now.requests;
  const share = counted > 0 ? failed / counted : null;
  const isWeak = counted < MIN_SAMPLES;
  const isBad = share !== null && share >= 0.01 && !isWeak;
  return {
    label: "Errors",
    value: share === null ? null : formatPercent(share),
    emptyWords: emptyWords(now, "no answer yet"),
    detail:
      share === null
        ? "in the last minute"
        : `${formatCount(failed)} of ${formatCount(counted)} failed`,
    tone: isBad ? "bad" : share !== null && share >= 0.001 ? "warn" : "plain",
    isWeak,
    values: errorShares(series),
  };
}

/** The share of failed requests at each point; refused and cancelled requests do not count. */
function errorShares(series: Series | undefined): Value[] {
  const panel = series?.panels.requests;
  const total = sumSeries((panel?.series ?? []).map((line) => line.values));
  const failed = sumSeries([valuesOf(panel, "error"), valuesOf(panel, "timeout")]);
  const excused = sumSeries([valuesOf(panel, "rejected"), valuesOf(panel, "cancelled")]);
  const tried = total.map((value, i) => (value === null ? null : value - (excused[i] ?? 0)));
  return divideSeries(failed, tried);
}

function ttftTile(now: Now, series: Series | undefined): Tile {
  return {
    ...latencyTile("TTFT p95", now.ttft, TTFT_OBJECTIVE),
    emptyWords: emptyWords(now, "no first token"),
    values: valuesOf(series?.panels.ttft, "p95"),
  };
}

function interTokenTile(now: Now, series: Series | undefined): Tile {
  const tile = latencyTile("ITL p95", now.inter_token, INTER_TOKEN_OBJECTIVE);
  const median = now.inter_token.p50;
  const isKnown = median?.bound === "" && median.seconds > 0 && !tile.isWeak;
  return {
    ...tile,
    emptyWords: emptyWords(now, "no tokens"),
    ...(isKnown ? { detail: `${formatNumber(1 / median.seconds)} tok/s each` } : {}),
    values: valuesOf(series?.panels.inter_token, "p95"),
  };
}

function latencyTile(label: string, latency: Now["inter_token"], objective: number): Tile {
  const { p95, count } = latency;
  const isWeak = p95 !== null && count < MIN_SAMPLES;
  return {
    label,
    value: p95 === null ? null : quantileWords(p95),
    detail: isWeak ? `only ${count} samples` : `objective ${formatSeconds(objective)}`,
    tone: p95 !== null && !isWeak && p95.seconds > objective ? "bad" : "plain",
    isWeak,
    values: [],
  };
}

function tokensTile({ engine }: Now, series: Series | undefined): Tile {
  return {
    ...PLAIN,
    label: "Output tokens",
    value: `${formatNumber(engine.output_tokens_per_second)}/s`,
    detail: "all streams",
    values: valuesOf(series?.panels.tokens, "output"),
  };
}

const STALLED_SECONDS = 15;

function runningTile({ engine }: Now, series: Series | undefined): Tile {
  return {
    ...PLAIN,
    label: "Running",
    value: engine.slots > 0 ? formatCount(engine.running) : "–",
    isWeak: engine.slots === 0,
    detail: engine.slots > 0 ? `of ${engine.slots} slots` : "engine not loaded",
    tone: engine.stalled_seconds >= STALLED_SECONDS ? "bad" : "plain",
    values: valuesOf(series?.panels.concurrency, "running"),
  };
}

function waitingTile({ engine, refused }: Now, series: Series | undefined): Tile {
  const share = engine.waiting / Math.max(1, engine.max_waiting);
  const isFull = share > 0.8 || refused.queue_full > 0;
  return {
    ...PLAIN,
    label: "Waiting",
    value: engine.slots > 0 ? formatCount(engine.waiting) : "–",
    isWeak: engine.slots === 0,
    detail: engine.slots > 0 ? `queue limit ${engine.max_waiting}` : "engine not loaded",
    tone: isFull ? "bad" : share > 0.3 ? "warn" : "plain",
    values: valuesOf(series?.panels.concurrency, "waiting"),
  };
}

/** The total, as in the chart. What may be freed, mapped files, brings the limit no closer. */
function memoryTile({ memory }: Now, series: Series | undefined): Tile {
  const limit = memory.limit_bytes;
  const share = limit > 0 ? memory.held_bytes / limit : 0;
  return {
    ...PLAIN,
    label: "Memory, total",
    value: formatBytes(memory.total_bytes),
    detail: limit > 0 ? `of ${formatBytes(limit)}` : "no limit set",
    tone: share > MEMORY_BAD ? "bad" : share > 0.8 ? "warn" : "plain",
    values: valuesOf(series?.panels.memory, "total"),
  };
}
