import { describe, expect, it } from "vitest";
import { firingRules } from "./alerts";
import type { Alert } from "./types";

describe("alerts", () => {
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
