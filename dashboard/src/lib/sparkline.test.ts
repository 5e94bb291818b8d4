import { expect, it } from "vitest";
import { sparklinePath } from "./sparkline";

it("draws from zero to the maximum", () => {
  expect(sparklinePath([0, 2, 1], 100, 22).line).toBe("M0 21L50 1L100 11");
});

it("breaks the line where there were no samples", () => {
  const { line, area } = sparklinePath([1, null, 1, 1], 30, 12);
  expect(line).toBe("M0 1h0.01M20 1L30 1");
  expect(area).toBe("M0 12L0 1L0 12ZM20 12L20 1L30 1L30 12Z");
});

it("draws nothing without values, and a flat line for zeros", () => {
  expect(sparklinePath([null, null], 10, 10).line).toBe("");
  expect(sparklinePath([0, 0], 10, 10).line).toBe("M0 9L10 9");
});
