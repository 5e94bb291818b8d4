import { describe, expect, it } from "vitest";
import type { Status } from "../../api/types";
import { panelOf, READY, seriesOf } from "../../testing/examples";
import { judge } from "./health";
import { buildTiles } from "./tiles";

const busy = {
  requests: panelOf({ stop: [2, 2, 2], error: [0, 0, 0], rejected: [0, 1, 0] }),
  ttft: panelOf({ p50: [0.1, 0.1, 0.1], p95: [0.2, 0.2, 0.3] }, [40, 40, 40]),
  inter_token: panelOf({ p50: [0.01, 0.01, 0.02], p95: [0.02, 0.02, 0.04] }, [40, 40, 40]),
  memory: panelOf({
    weights: [1024],
    kv_cache: [1024],
    other: [2048],
    limit: [8192],
    file: [9999],
  }),
};

function tileOf(label: string, panels = {}, status: Status = READY) {
  const tile = buildTiles(seriesOf({ ...busy, ...panels }), status).find((t) => t.label === label);
  if (!tile) throw new Error(`no tile ${label}`);
  return tile;
}

describe("tiles", () => {
  it("sum the outcomes, and the memory without the file cache", () => {
    expect(tileOf("Requests").value).toBe("2.33/s");
    expect(tileOf("Memory")).toMatchObject({ value: "4 KiB", detail: "of 8 KiB", tone: "plain" });
  });

  it("give the speed of one stream beside the inter-token latency", () => {
    expect(tileOf("ITL p95")).toMatchObject({ value: "40 ms", detail: "50 tok/s each" });
  });

  it("have no value without samples, rather than 0", () => {
    const idle = {
      requests: panelOf({ stop: [0, 0, 0] }),
      ttft: panelOf({ p95: [null, null, null] }),
    };
    expect(tileOf("Errors", idle).value).toBeNull();
    expect(tileOf("TTFT p95", idle).value).toBeNull();
    expect(tileOf("Requests", idle).value).toBe("0/s");
  });

  it("turn bad above the objective, unless there are too few samples", () => {
    const slow = { p95: [5, 5, 5] };
    expect(tileOf("TTFT p95", { ttft: panelOf(slow, [40, 40, 40]) }).tone).toBe("bad");
    const few = tileOf("TTFT p95", { ttft: panelOf(slow, [40, 40, 7]) });
    expect(few).toMatchObject({ tone: "plain", isWeak: true, detail: "only 7 samples" });
  });

  it("read a clipped quantile as more than its bound", () => {
    const ttft = panelOf({ p95: [60, 60, 60] }, [40, 40, 40]);
    ttft.bounds = [0.05, 60];
    expect(tileOf("TTFT p95", { ttft }).value).toBe("> 1:00");
    for (const line of ttft.series) line.values = [60, 60, 45];
    expect(tileOf("TTFT p95", { ttft }).value).toBe("≈ 45 s");
    ttft.exact_since = 996;
    expect(tileOf("TTFT p95", { ttft }).value).toBe("45 s");
  });

  it("do not count refused and cancelled requests as errors", () => {
    const left = panelOf({ stop: [1, 1, 1], rejected: [9, 9, 9], cancelled: [5, 5, 5] });
    expect(tileOf("Errors", { requests: left })).toMatchObject({ value: "0 %", tone: "plain" });
    const failed = panelOf({ stop: [3, 3, 3], error: [1, 1, 1], rejected: [9, 9, 9] });
    expect(tileOf("Errors", { requests: failed })).toMatchObject({ value: "25 %", tone: "bad" });
  });

  it("say that the engine is not loaded rather than show zeros", () => {
    const loading = { ...READY, engine: null };
    expect(tileOf("Running", {}, loading)).toMatchObject({
      value: "–",
      detail: "engine not loaded",
    });
  });
});

describe("the health sentence", () => {
  const judged = (panels = {}, status: Status = READY) =>
    judge(status, seriesOf({ ...busy, ...panels }), "5 minutes");

  it("describes the traffic of a healthy service", () => {
    expect(judged().sentence).toBe(
      "Healthy: 2.33 requests/s, no errors in the last 5 minutes; TTFT p95 300 ms.",
    );
  });

  it("distinguishes no traffic from health", () => {
    expect(judged({ requests: panelOf({ stop: [0, 0, 0] }) }).sentence).toBe(
      "Ready. No traffic in the last 5 minutes.",
    );
  });

  it("puts not ready before errors, and errors before slowness", () => {
    const bad = {
      requests: panelOf({ stop: [1, 1, 1], error: [1, 1, 1] }),
      ttft: panelOf({ p95: [3, 3, 3] }),
    };
    const health = { is_ready: false, reason: "loading the model" };
    expect(judged(bad, { ...READY, health }).sentence).toBe("Not ready: loading the model.");
    expect(judged(bad)).toMatchObject({ tone: "bad" });
    expect(judged(bad).sentence).toContain("50 % of requests failed");
    expect(judged({ ttft: bad.ttft }).sentence).toContain("above the objective of 2 s");
  });
});

describe("a firing alert", () => {
  const alert = {
    since: null,
    value: "",
    description: "",
    runbook_url: "",
    query: "",
    summary: "",
  };
  const firing = (name: string, severity: string) =>
    ({ ...alert, name, severity, state: "firing" }) as const;
  const judged = (...alerts: ReturnType<typeof firing>[]) =>
    judge(READY, seriesOf(busy), "5 minutes", alerts);

  it("comes before the traffic, and is bad only when it is urgent", () => {
    expect(judged(firing("CPUThrottled", "ticket"))).toEqual({
      tone: "warn",
      sentence: "One alert is firing: CPUThrottled.",
    });
    expect(judged(firing("NotReady", "page"), firing("CPUThrottled", "ticket"))).toEqual({
      tone: "bad",
      sentence: "2 alerts are firing: NotReady, CPUThrottled.",
    });
  });
});
