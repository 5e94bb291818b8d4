/** Groups conversations by the day of their last message. */

import type { Conversation } from "./kept";

export interface DayGroup {
  day: string;
  conversations: Conversation[];
}

const DAY_MILLISECONDS = 86_400_000;

export function groupByDay(conversations: Conversation[], now: number): DayGroup[] {
  const groups: DayGroup[] = [];
  for (const conversation of conversations) {
    const day = dayName(conversation.updatedAt, now);
    const last = groups.at(-1);
    if (last?.day === day) last.conversations.push(conversation);
    else groups.push({ day, conversations: [conversation] });
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
