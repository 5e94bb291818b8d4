import { describe, expect, it } from "vitest";
import {
  formatAgo,
  formatBytes,
  formatCount,
  formatDuration,
  formatNumber,
  formatPercent,
  formatSeconds,
} from "./units";

describe("formatSeconds", () => {
  it.each([
    [0, "0 ms"],
    [0.0004, "0.4 ms"],
    [0.0123, "12.3 ms"],
    [0.25, "250 ms"],
    [0.9994, "999 ms"],
    [0.9996, "1 s"],
    [2.345, "2.35 s"],
    [59.9, "59.9 s"],
    [59.96, "1:00"],
    [61.2, "1:01"],
    [3725, "1:02:05"],
  ])("%d s reads %s", (seconds, words) => {
    expect(formatSeconds(seconds)).toBe(words);
  });
});

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [0.5, "0.5 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [268435456, "256 MiB"],
    [1.5 * 1024 ** 3, "1.5 GiB"],
    [2 ** 60, "1049k TiB"],
  ])("%d reads %s", (bytes, words) => {
    expect(formatBytes(bytes)).toBe(words);
  });
});

describe("formatNumber and formatPercent", () => {
  it("keep three significant digits", () => {
    expect([0, 0.123, 3.456, 34.56, 345.6, 123456].map(formatNumber)).toEqual([
      "0",
      "0.12",
      "3.46",
      "34.6",
      "346",
      "123k",
    ]);
  });

  it("never round a real share down to zero", () => {
    expect(formatPercent(0.0001)).toBe("< 0.1 %");
    expect(formatPercent(0)).toBe("0 %");
    expect(formatPercent(0.123)).toBe("12.3 %");
  });
});

it("says how long ago in words, never as a clock", () => {
  expect([-3, 0.4, 12, 773, 11_000, 90_000, 200_000].map(formatAgo)).toEqual([
    "just now",
    "just now",
    "12 s ago",
    "13 min ago",
    "3 h ago",
    "1 day ago",
    "2 days ago",
  ]);
});

it.each([
  [0, "0"],
  [1234, "1,234"],
  [99_999, "99,999"],
  [172_400, "172 k"],
  [2_500_000, "2.5 M"],
])("counts %d as %s", (value, words) => {
  expect(formatCount(value)).toBe(words);
});

it.each([
  [12, "12 s"],
  [150, "3 min"],
  [3590, "1 h"],
  [7200, "2 h"],
  [86_000, "1 day"],
  [86_400, "1 day"],
  [260_000, "3 days"],
])("%d s last %s", (seconds, words) => {
  expect(formatDuration(seconds)).toBe(words);
});
