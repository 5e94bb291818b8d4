/** Small example answers of the service, for tests. */

import type { Now, Panel, Series, Status } from "../api/types";
import type { Value } from "../lib/series";
import staged from "./incidents.json";

export const READY: Status = {
  version: "0.1.0",
  now: 1000,
  started_at: 0,
  health: { is_ready: true, reason: "" },
  requires_keys: true,
  key: { name: "admin", scopes: ["inference", "metrics"], rpm: 60 },
  model: null,
  engine: {
    num_running: 3,
    num_waiting: 0,
    max_batch_size: 16,
    max_waiting: 100,
    kv_cache_used_bytes: 0,
    kv_cache_bytes: 1024,
    threads: 2,
    num_restarts: 0,
  },
  limits: { storage: "in-process" },
};

export function panelOf(series: Record<string, Value[]>, samples?: number[]): Panel {
  const lines = Object.entries(series).map(([name, values]) => ({ name, labels: {}, values }));
  return { title: "", unit: "", series: lines, ...(samples ? { samples } : {}) };
}

export function seriesOf(panels: Record<string, Panel>): Series {
  return {
    source: { kind: "history", since: 0, resolution_seconds: 2, max_range_seconds: 3600 },
    start: 994,
    end: 1000,
    step_seconds: 2,
    times: [996, 998, 1000],
    panels,
  };
}

type Changes<T> = T extends unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: Changes<T[K]> }
    : T;

/** What a staged incident looks like, and what the page must say of it. */
export interface Incident {
  now: Changes<Now>;
  state: string;
  tone: string;
  sentence: string;
  also?: string;
  /** Value, detail and tone of some tiles, by their labels. */
  tiles: Record<string, [value: string, detail: string, tone: string]>;
}

export const INCIDENTS = Object.entries(staged.incidents as unknown as Record<string, Incident>);

/** The last minute of a healthy service, with changes. */
export function nowOf(...changes: Changes<Now>[]): Now {
  return changes.reduce<unknown>(merge, staged.healthy) as Now;
}

function merge(whole: unknown, changes: unknown): unknown {
  if (!isObject(whole) || !isObject(changes)) return changes;
  const merged = Object.entries(changes).map(([key, value]) => [key, merge(whole[key], value)]);
  return { ...whole, ...Object.fromEntries(merged) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
