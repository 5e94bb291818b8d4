/** One streamed answer to several prompts at once. */

import { readChunks, StreamCut } from "./chunks";
import type { Call } from "./client";
import { openCompletionStream } from "./endpoints";
import type { CompletionRequest, Usage } from "./types";

/** Text of the answer to prompt `index` has come, or the usage of all answers together. */
export type CompletionEvent = { kind: "text"; index: number } | { kind: "usage"; usage: Usage };

interface Chunk {
  choices?: { index: number }[];
  usage?: Usage | null;
}

export async function* streamCompletions(
  call: Call,
  request: CompletionRequest,
  requestId: string,
): AsyncGenerator<CompletionEvent> {
  const { body } = await openCompletionStream(call, request, requestId);
  if (!body) throw new StreamCut();
  for await (const chunk of readChunks(body)) {
    const { choices, usage } = chunk as Chunk;
    for (const { index } of choices ?? []) yield { kind: "text", index };
    if (usage) yield { kind: "usage", usage };
  }
}
