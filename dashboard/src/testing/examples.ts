/** Small example answers of the service, for tests. */

import type { Panel, Series, Status } from "../api/types";
import type { Value } from "../lib/series";

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
