/** Plausible, changing and repeatable numbers for every panel of /api/series. */

const MIB = 1024 * 1024;

/** A smooth wave with a little noise; the same time gives the same value. */
function wave(time, period, phase) {
  const noise = Math.abs(Math.sin(time * 12.9898 + phase * 78.233) * 43758.5453) % 1;
  return 0.5 + 0.35 * Math.sin((time / period) * 2 * Math.PI + phase) + 0.15 * (noise - 0.5) * 2;
}

function quantiles(base, spread, period) {
  return ["p50", "p95", "p99"].map((name, i) => ({
    name,
    labels: { quantile: ["0.5", "0.95", "0.99"][i] },
    at: (t) => base * (1 + spread * i) * (0.7 + 0.6 * wave(t, period, i)),
  }));
}

const line = (name, at) => ({ name, labels: { name }, at });

/** Every panel: title, unit, and a function of time per series. */
const PANELS = {
  requests: [
    "Requests",
    "1/s",
    [
      line("stop", (t) => 4 * wave(t, 120, 0)),
      line("length", (t) => 0.8 * wave(t, 90, 1)),
      line("cancelled", (t) => 0.2 * wave(t, 70, 2)),
      line("timeout", () => 0),
      line("error", (t) => (Math.floor(t / 40) % 9 === 0 ? 0.02 : 0)),
      line("rejected", (t) => (Math.floor(t / 30) % 7 === 0 ? 0.6 : 0)),
    ],
  ],
  ttft: ["Time to first token", "s", quantiles(0.045, 0.9, 130)],
  duration: ["End to end", "s", quantiles(0.6, 0.8, 150)],
  inter_token: ["Inter-token latency", "s", quantiles(0.008, 0.6, 110)],
  tokens: [
    "Tokens",
    "1/s",
    [
      line("prompt computed", (t) => 60 * wave(t, 100, 1)),
      line("prompt cached", (t) => 90 * wave(t, 140, 2)),
      line("output", (t) => 180 * wave(t, 120, 0)),
    ],
  ],
  speed: [
    "Engine speed",
    "tokens / busy second",
    [
      line("prefill", (t) => 2400 + 300 * wave(t, 60, 0)),
      line("decode", (t) => 420 + 80 * wave(t, 80, 1)),
    ],
  ],
  concurrency: [
    "Running and waiting",
    "sequences",
    [
      line("running", (t) => Math.round(12 * wave(t, 120, 0))),
      line("waiting", (t) => Math.max(0, Math.round(8 * wave(t, 120, 0) - 5))),
      line("slots", () => 16),
    ],
  ],
  memory: [
    "Memory",
    "bytes",
    [
      line("weights", () => 24 * MIB),
      line("kv_cache", () => 256 * MIB),
      line("compute", () => 8 * MIB),
      line("other", (t) => (150 + 20 * wave(t, 300, 0)) * MIB),
      line("file", () => 210 * MIB),
      line("total", (t) => (498 + 20 * wave(t, 300, 0) + 150) * MIB),
      line("limit", () => 1024 * MIB),
    ],
  ],
  phases: [
    "Phases",
    "s",
    [
      line("queue", (t) => 0.02 * wave(t, 90, 0)),
      line("prefill", (t) => 0.05 * wave(t, 70, 1)),
      line("decode", (t) => 0.5 * wave(t, 110, 2)),
    ],
  ],
  errors: [
    "Errors",
    "1/s",
    [
      line("rate_limit", (t) => (Math.floor(t / 30) % 7 === 0 ? 0.6 : 0)),
      line("context_length", (t) => (Math.floor(t / 20) % 6 === 0 ? 0.2 : 0)),
      line("internal", (t) => (Math.floor(t / 40) % 9 === 0 ? 0.02 : 0)),
      line("oom", () => 0),
    ],
  ],
  rejections: ["Rejections", "1/s", [line("requests", (t) => 0.3 * wave(t, 50, 0))]],
  cpu: [
    "CPU",
    "cores",
    [
      line("used", (t) => 1.8 * wave(t, 120, 0.1)),
      line("limit", () => 2),
      line("throttled", () => 0),
    ],
  ],
  event_loop_lag: [
    "Event loop lag",
    "s",
    quantiles(0.002, 0.5, 60).filter((q) => q.name !== "p95"),
  ],
  stream_speed: ["Speed of one stream", "tokens/s", [line("mean", (t) => 90 * wave(t, 80, 1))]],
  duty: [
    "Engine busy",
    "ratio",
    [line("prefill", (t) => 0.15 * wave(t, 70, 1)), line("decode", (t) => 0.6 * wave(t, 120, 0))],
  ],
  kv_ratio: ["KV cache used", "ratio", [line("used", (t) => 0.6 * wave(t, 120, 0.3))]],
  prefix_hits: ["Prefix hits", "ratio", [line("cached", (t) => 0.7 * wave(t, 140, 2))]],
  ttft_heatmap: [
    "Time to first token, by bucket",
    "first tokens",
    ["0.005", "0.01", "0.02", "0.05", "0.1", "0.5", "2", "+Inf"].map((bound, i) =>
      line(bound, (t) => Math.max(0, Math.round(40 * wave(t, 130, i) * (1 - Math.abs(i - 3) / 4)))),
    ),
  ],
  itl_heatmap: [
    "Inter-token latency, by bucket",
    "gaps",
    ["0.005", "0.01", "0.02", "0.03", "0.05", "0.1", "0.2", "+Inf"].map((bound, i) =>
      line(bound, (t) => Math.max(0, Math.round(300 * wave(t, 90, i) * (1 - i / 5)))),
    ),
  ],
  drafts: [
    "Draft tokens",
    "1/s",
    [line("accepted", (t) => 40 * wave(t, 90, 0)), line("rejected", (t) => 15 * wave(t, 70, 1))],
  ],
  gpu_memory: ["GPU memory", "bytes", [line("used", () => null)]],
  gpu_busy: ["GPU busy", "gpus", [line("busy", () => null)]],
  redis: ["Redis", "up", [line("up", () => null)]],
  batch_size: ["Batch size", "sequences", [line("mean", (t) => 6 * wave(t, 120, 0))]],
  preemptions: ["Preemptions", "1/s", [line("preemptions", () => 0)]],
};

