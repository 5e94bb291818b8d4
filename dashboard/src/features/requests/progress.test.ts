import { expect, it } from "vitest";
import type { RunningRequest } from "../../api/types";
import { progressOf } from "./progress";

const request: RunningRequest = {
  request_id: "req-a",
  operation: "chat",
  key_name: "ada",
  model: "pocket",
  stream: true,
  started_at: 0,
  phase: "prefill",
  prompt_tokens: 400,
  num_computed_tokens: 100,
  output_tokens: 0,
  max_tokens: 64,
  queue_seconds: 0,
  ttft_seconds: null,
  elapsed_seconds: 1,
};

it("counts prompt tokens while it reads and answer tokens while it writes", () => {
  expect(progressOf(request)).toEqual({ share: 0.25, words: "100 of 400 prompt tokens" });
  expect(progressOf({ ...request, phase: "decode", output_tokens: 16 })).toEqual({
    share: 0.25,
    words: "16 of at most 64 tokens",
  });
  expect(progressOf({ ...request, phase: "queue" }).share).toBe(0);
});
