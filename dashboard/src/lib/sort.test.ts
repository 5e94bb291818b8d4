import { describe, expect, it } from "vitest";
import { formatSort, nextSort, parseSort, sortBy } from "./sort";

const FALLBACK = { column: "time", isDescending: true };

describe("a sort order", () => {
  it("survives the address, where an unknown one is ignored", () => {
    for (const text of ["ttft", "-ttft"]) {
      expect(formatSort(parseSort(text, ["ttft"], FALLBACK))).toBe(text);
    }
    expect(parseSort("-nonsense", ["ttft"], FALLBACK)).toBe(FALLBACK);
  });

  it("sorts a new column descending, then changes its direction", () => {
    const first = nextSort(FALLBACK, "ttft");
    expect(first).toEqual({ column: "ttft", isDescending: true });
    expect(nextSort(first, "ttft").isDescending).toBe(false);
  });

  it("puts unknown values last and does not change the list", () => {
    const list = [2, null, 3];
    expect(sortBy(list, (value) => value, false)).toEqual([2, 3, null]);
    expect(sortBy(list, (value) => value, true)).toEqual([3, 2, null]);
    expect(list).toEqual([2, null, 3]);
  });
});
