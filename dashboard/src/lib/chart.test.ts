import { describe, expect, it } from "vitest";
import {
  drawnLines,
  isEmpty,
  isWeak,
  lineValue,
  summarize,
  timeWords,
  yRange,
  type Chart,
  type ChartLine,
} from "./chart";

const ttft: Chart = {
  id: "ttft",
  title: "Time to first token",
  unitWords: "seconds",
  unit: "s",
  times: [1, 2, 3],
  samples: [30, 4, 0],
  bounds: [0.001, 60],
  emptyWords: "no traffic",
  lines: [
    { name: "p95", values: [0.2, 60, null], color: "series-1", kind: "line" },
    { name: "objective", values: [2, 2, 2], color: "muted", kind: "reference" },
  ],
};

describe("a chart", () => {
  it("says how exactly a quantile is known", () => {
    const line = { name: "p95", color: "series-1", kind: "line" } as const;
    const read = (values: (number | null)[], exactSince: number | null = null) =>
      ttft.times.map((_, i) => lineValue({ ...ttft, exactSince }, { ...line, values }, i));
    expect(read([0.2, 60, null])).toEqual(["≈ 200 ms", "> 1:00", null]);
    expect(read([0.001, 0.0166, 0.0166], 3)).toEqual(["< 1 ms", "≈ 16.6 ms", "16.6 ms"]);
    expect(read([0.0005, 61, 60], 1)).toEqual(["0.5 ms", "1:01", "1:00"]);
    const [, objective] = ttft.lines;
    expect(objective && lineValue(ttft, objective, 0)).toBe("2 s");
  });

  it("marks points that rest on fewer than 20 samples", () => {
    expect([0, 1, 2].map((i) => isWeak(ttft, i))).toEqual([false, true, false]);
  });

  it("names the day of a point only if it shows more than one day", () => {
    expect(timeWords(ttft, 0)).toMatch(/^\d\d:\d\d:01$/);
    expect(timeWords({ ...ttft, times: [0, 100_000] }, 1)).toMatch(/^[A-Z][a-z]{2} \d, \d\d:\d\d$/);
  });

  it("is empty when only its limits have values", () => {
    const [, objective] = ttft.lines;
    expect(isEmpty(ttft)).toBe(false);
    expect(isEmpty({ ...ttft, lines: objective ? [objective] : [] })).toBe(true);
  });

  it("has a summary in words", () => {
    expect(summarize(ttft, "last 5 minutes")).toBe(
      "Time to first token, last 5 minutes: p95 latest > 1:00, highest > 1:00; objective 2 s.",
    );
    expect(summarize({ ...ttft, lines: [] }, "last hour")).toContain("no traffic");
  });

  it("stacks only the lines of kind stack", () => {
    const line = { values: [1, null, 2], color: "series-1" };
    const chart: Chart = {
      ...ttft,
      lines: [
        { ...line, name: "a", kind: "stack" },
        { ...line, name: "limit", kind: "reference" },
        { ...line, name: "b", kind: "stack" },
      ],
    };
    expect(drawnLines(chart).map(({ values }) => values)).toEqual([
      [1, null, 2],
      [1, null, 2],
      [2, null, 4],
    ]);
  });
});

it("does not draw a stacked line without values", () => {
  const empty: ChartLine = { name: "e", values: [0, null, 0], color: "series-1", kind: "stack" };
  expect(drawnLines({ ...ttft, lines: [...ttft.lines, empty] })).toHaveLength(2);
});

describe("yRange", () => {
  it("starts at 0 and includes a limit only if it is near", () => {
    expect(yRange(1, [2])).toEqual([0, 2.16]);
    expect(yRange(1, [100])).toEqual([0, 1.08]);
    expect(yRange(null, [2])).toEqual([0, 1]);
    expect(yRange(0, [])).toEqual([0, 1]);
  });
});
