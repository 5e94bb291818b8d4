/** Small example answers about alerts, for tests. */

import type { Alert, Alerts, Objective } from "../../api/types";

export function objectiveOf(some: Partial<Objective> = {}): Objective {
  return {
    name: "availability",
    title: "99 % of requests are answered",
    target: 0.99,
    window_seconds: 604_800,
    good_ratio: 0.998,
    budget_left_ratio: 0.8,
    num_requests: 12_345,
    burn_rates: ["5m", "1h", "30m", "6h", "2h", "1d", "3d"].map((window) => ({
      window,
      value: 0.2,
    })),
    history: { times: [1000, 1900, 2800], budget_left: [1, 0.9, 0.8] },
    ...some,
  };
}

export function alertOf(some: Partial<Alert> = {}): Alert {
  return {
    name: "QueueNearFull",
    severity: "ticket",
    state: "inactive",
    since: null,
    value: "",
    summary: "The queue is nearly full",
    description: "",
    runbook_url: "docs/runbooks.md#queuenearfull",
    query: "llm_requests_waiting / llm_queue_capacity > 0.8",
    ...some,
  };
}

export function answerOf(some: Partial<Alerts> = {}): Alerts {
  return {
    source: "prometheus",
    reason: "",
    now: 2800,
    objectives: [objectiveOf()],
    alerts: [alertOf()],
    ...some,
  };
}
