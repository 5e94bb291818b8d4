/** The eight numbers at the top of the overview, each with its history and a verdict. */

import type { Panel, Series, Status } from "../../api/types";
import { pointsOfNow, readQuantile } from "../../lib/quantile";
import {
  divideSeries,
  latestValue,
  meanValue,
  sumSeries,
  valuesOf,
  type Value,
} from "../../lib/series";
import { formatBytes, formatNumber, formatPercent, formatSeconds } from "../../lib/units";
import { INTER_TOKEN_OBJECTIVE, TTFT_OBJECTIVE } from "./charts";

export type Tone = "plain" | "warn" | "bad";

export interface Tile {
  label: string;
  /** null if nothing was measured; shown as "no traffic". */
  value: string | null;
  detail: string;
  tone: Tone;
  /** True if it rests on too few samples; shown in grey. */
  isWeak: boolean;
  values: Value[];
}

export function buildTiles(series: Series, status: Status): Tile[] {
  const within = pointsOfNow(series.step_seconds);
  const panel = (name: string) => series.panels[name];
  const outcomes = panel("requests")?.series ?? [];
  const total = sumSeries(outcomes.map((outcome) => outcome.values));
  return [
    rateTile("Requests", total, within, "all outcomes"),
    errorTile(series, total),
    quantileTile("TTFT p95", panel("ttft"), within, TTFT_OBJECTIVE),
    interTokenTile(panel("inter_token"), within),
    rateTile("Output tokens", valuesOf(panel("tokens"), "output"), within, "all streams"),
    runningTile(series, status),
    waitingTile(series, status),
    memoryTile(series),
  ];
}

const PLAIN = { tone: "plain", isWeak: false } as const;

function rateTile(label: string, values: Value[], within: number, detail: string): Tile {
  const rate = meanValue(values.slice(-within));
  const value = rate === null ? null : `${formatNumber(rate)}/s`;
  return { ...PLAIN, label, value, detail, values };
}

/** The share of failed requests; refused and cancelled requests do not count. */
export function errorShare(series: Series, total: Value[]): { share: Value; values: Value[] } {
  const panel = series.panels.requests;
  const failed = sumSeries([valuesOf(panel, "error"), valuesOf(panel, "timeout")]);
  const excused = sumSeries([valuesOf(panel, "rejected"), valuesOf(panel, "cancelled")]);
  const tried = total.map((value, i) => (value === null ? null : value - (excused[i] ?? 0)));
  const sum = (values: Value[]) => values.reduce<number>((a, b) => a + (b ?? 0), 0);
  const triedSum = sum(tried);
  return {
    share: triedSum > 0 ? sum(failed) / triedSum : null,
    values: divideSeries(failed, tried),
  };
}

function errorTile(series: Series, total: Value[]): Tile {
  const { share, values } = errorShare(series, total);
  const tone = share === null || share < 0.001 ? "plain" : share < 0.01 ? "warn" : "bad";
  return {
    label: "Errors",
    value: share === null ? null : formatPercent(share),
    detail: "in this time range",
    tone,
    isWeak: false,
    values,
  };
}

function quantileTile(
  label: string,
  panel: Panel | undefined,
  within: number,
  objective: number,
): Tile {
  const p95 = readQuantile(panel, "p95", within);
  const isOver = p95 !== null && !p95.isWeak && p95.seconds > objective;
  return {
    label,
    value: p95?.words ?? null,
    detail: p95?.isWeak ? `only ${p95.n ?? 0} samples` : `objective ${formatSeconds(objective)}`,
    tone: isOver ? "bad" : "plain",
    isWeak: p95?.isWeak ?? false,
    values: valuesOf(panel, "p95"),
  };
}

function interTokenTile(panel: Panel | undefined, within: number): Tile {
  const tile = quantileTile("ITL p95", panel, within, INTER_TOKEN_OBJECTIVE);
  const median = readQuantile(panel, "p50", within)?.seconds;
  return median ? { ...tile, detail: `${formatNumber(1 / median)} tok/s each` } : tile;
}

function runningTile(series: Series, { engine }: Status): Tile {
  return {
    ...PLAIN,
    label: "Running",
    value: engine ? String(engine.num_running) : "–",
    isWeak: engine === null,
    detail: engine ? `of ${engine.max_batch_size} slots` : "engine not loaded",
    values: valuesOf(series.panels.concurrency, "running"),
  };
}

function waitingTile(series: Series, { engine }: Status): Tile {
  const share = engine ? engine.num_waiting / Math.max(1, engine.max_waiting) : 0;
  return {
    ...PLAIN,
    label: "Waiting",
    value: engine ? String(engine.num_waiting) : "–",
    isWeak: engine === null,
    detail: engine ? `queue limit ${engine.max_waiting}` : "engine not loaded",
    tone: share > 0.8 ? "bad" : share > 0.3 ? "warn" : "plain",
    values: valuesOf(series.panels.concurrency, "waiting"),
  };
}

function memoryTile(series: Series): Tile {
  const panel = series.panels.memory;
  const parts = ["weights", "kv_cache", "compute", "other"];
  const values = sumSeries(parts.map((name) => valuesOf(panel, name)));
  const used = latestValue(values);
  const limit = latestValue(valuesOf(panel, "limit"));
  const share = used !== null && limit ? used / limit : 0;
  return {
    ...PLAIN,
    label: "Memory",
    value: used === null ? null : formatBytes(used),
    detail: limit ? `of ${formatBytes(limit)}` : "no limit set",
    tone: share > 0.9 ? "bad" : share > 0.8 ? "warn" : "plain",
    values,
  };
}
