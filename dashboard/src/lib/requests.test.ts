import { describe, expect, it } from "vitest";
import { decodeSpeed, outcomeTone, phasesOf } from "./requests";

const stopped = { outcome: "stop", error_phase: null };
const never = { queue_seconds: null, prefill_seconds: null, decode_seconds: null };

describe("a request", () => {
  it("spends its time in one phase after the other, and the rest in other", () => {
    const timings = { ...stopped, queue_seconds: 1, prefill_seconds: 2, decode_seconds: 3 };
    expect(phasesOf({ ...timings, duration_seconds: 6.5 })).toEqual([
      { name: "queue", from: 0, seconds: 1 },
      { name: "prefill", from: 1, seconds: 2 },
      { name: "decode", from: 3, seconds: 3 },
      { name: "other", from: 6, seconds: 0.5 },
    ]);
  });

  it("has no phases if it was refused", () => {
    const refused = { ...never, outcome: "rejected", error_phase: "admission" };
    expect(phasesOf({ ...refused, duration_seconds: null })).toEqual([]);
  });

  it("that was cut off spent the rest in the phase that it was in", () => {
    const cut = { ...never, outcome: "cancelled", error_phase: null, duration_seconds: 9 };
    const lastOf = (timings: Partial<typeof cut> & { queue_seconds?: number | null }) =>
      phasesOf({ ...cut, ...timings }).at(-1);
    expect(lastOf({})).toEqual({ name: "queue", from: 0, seconds: 9 });
    expect(lastOf({ queue_seconds: 2 } as never)).toEqual({ name: "prefill", from: 2, seconds: 7 });
    expect(lastOf({ outcome: "stop" })?.name).toBe("other");
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
