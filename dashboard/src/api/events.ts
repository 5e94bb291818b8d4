/** What happened to the service, for the marks on charts. */

import { useMemo } from "react";
import { marksOf, type Mark } from "../lib/marks";
import { useFiringAlerts } from "./alerts";
import { getEvents } from "./endpoints";
import { useHasScope, useLive, useLiveQuery } from "./live";

const EVENTS_MILLISECONDS = 10_000;

export function useMarks(): Mark[] {
  const { status } = useLive().connection;
  const isEnabled = useHasScope("metrics");
  const { data } = useLiveQuery(["events"], getEvents, EVENTS_MILLISECONDS, { isEnabled });
  const alerts = useFiringAlerts();
  const startedAt = status?.started_at ?? 0;
  const names = alerts.map(({ name, since }) => `${name} ${since ?? ""}`).join();
  // The list of alerts is a new one at each render.
  return useMemo(() => marksOf(data?.events ?? [], alerts, startedAt), [data, names, startedAt]);
}
