/** The requests of the mock service: three running and a thousand finished ones. */

const now = () => Date.now() / 1000;

const NUM_KEPT = 1000;

export class MockRequests {
  #isBusy;
  #cancelled = new Set();
  /** The chats that this mock has answered, by request id. They can be found, but are not listed. */
  #answered = new Map();

  constructor(isBusy) {
    this.#isBusy = isBusy;
  }

  /** One request in each phase, without the cancelled ones. */
  running() {
    if (!this.#isBusy) return [];
    return buildRunning().filter((request) => !this.#cancelled.has(request.request_id));
  }

  /** Newest first; with a window, those that ran in it. Refused requests are not listed. */
  finished(limit, window = null) {
    if (!this.#isBusy) return [];
    const newest = Math.floor(now() / 3);
    const kept = Array.from({ length: NUM_KEPT }, (_, i) => buildFinished(newest - i));
    const [start, end] = window ?? [0, Infinity];
    const ran = kept.filter(
      (request) =>
        request.started_at <= end && request.started_at + request.duration_seconds >= start,
    );
    return ran.slice(0, limit);
  }

  /** Refused requests by key and reason. */
  refused(window = null) {
    if (!this.#isBusy) return [];
    const last_at = now() - 20;
    if (window && (window[0] > last_at || window[1] < last_at - 600)) return [];
    const fold = { first_at: last_at - 600, last_at, last_request_id: "refused-1" };
    return [
      { ...fold, key_name: "batch-jobs", reason: "rate_limit", count: 3200 },
      { ...fold, key_name: "demo", reason: "context_length", count: 2 },
    ];
  }

  find(id) {
    const known = [...this.running(), ...this.#answered.values(), ...this.finished(NUM_KEPT)];
    if (id === "refused-1") return { ...buildFinished(1), ...REFUSED, request_id: id };
    return known.find((request) => request.request_id === id);
  }

  /** Returns false if the request is not running. */
  cancel(id) {
    const isRunning = this.running().some((request) => request.request_id === id);
    if (isRunning) this.#cancelled.add(id);
    return isRunning;
  }

  answered(id, startedAt, numTokens) {
    const duration = now() - startedAt;
    this.#answered.set(id, {
      ...COMMON,
      request_id: id,
      started_at: startedAt,
      prompt_tokens: 24,
      output_tokens: numTokens,
      queue_seconds: 0.0012,
      prefill_seconds: 0.0301,
      decode_seconds: duration - 0.0313,
      ttft_seconds: 0.0313,
      duration_seconds: duration,
    });
  }
}

const COMMON = {
  key_name: "demo",
  operation: "chat",
  model: "pocket",
  stream: true,
  outcome: "stop",
  cached_tokens: 16,
  error_kind: null,
  error_phase: null,
};

const OUTCOMES = ["stop", "stop", "length", "stop", "timeout", "stop", "cancelled", "error"];

const REFUSED = {
  outcome: "rejected",
  output_tokens: 0,
  cached_tokens: 0,
  queue_seconds: null,
  prefill_seconds: null,
  decode_seconds: null,
  ttft_seconds: null,
  duration_seconds: 0.001,
  error_kind: "rate_limit",
  error_phase: "admission",
};

function buildFinished(n) {
  const outcome = OUTCOMES[n % OUTCOMES.length];
  const decode = 0.2 + ((n * 37) % 60) / 100;
  return {
    ...COMMON,
    request_id: `req-${n}`,
    started_at: n * 3,
    key_name: n % 3 ? "demo" : "batch-jobs",
    operation: n % 5 ? "chat" : "completion",
    stream: n % 2 === 0,
    outcome,
    prompt_tokens: 20 + (n % 40),
    cached_tokens: 16,
    output_tokens: 30 + (n % 50),
    queue_seconds: 0.004 * (n % 9),
    prefill_seconds: 0.03 + 0.01 * (n % 4),
    decode_seconds: decode,
    ttft_seconds: 0.03 + 0.014 * (n % 4),
    duration_seconds: decode + 0.06,
    error_kind: { timeout: "deadline", error: "internal" }[outcome] ?? null,
    error_phase: ["timeout", "error"].includes(outcome) ? "decode" : null,
  };
}

function buildRunning() {
  const common = { operation: "chat", model: "pocket", stream: true, max_tokens: 256 };
  const started_at = now() - 3.2;
  return [
    { request_id: "run-1", key_name: "demo", phase: "decode", output_tokens: 84 },
    { request_id: "run-2", key_name: "batch-jobs", phase: "prefill", num_computed_tokens: 512 },
    { request_id: "run-3", key_name: "batch-jobs", phase: "queue" },
  ].map((request) => ({
    ...common,
    started_at,
    prompt_tokens: 1200,
    num_computed_tokens: request.phase === "decode" ? 1200 : 0,
    output_tokens: 0,
    queue_seconds: request.phase === "queue" ? null : 0.021,
    ttft_seconds: request.phase === "decode" ? 0.84 : null,
    elapsed_seconds: 3.2,
    ...request,
  }));
}