/** What can be told by key. */
const BY_KEY = new Set(["requests", "ttft", "tokens", "errors"]);

/** The answer to GET /api/series. Before `since`, and while `hasTraffic` is false, there are no samples. */
export function buildSeries({
  kind,
  rangeSeconds,
  now,
  since,
  hasTraffic,
  maxRangeSeconds,
  keyName = null,
}) {
  const step = Math.max(2, Math.ceil(rangeSeconds / 600));
  // Multiples of the step, and now.
  const last = (Math.ceil(now / step) - 1) * step;
  const length = Math.floor(rangeSeconds / step);
  const times = Array.from({ length }, (_, i) => last - (length - 1 - i) * step).concat(now);
  const isConstant = new Set(["memory", "concurrency", "cpu"]);
  const asked = Object.entries(PANELS).filter(([id]) => keyName === null || BY_KEY.has(id));
  const panels = asked.map(([id, [title, unit, series]]) => {
    const isKnown = (t) => t >= since && (hasTraffic || isConstant.has(id));
    const values = ({ at }) =>
      times.map((t) =>
        isKnown(t) ? (hasTraffic || id === "memory" || id === "cpu" ? at(t) : 0) : null,
      );
    const lines = series.map((s) => ({ name: s.name, labels: s.labels, values: values(s) }));
    const isQuantile = series[0].labels.quantile !== undefined;
    const samples = isQuantile
      ? { samples: times.map((t) => (isKnown(t) ? Math.round(45 * wave(t, 120, 0)) : 0)) }
      : {};
    if (isQuantile) samples.bounds = id === "inter_token" ? [0.0005, 5] : [0.001, 900];
    if (id === "ttft" || id === "duration") samples.exact_since = times[0];
    return [id, { title, unit, series: lines, ...samples }];
  });
  return {
    source: {
      kind,
      since,
      note: "",
      resolution_seconds: 2,
      max_range_seconds: maxRangeSeconds,
    },
    start: times[0],
    end: now,
    step_seconds: step,
    times,
    panels: Object.fromEntries(panels),
    key_names: ["batch-jobs", "demo"],
  };
}
