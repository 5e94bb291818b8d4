import { describe, expect, it } from "vitest";
import type { AnswerStats } from "./conversation";
import { grew, play, recordOf, usageOf, type Step } from "./examples";
import { joinTimings, speedOf } from "./speed";

const answered: Step[] = [
  { kind: "asked", text: "Hi" },
  { kind: "begun", at: 1000, schema: null },
  { kind: "opened", requestId: "r1", timing: { queue: 0.001, prefill: 0.03 } },
  grew({ text: "Hel", at: 1200 }),
  grew({ text: "lo", at: 1300 }),
  { kind: "measured", usage: usageOf(9, 11) },
  { kind: "ended", state: "done", at: 1310 },
];

function statsAfter(steps: Step[]): AnswerStats {
  const last = play(...steps).messages.at(-1);
  if (last?.role !== "assistant") throw new Error("no answer");
  return last.stats;
}

describe("speedOf", () => {
  it("uses the service's token count once it is known", () => {
    expect(speedOf(statsAfter(answered))).toEqual({
      ttftSeconds: 0.2,
      tokensPerSecond: 100,
      isEstimate: false,
    });
  });

  it("has no speed for an answer that came in one packet", () => {
    const burst = answered.map((action) =>
      action.kind === "grew" ? { ...action, at: 1200 } : action,
    );
    expect(speedOf(statsAfter(burst))).toMatchObject({ ttftSeconds: 0.2, tokensPerSecond: null });
  });

  it("estimates from the pieces before that, and has nothing before the first", () => {
    expect(speedOf(statsAfter(answered.slice(0, 5)))).toMatchObject({
      tokensPerSecond: 10,
      isEstimate: true,
    });
    expect(speedOf(statsAfter(answered.slice(0, 2))).ttftSeconds).toBeNull();
  });
});

describe("joinTimings", () => {
  it("puts the service's record beside the browser's times", () => {
    const stats = statsAfter([...answered, { kind: "recorded", record: recordOf() }]);
    expect(joinTimings(stats)).toEqual([
      { name: "queue", service: "2 ms", browser: null },
      { name: "prefill", service: "30 ms", browser: null },
      { name: "TTFT", service: "32 ms", browser: "200 ms" },
      { name: "decode", service: "100 ms", browser: null },
      { name: "speed", service: "100 tok/s", browser: "100 tok/s" },
      { name: "total", service: "140 ms", browser: "310 ms" },
    ]);
  });

  it("uses the Server-Timing header if there is no record", () => {
    expect(joinTimings(statsAfter(answered))).toEqual([
      { name: "queue", service: "1 ms", browser: null },
      { name: "prefill", service: "30 ms", browser: null },
      { name: "TTFT", service: null, browser: "200 ms" },
      { name: "speed", service: null, browser: "100 tok/s" },
      { name: "total", service: null, browser: "310 ms" },
    ]);
  });
});
