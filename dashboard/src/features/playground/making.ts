/** Describes the settings that an answer was made with. */

import type { Making } from "./conversation";

/** "pocket · Tutor · temperature 0.7" */
export function listMaking({ model, preset, system, sampling, reasoningEffort }: Making): string[] {
  const parts = [model];
  if (system.trim() !== "") parts.push(preset === "Own" ? "own system prompt" : preset);
  for (const [name, value] of Object.entries(sampling)) {
    if (value === null) continue;
    const words = Array.isArray(value)
      ? value.map((stop) => JSON.stringify(stop)).join(", ")
      : value;
    parts.push(`${name.replaceAll("_", " ")} ${words}`);
  }
  if (reasoningEffort !== null) parts.push(`reasoning effort ${reasoningEffort}`);
  return parts;
}

/** What is special about one of the answers; its model if nothing is. */
export function describeMaking(makings: (Making | null)[], index: number): string {
  const lists = makings.map((making) => (making ? listMaking(making) : ["unknown settings"]));
  const own = lists[index] ?? [];
  const special = own.filter((part) => !lists.every((list) => list.includes(part)));
  const isSameModel = special[0] !== own[0];
  if (special.length === 0)
    return `${own[0] ?? ""} · ${own.length > 1 ? "same settings" : "default settings"}`;
  return isSameModel ? [own[0], ...special].join(" · ") : special.join(" · ");
}
