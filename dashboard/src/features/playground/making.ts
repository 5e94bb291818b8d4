/** Describes the settings that an answer was made with. */

import type { Making } from "./conversation";

/** "pocket · Tutor · temperature 0.7" */
export function listMaking({ model, preset, system, sampling, reasoningEffort }: Making): string[] {
  const parts = [model];
  if (system.trim() !== "") parts.push(preset === "Own" ? "own system prompt" : preset);
  for (const [name, value] of Object.entries({ ...sampling })) {
    if (value === null) continue;
    const words = Array.isArray(value)
      ? value.map((stop) => JSON.stringify(stop)).join(", ")
      : value;
    parts.push(`${name.replaceAll("_", " ")} ${words}`);
  }
  if (reasoningEffort !== null) parts.push(`reasoning effort ${reasoningEffort}`);
  return parts;
}

/** The model of one of the answers, and what is special about it; all of its settings if nothing is. */
export function describeMaking(makings: (Making | null)[], index: number): string {
  const lists = makings.map((making) => (making ? listMaking(making) : ["unknown settings"]));
  const [model = "", ...own] = lists[index] ?? [];
  const special = own.filter((part) => !lists.every((list) => list.includes(part)));
  const named = special.length > 0 ? special : own;
  const isModelSpecial = !lists.every((list) => list[0] === model);
  if (named.length === 0 && !isModelSpecial) return `${model} · default settings`;
  return [model, ...named].join(" · ");
}
