import { describe, expect, it } from "vitest";
import { searchWith } from "./location";
import {
  rangeSeconds,
  rangeWords,
  refreshMilliseconds,
  whyUnavailable,
  type Range,
} from "./time-range";

const history = {
  kind: "history",
  since: 0,
  resolution_seconds: 2,
  max_range_seconds: 3600,
} as const;

describe("ranges", () => {
  it("say why the source cannot serve them", () => {
    expect(whyUnavailable("6h", history)).toBe("The service itself keeps only the last 1 h.");
    expect(whyUnavailable("1h", history)).toBeNull();
    expect(whyUnavailable("7d", undefined)).toBeNull();
  });

  it("are named by what is shown, which may be less than was chosen", () => {
    expect(rangeWords("7d")).toBe("7 days");
    expect(rangeWords("7d", history)).toBe("hour");
    expect(rangeWords("5m", history)).toBe("5 minutes");
  });

  it("refresh every 2 s, or every 5 s if they are wide", () => {
    const ranges: Range[] = ["5m", "15m", "1h", "7d"];
    expect(ranges.map(refreshMilliseconds)).toEqual([2000, 2000, 5000, 5000]);
  });

  it("have a length in seconds", () => {
    expect(rangeSeconds("15m")).toBe(900);
  });

  it("change one parameter of the address and keep the others", () => {
    expect(searchWith("?page=overview&range=5m", { range: "1h" })).toBe("?page=overview&range=1h");
    expect(searchWith("", { page: "playground" })).toBe("?page=playground");
    expect(searchWith("?page=requests&q=ada", { q: "" })).toBe("?page=requests");
  });
});
