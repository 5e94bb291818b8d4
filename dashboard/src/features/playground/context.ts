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
export function readContext({ used, max }: ContextUse, maxTokens: number | null): ContextReading {
  const left = max - used;
  const words = `${used.toLocaleString("en")} of ${max.toLocaleString("en")} tokens`;
  const share = Math.min(1, used / max);
  if (left < 1) {
    const detail = "The conversation no longer fits: edit an earlier message or start a new one.";
    return { words, detail, tone: "bad", share };
  }
  if (maxTokens !== null && maxTokens > left) {
    const detail = `Only ${left} tokens are left, but max tokens is ${maxTokens}: the service will refuse the request.`;
    return { words, detail, tone: "bad", share };
  }
  const detail = `${left.toLocaleString("en")} tokens are left for the answer and later messages.`;
  return { words, detail, tone: share >= NEARLY_FULL ? "warn" : "plain", share };
}
