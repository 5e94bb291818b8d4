import { describe, expect, it } from "vitest";
import type { Alert, ServiceEvent } from "../api/types";
import { marksIn, marksOf } from "./marks";

const limit: ServiceEvent = { at: 50, kind: "limit", words: "The limit of ada was changed." };
const alert = { name: "RedisDown", since: 40, summary: "Redis is away." } as Alert;

describe("marks", () => {
  it("are events, firing alerts and the start, in the order of time", () => {
    const marks = marksOf([limit], [alert, { ...alert, since: null }], 10);
    expect(marks.map(({ at, label, words }) => [at, label, words])).toEqual([
      [10, "start", "The service started."],
      [40, "alert", "RedisDown: Redis is away."],
      [50, "limit", "The limit of ada was changed."],
    ]);
  });

  it("do not mark the start twice", () => {
    const start: ServiceEvent = { at: 11, kind: "start", words: "The service started (1)." };
    expect(marksOf([start], [], 10)).toHaveLength(1);
  });

  it("of a window are those in it", () => {
    expect(marksIn(marksOf([limit], [alert], 10), [40, 49]).map(({ at }) => at)).toEqual([40]);
  });
});
