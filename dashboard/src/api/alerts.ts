/** The alerts and objectives: those of Prometheus, or of the service's own last hour. */

import type { UseQueryResult } from "@tanstack/react-query";
import { getAlerts } from "./endpoints";
import { useHasScope, useLiveQuery } from "./live";
import type { Alert, Alerts } from "./types";

const ALERTS_MILLISECONDS = 10_000;

export function useAlerts(isEnabled = true): UseQueryResult<Alerts> {
  return useLiveQuery(["alerts"], getAlerts, ALERTS_MILLISECONDS, { isEnabled });
}

/** The firing rules, each once, the most urgent first; empty also if they are unknown. */
export function useFiringAlerts(): Alert[] {
  const { data } = useAlerts(useHasScope("metrics"));
  return firingRules(data?.alerts ?? []);
}

/** Each firing rule once, although it may fire per key or instance, as a page and as a ticket. */
export function firingRules(alerts: Alert[]): Alert[] {
  const firing = alerts
    .filter((alert) => alert.state === "firing")
    .sort((a, b) => a.severity.localeCompare(b.severity));
  return firing.filter(({ name }, i) => firing.findIndex((other) => other.name === name) === i);
}
