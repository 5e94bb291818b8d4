/** What is wrong by the rules of Prometheus; nothing is known without one. */

import type { UseQueryResult } from "@tanstack/react-query";
import { getAlerts } from "./endpoints";
import { useHasScope, useLiveQuery } from "./live";
import type { Alert, Alerts } from "./types";

const ALERTS_MILLISECONDS = 10_000;

export function useAlerts(isEnabled = true): UseQueryResult<Alerts> {
  return useLiveQuery(["alerts"], getAlerts, ALERTS_MILLISECONDS, {
    combine: keepKnown,
    isEnabled,
  });
}

/** While Prometheus does not answer, what it said last stays, with the reason beside it. */
export function keepKnown(previous: Alerts | undefined, next: Alerts): Alerts {
  const isLost = next.source === "none" && previous?.source === "prometheus";
  return isLost ? { ...previous, reason: next.reason } : next;
}

/** What fires now, each rule once, the urgent first; empty also where nobody can tell. */
export function useFiringAlerts(): Alert[] {
  const { data } = useAlerts(useHasScope("metrics"));
  return firingRules(data?.alerts ?? []);
}

/** A rule fires for each key or instance apart, and as a page and a ticket: it is named once. */
export function firingRules(alerts: Alert[]): Alert[] {
  const firing = alerts
    .filter((alert) => alert.state === "firing")
    .sort((a, b) => a.severity.localeCompare(b.severity));
  return firing.filter(({ name }, i) => firing.findIndex((other) => other.name === name) === i);
}
