import { describe, expect, it } from "vitest";
import type { Chart } from "./chart";
import { whyNotComparable, withEarlier } from "./compare";

const chart = (times: number[], lines: Chart["lines"]): Chart => {
  const shown = { id: "a", title: "A", unitWords: "", unit: "s", emptyWords: "none" } as const;
  return { ...shown, times, lines };
};
const line = (name: string, values: (number | null)[], kind: "line" | "stack" = "line") => {
  return { name, values, kind, color: "series-1" };
};

describe("a comparison", () => {
  it("draws p95 of the time before at the same place, and leaves gaps", () => {
    const now = chart([7200, 7210, 7220], [line("p50", [1, 1, 1])]);
    const before = chart([3600, 3610], [line("p50", [2, 2]), line("p95", [5, null])]);
    const [compared] = withEarlier([now], [before], 3600, "an hour");
    expect(compared?.lines.at(-1)).toMatchObject({
      name: "p95 an hour before",
      values: [5, null, null],
      color: "faint",
    });
  });

  it("draws the total of a stack", () => {
    const stack = [line("stop", [1], "stack"), line("error", [2], "stack")];
    const [compared] = withEarlier([chart([10], [])], [chart([10], stack)], 0, "a day");
    expect(compared?.lines.at(-1)).toMatchObject({ name: "total a day before", values: [3] });
  });

  it("is offered only as far as the source reaches back", () => {
    const source = { kind: "history", since: 5000, resolution_seconds: 2, max_range_seconds: 3600 };
    expect(whyNotComparable("hour", 8000, { ...source, note: "" })).toMatch(/^The service itself/);
    expect(whyNotComparable("hour", 8700, { ...source, note: "" })).toBeNull();
  });
});
