import { describe, expect, it } from "vitest";
import { decodeSpeed, outcomeTone, phasesOf } from "./requests";

describe("a request", () => {
  it("spends its time in one phase after the other, and the rest in other", () => {
    const timings = { queue_seconds: 1, prefill_seconds: 2, decode_seconds: 3 };
    expect(phasesOf({ ...timings, duration_seconds: 6.5 })).toEqual([
      { name: "queue", from: 0, seconds: 1 },
      { name: "prefill", from: 1, seconds: 2 },
      { name: "decode", from: 3, seconds: 3 },
      { name: "other", from: 6, seconds: 0.5 },
    ]);
  });

  it("has no phases if it was refused", () => {
    const none = { queue_seconds: null, prefill_seconds: null, decode_seconds: null };
    expect(phasesOf({ ...none, duration_seconds: null })).toEqual([]);
  });

  it("has a speed only with at least two tokens", () => {
    expect(decodeSpeed(11, 2)).toBe(5);
    expect(decodeSpeed(1, 2)).toBeNull();
    expect(decodeSpeed(11, null)).toBeNull();
  });

  it("is bad only if the service failed", () => {
    const tones = ["stop", "error", "timeout", "cancelled", "rejected"].map(outcomeTone);
    expect(tones).toEqual(["ok", "bad", "bad", "warn", "warn"]);
  });
});
