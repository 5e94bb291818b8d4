/** What is wrong by the rules of Prometheus; nothing is known without one. */

import { useHasScope, useLiveQuery } from "./live";
import type { Alert, Alerts } from "./types";

const ALERTS_MILLISECONDS = 10_000;

/** Alerts that fire now, the urgent ones first; empty also where nobody can tell. */
export function useFiringAlerts(): Alert[] {
  const isEnabled = useHasScope("metrics");
  const { data } = useLiveQuery<Alerts>("alerts", "/api/alerts", ALERTS_MILLISECONDS, {
    isEnabled,
  });
  const firing = data?.alerts.filter((alert) => alert.state === "firing") ?? [];
  return firing.sort((a, b) => a.severity.localeCompare(b.severity));
}
