/** How much of the model's context a conversation fills. */

export interface ContextUse {
  /** Prompt tokens of the next request, with what the streaming answer has added. */
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

/** From here on it is worth a word. */
const NEARLY_FULL = 0.85;

/** `maxTokens` is what the settings allow the answer; null leaves it the rest. */
export function readContext({ used, max }: ContextUse, maxTokens: number | null): ContextReading {
  const left = max - used;
  const words = `${used.toLocaleString("en")} of ${max.toLocaleString("en")} tokens`;
  const share = Math.min(1, used / max);
  if (left < 1) {
    const detail = "The conversation no longer fits: edit an earlier message or start anew.";
    return { words, detail, tone: "bad", share };
  }
  if (maxTokens !== null && maxTokens > left) {
    const detail = `Only ${left} tokens are left, and max tokens asks for ${maxTokens}: the service will refuse.`;
    return { words, detail, tone: "bad", share };
  }
  const detail = `${left.toLocaleString("en")} tokens are left for the answer and what follows.`;
  return { words, detail, tone: share >= NEARLY_FULL ? "warn" : "plain", share };
}
