/** Groups conversations by the day of their last message. */

import type { Conversation } from "./kept";

export interface DayGroup<T> {
  day: string;
  entries: T[];
}

const DAY_MILLISECONDS = 86_400_000;

export function groupByDay<T extends { conversation: Conversation }>(
  entries: T[],
  now: number,
): DayGroup<T>[] {
  const groups: DayGroup<T>[] = [];
  for (const entry of entries) {
    const day = dayName(entry.conversation.updatedAt, now);
    const last = groups.at(-1);
    if (last?.day === day) last.entries.push(entry);
    else groups.push({ day, entries: [entry] });
  }
  return groups;
}

function dayName(at: number, now: number): string {
  const today = new Date(now).setHours(0, 0, 0, 0);
  if (at >= today) return "Today";
  // Half a day before midnight is always yesterday, even if a day has 23 or 25 hours.
  if (at >= new Date(today - DAY_MILLISECONDS / 2).setHours(0, 0, 0, 0)) return "Yesterday";
  if (at >= today - 7 * DAY_MILLISECONDS) return "Last 7 days";
  return "Earlier";
}
