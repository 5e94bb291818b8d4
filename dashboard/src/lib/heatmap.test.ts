import { describe, expect, it } from "vitest";
import { panelOf } from "../testing/examples";
import type { Chart } from "./chart";
import { summarize } from "./chart";
import { bucketLines, bucketTick } from "./heatmap";

const panel = panelOf({ "0.005": [0, 0], "0.01": [3, 0], "0.02": [null, 0], "+Inf": [0, 1] });
const chart: Chart = {
  id: "gaps",
  title: "Gaps",
  unitWords: "",
  unit: "count",
  times: [0, 2],
  lines: bucketLines(panel),
  isHeatmap: true,
  emptyWords: "no traffic",
};

describe("a heatmap", () => {
  it("keeps the buckets from the first to the last that was hit, also empty ones between", () => {
    expect(chart.lines.map((line) => line.name)).toEqual([
      "5 ms to 10 ms",
      "10 ms to 20 ms",
      "more than 20 ms",
    ]);
    expect(bucketLines(panelOf({ "0.005": [0, 0] }))).toEqual([]);
    expect(bucketLines(panelOf({ "0.005": [1, 0] }))[0]?.name).toBe("up to 5 ms");
  });

  it("labels the border between two buckets with their common bound", () => {
    expect([0, 1, 2, 3].map((position) => bucketTick(chart, position))).toEqual([
      "5 ms",
      "10 ms",
      "20 ms",
      "∞",
    ]);
    const fromZero = { ...chart, lines: bucketLines(panelOf({ "0.005": [1, 0] })) };
    expect([0, 1].map((position) => bucketTick(fromZero, position))).toEqual(["0", "5 ms"]);
  });

  it("says in words what happened most often", () => {
    expect(summarize(chart, "last 5 minutes")).toBe(
      "Gaps, last 5 minutes: most often 5 ms to 10 ms.",
    );
  });
});
