/** Reads the measurements of an imported answer. What is not as expected counts as not measured. */

import type { AnswerStats } from "./conversation";
import { isNumber } from "./import-values";
import { isObject } from "./reading";

const NUMBERS = [
  "sentAt",
  "firstTextAt",
  "lastTextAt",
  "reasoningFrom",
  "reasoningTo",
  "endedAt",
  "numPieces",
];

export function readStats(value: unknown): Partial<AnswerStats> {
  const kept = isObject(value) ? value : {};
  const stats: Record<string, unknown> = {};
  for (const name of NUMBERS) if (isNumber(kept[name])) stats[name] = kept[name];
  for (const name of ["requestId", "finishReason"]) {
    if (typeof kept[name] === "string") stats[name] = kept[name];
  }
  if (isObject(kept.timing)) {
    stats.timing = Object.fromEntries(Object.entries(kept.timing).filter(([, s]) => isNumber(s)));
  }
  if (isUsage(kept.usage)) stats.usage = kept.usage;
  if (isRecord(kept.record)) stats.record = kept.record;
  return stats;
}

function isUsage(value: unknown): boolean {
  if (!isObject(value) || !isNumber(value.prompt_tokens) || !isNumber(value.completion_tokens)) {
    return false;
  }
  const { prompt_tokens_details: prompt, completion_tokens_details: completion } = value;
  return (
    isObject(prompt) &&
    isNumber(prompt.cached_tokens) &&
    isObject(completion) &&
    isNumber(completion.reasoning_tokens)
  );
}

function isRecord(value: unknown): boolean {
  if (!isObject(value) || typeof value.request_id !== "string") return false;
  const names = [
    "queue_seconds",
    "prefill_seconds",
    "decode_seconds",
    "ttft_seconds",
    "duration_seconds",
  ];
  return (
    isNumber(value.output_tokens) &&
    names.every((name) => value[name] === null || isNumber(value[name]))
  );
}
