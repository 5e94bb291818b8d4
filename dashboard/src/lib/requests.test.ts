import { describe, expect, it } from "vitest";
import { decodeSpeed, outcomeTone, phasesOf } from "./requests";

describe("a request", () => {
  it("spends its time phase after phase, and what is left over elsewhere", () => {
    const timings = { queue_seconds: 1, prefill_seconds: 2, decode_seconds: 3 };
    expect(phasesOf({ ...timings, duration_seconds: 6.5 })).toEqual([
      { name: "queue", from: 0, seconds: 1 },
      { name: "prefill", from: 1, seconds: 2 },
      { name: "decode", from: 3, seconds: 3 },
      { name: "other", from: 6, seconds: 0.5 },
    ]);
  });

  it("that was refused has no phases, and none are made up", () => {
    const none = { queue_seconds: null, prefill_seconds: null, decode_seconds: null };
    expect(phasesOf({ ...none, duration_seconds: null })).toEqual([]);
  });

  it("has a speed only when at least two tokens came", () => {
    expect(decodeSpeed(11, 2)).toBe(5);
    expect(decodeSpeed(1, 2)).toBeNull();
    expect(decodeSpeed(11, null)).toBeNull();
  });

  it("is bad only when the service failed it", () => {
    const tones = ["stop", "error", "timeout", "cancelled", "rejected"].map(outcomeTone);
    expect(tones).toEqual(["ok", "bad", "bad", "warn", "warn"]);
  });
});
