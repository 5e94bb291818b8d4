import { describe, expect, it } from "vitest";
import { firingRules, keepKnown } from "./alerts";
import type { Alert, Alerts } from "./types";

const none: Alerts = {
  source: "none",
  reason: "Prometheus did not answer within 5 s.",
  now: 2000,
  objectives: [],
  alerts: [],
};
const known: Alerts = { ...none, source: "prometheus", reason: "", now: 1000 };

describe("alerts", () => {
  it("keep their last known state while Prometheus is away, with the reason", () => {
    expect(keepKnown(known, none)).toEqual({ ...known, reason: none.reason });
    expect(keepKnown(keepKnown(known, none), { ...known, now: 3000 }).reason).toBe("");
  });

  it("are unknown without Prometheus", () => {
    expect(keepKnown(undefined, none)).toBe(none);
  });

  it("are named once by their most urgent severity, however many keys they concern", () => {
    const alertOf = (name: string, severity: string, state = "firing") =>
      ({ name, severity, state }) as Alert;
    const alerts = [
      alertOf("RateLimitSurge", "ticket"),
      alertOf("RateLimitSurge", "ticket"),
      alertOf("AvailabilityBurn", "ticket"),
      alertOf("AvailabilityBurn", "page"),
      alertOf("RedisDown", "ticket", "pending"),
    ];
    expect(firingRules(alerts)).toEqual([
      alertOf("AvailabilityBurn", "page"),
      alertOf("RateLimitSurge", "ticket"),
    ]);
  });
});
