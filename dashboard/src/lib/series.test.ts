import { describe, expect, it } from "vitest";
import type { Panel, Series } from "../api/types";
import {
  divideSeries,
  joinAfterRestart,
  latestValue,
  maxValue,
  meanValue,
  stackSeries,
  sumSeries,
} from "./series";

function response(since: number, times: number[], values: (number | null)[]): Series {
  return {
    source: { kind: "history", since, resolution_seconds: 2, max_range_seconds: 3600 },
    start: 0,
    end: times.at(-1) ?? 0,
    step_seconds: 2,
    times,
    panels: { p: { title: "P", unit: "s", series: [{ name: "a", labels: {}, values }] } },
  };
}

describe("arithmetic on series", () => {
  it("keeps a point without samples null in a sum only when all are null", () => {
    expect(
      sumSeries([
        [1, null, null],
        [2, 3, null],
      ]),
    ).toEqual([3, 3, null]);
  });

  it("never divides by zero", () => {
    expect(divideSeries([1, 1, null], [2, 0, 1])).toEqual([0.5, null, null]);
  });

  it("stacks the series from the first on", () => {
    expect(
      stackSeries([
        [1, null],
        [2, null],
      ]),
    ).toEqual([
      [1, null],
      [3, null],
    ]);
  });

  it("does not show an old value as the current one", () => {
    expect(latestValue([5, null, null, null], 3)).toBeNull();
    expect(latestValue([null, 5, null], 3)).toBe(5);
  });

  it("has no maximum and no mean without values", () => {
    expect(maxValue([null, null])).toBeNull();
    expect(meanValue([])).toBeNull();
    expect(maxValue([null, 0, 2])).toBe(2);
    expect(meanValue([1, null, 3])).toBe(2);
  });
});

describe("joinAfterRestart", () => {
  it("keeps the points from before the restart, with a gap between", () => {
    const before = response(1, [2, 4, 6], [1, 2, 3]);
    const after = response(10, [2, 4, 6, 8, 10, 12], [null, null, null, null, 7, 8]);
    const joined = joinAfterRestart(before, after);
    expect(joined.times).toEqual([2, 4, 6, 9.999, 10, 12]);
    expect(joined.panels.p?.series[0]?.values).toEqual([1, 2, 3, null, 7, 8]);
  });

  it("keeps them through later answers too, with a single gap", () => {
    const before = response(1, [2, 4], [1, 2]);
    const joined = joinAfterRestart(before, response(10, [10], [7]));
    const later = joinAfterRestart(joined, response(10, [10, 12], [7, 8]));
    expect(later.times).toEqual([2, 4, 9.999, 10, 12]);
    expect(later.panels.p?.series[0]?.values).toEqual([1, 2, null, 7, 8]);
  });

  it("does not call old points exact that were not", () => {
    const exact = (answer: Series, since: number | null): Series => {
      const panel: Panel = { title: "P", unit: "s", series: answer.panels.p?.series ?? [] };
      return { ...answer, panels: { p: { ...panel, exact_since: since } } };
    };
    const [before, after] = [response(1, [2, 4], [1, 2]), response(10, [10, 12], [7, 8])];
    const joined = (old: Series, fresh: Series) =>
      joinAfterRestart(old, fresh).panels.p?.exact_since;
    expect(joined(exact(before, 4), exact(after, 2))).toBe(4);
    expect(joined(exact(before, null), exact(after, 2))).toBe(9.999);
    expect(joined(before, after)).toBeUndefined();
  });

  it("does not change the answer if the service did not restart", () => {
    const before = response(1, [2, 4], [1, 2]);
    const after = response(1, [4, 6], [2, 3]);
    expect(joinAfterRestart(before, after)).toBe(after);
  });

  it("drops old points that have left the range", () => {
    const before = response(1, [2, 4], [1, 2]);
    const after = { ...response(10, [10, 12], [1, 2]), start: 6 };
    expect(joinAfterRestart(before, after)).toBe(after);
  });
});
