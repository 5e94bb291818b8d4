/** The progress of a running request. */

import type { RunningRequest } from "../../api/types";

export interface Progress {
  /** The part of its current phase that is done, from 0 to 1. */
  share: number;
  words: string;
}

export function progressOf(request: RunningRequest): Progress {
  const { phase, prompt_tokens, num_computed_tokens, output_tokens, max_tokens } = request;
  if (phase === "queue") return { share: 0, words: "waiting for a slot" };
  if (phase === "prefill") {
    const words = `${num_computed_tokens} of ${prompt_tokens} prompt tokens`;
    return { share: shareOf(num_computed_tokens, prompt_tokens), words };
  }
  const words = `${output_tokens} of at most ${max_tokens} tokens`;
  return { share: shareOf(output_tokens, max_tokens), words };
}

function shareOf(done: number, all: number): number {
  return all > 0 ? Math.min(1, done / all) : 0;
}
