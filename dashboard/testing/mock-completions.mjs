/** Streamed completions of the mock service, as the benchmark asks for them. */

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class MockCompletions {
  #running = new Map();

  /** As in /api/requests. */
  running() {
    return [...this.#running.values()];
  }

  /** One event per token of each prompt. A token takes a millisecond for each prompt. */
  async answer({ prompt, max_tokens, model }, id, keyName, response) {
    const entry = runningEntry(id, keyName, model, prompt.length, max_tokens);
    this.#running.set(id, entry);
    response.on("close", () => this.#running.delete(id));
    response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": id });
    const send = (body) => response.write(`data: ${JSON.stringify(body)}\n\n`);
    for (let token = 1; token <= max_tokens; token++) {
      await wait(prompt.length);
      if (response.destroyed) return;
      for (const index of prompt.keys()) {
        const reason = token === max_tokens ? "length" : null;
        send({ choices: [{ index, text: "x", finish_reason: reason }] });
      }
    }
    const tokens = {
      prompt_tokens: 60 * prompt.length,
      completion_tokens: max_tokens * prompt.length,
    };
    send({ choices: [], usage: tokens });
    response.end("data: [DONE]\n\n");
  }
}

function runningEntry(id, keyName, model, numPrompts, maxTokens) {
  return {
    request_id: id,
    operation: "completion",
    key_name: keyName,
    model,
    stream: true,
    started_at: Date.now() / 1000,
    phase: "decode",
    prompt_tokens: 60 * numPrompts,
    num_computed_tokens: 60 * numPrompts,
    output_tokens: 1,
    max_tokens: maxTokens * numPrompts,
    queue_seconds: 0.001,
    ttft_seconds: 0.01,
    elapsed_seconds: 0.1,
  };
}
