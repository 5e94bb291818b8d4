import { describe, expect, it } from "vitest";
import { levelOf, proposeLimits, quantilesOf, roundOf, type Level } from "./levels";

const level = (streams: number, ttft: number, itl: number): Level => ({
  streams,
  ttft: { p50: ttft / 2, p95: ttft },
  itl: { p50: itl / 2, p95: itl },
  tokensPerSecond: streams / itl,
  promptTokens: 60,
});

describe("a level", () => {
  it("has the time to first token and the mean gap of each stream", () => {
    const arrivals = [
      { first: 0.1, last: 0.5 },
      { first: 0.2, last: 1.0 },
    ];
    // Each stream has five tokens, and so four gaps.
    const { streams } = roundOf(arrivals, 1, 120, 10);
    expect(streams[0]?.ttft).toBe(0.1);
    expect(streams[0]?.itl).toBeCloseTo(0.1);
    expect(streams[1]?.itl).toBeCloseTo(0.2);
  });

  it("adds up its rounds: all tokens, divided by the time of all rounds", () => {
    const fast = roundOf([{ first: 0.1, last: 0.9 }], 1, 60, 9);
    const slow = roundOf([{ first: 0.3, last: 2.9 }], 3, 62, 9);
    const found = levelOf(1, [fast, slow]);
    expect(found.tokensPerSecond).toBe(18 / 4);
    expect(found.promptTokens).toBe(61);
    expect(found.ttft).toEqual({ p50: 0.1, p95: 0.3 });
  });

  it("has quantiles that were measured, also of few values", () => {
    expect(quantilesOf([7])).toEqual({ p50: 7, p95: 7 });
    expect(quantilesOf([4, 1, 3, 2])).toEqual({ p50: 2, p95: 4 });
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(quantilesOf(hundred)).toEqual({ p50: 50, p95: 95 });
  });
});

describe("the proposed limits", () => {
  it("are those of the largest level that meets both objectives", () => {
    const levels = [level(1, 0.2, 0.02), level(2, 0.4, 0.04), level(4, 1, 0.3), level(8, 3, 0.5)];
    const proposal = proposeLimits(levels, 101);
    // An answer takes 0.2 s and 100 gaps of 0.02 s; of 2 * 60 / 2.2 = 54.5, four fifths.
    expect(proposal).toEqual({ streams: 2, requestsPerMinute: 43, isWithinObjectives: true });
  });

  it("do not trust a level above one that missed an objective", () => {
    const levels = [level(1, 0.2, 0.02), level(2, 2.5, 0.02), level(4, 0.5, 0.02)];
    expect(proposeLimits(levels, 100)?.streams).toBe(1);
  });

  it("accept a level that is exactly at the objectives", () => {
    expect(proposeLimits([level(1, 2, 0.2)], 100)?.isWithinObjectives).toBe(true);
  });

  it("are one stream, marked, if even that misses the objectives", () => {
    const proposal = proposeLimits([level(1, 40, 10), level(2, 90, 20)], 1000);
    expect(proposal).toEqual({ streams: 1, requestsPerMinute: 1, isWithinObjectives: false });
  });

  it("are fewer requests for longer answers", () => {
    const rate = (tokens: number) =>
      proposeLimits([level(4, 0.2, 0.02)], tokens)?.requestsPerMinute ?? 0;
    expect(rate(100)).toBeGreaterThan(4 * rate(1000));
  });

  it("are none before anything was measured", () => {
    expect(proposeLimits([], 100)).toBeNull();
  });
});
