/** How much of the model's context a conversation uses. */

export interface ContextUse {
  /** Prompt tokens of the next request, including the streaming answer so far. */
  used: number;
  max: number;
}

export type ContextTone = "plain" | "warn" | "bad";

export interface ContextReading {
  words: string;
  detail: string;
  tone: ContextTone;
  /** 0 to 1. */
  share: number;
}

/** From this share on, the meter warns. */
const NEARLY_FULL = 0.85;

/** `maxTokens` limits the answer; null lets it use the rest of the context. */
export function readContext(use: ContextUse, maxTokens: number | null): ContextReading {
  const { used, max } = use;
  const left = max - used;
  const words = `${count(used)} of ${count(max)} tokens`;
  const share = Math.min(1, used / max);
  const excess = findExcess(use, maxTokens);
  if (excess !== null) return { words, detail: excess, tone: "bad", share };
  const detail = `${count(left)} tokens are left for the answer and later messages.`;
  return { words, detail, tone: share >= NEARLY_FULL ? "warn" : "plain", share };
}

/** By how much the next request is too long for the model, in words; null if it fits. */
export function findExcess({ used, max }: ContextUse, maxTokens: number | null): string | null {
  const left = max - used;
  if (left < 1) {
    const words = `Too long by ${tokens(1 - left)}: the model takes ${count(max)}, with one for the answer.`;
    return `${words} Shorten the message, or start a new conversation.`;
  }
  if (maxTokens !== null && maxTokens > left) {
    const words = `Too long by ${tokens(maxTokens - left)}: only ${count(left)} are left for the answer`;
    return `${words}, but max tokens is ${count(maxTokens)}.`;
  }
  return null;
}

/**
 * The number of tokens in the service's refusal to count a text that is far too long; null in any
 * other error. "... resulted in at least 9000 tokens ..."
 */
export function readRefusedCount(message: string): number | null {
  const digits = /resulted in (?:at least )?(\d+) tokens/.exec(message)?.[1];
  return digits === undefined ? null : Number(digits);
}

function tokens(number: number): string {
  return number === 1 ? "1 token" : `${count(number)} tokens`;
}

function count(number: number): string {
  return number.toLocaleString("en");
}
