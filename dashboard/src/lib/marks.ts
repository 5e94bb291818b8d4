/** The marks on charts: what happened to the service, and since when alerts fire. */

import type { Alert, ServiceEvent } from "../api/types";

export interface Mark {
  at: number;
  /** A word that is drawn beside the line. */
  label: string;
  /** A sentence. */
  words: string;
  tone: "plain" | "bad";
}

/** Oldest first. The start of the service is marked even if its events no longer tell it. */
export function marksOf(events: ServiceEvent[], alerts: Alert[], startedAt: number): Mark[] {
  const marks: Mark[] = events.map(({ at, kind, words }) => {
    return { at, label: kind, words, tone: kind === "restart" ? "bad" : "plain" };
  });
  if (startedAt > 0 && !events.some(({ kind }) => kind === "start")) {
    marks.push({ at: startedAt, label: "start", words: "The service started.", tone: "plain" });
  }
  for (const { name, since, summary } of alerts) {
    if (since === null) continue;
    marks.push({ at: since, label: "alert", words: `${name}: ${summary}`, tone: "bad" });
  }
  return marks.sort((a, b) => a.at - b.at);
}

export function marksIn(marks: Mark[], [from, to]: [number, number]): Mark[] {
  return marks.filter(({ at }) => at >= from && at <= to);
}
