/**
 * A stand-in for the service: serves dist/ and made-up numbers, for tests of the screens.
 *
 * Keys: "demo" may do all, "watcher" only look, "chat-only" only chat; all others are refused.
 * Words in a message choose the answer: "limit", "busy", "cut", "slow"; else it is echoed.
 * MOCK_PORT (0: any that is free) and MOCK_STATE=ready|loading|idle|alert|open choose the port and
 * the state; "open" asks for no key.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { CONTENT_POLICY } from "./content-policy.mjs";
import { buildAlerts, buildRunbook } from "./mock-alerts.mjs";
import { buildEngine } from "./mock-engine.mjs";
import { MockKeys } from "./mock-keys.mjs";
import { buildSeries } from "./mock-series.mjs";

const PORT = Number(process.env.MOCK_PORT ?? 8099);
const ASKED_STATE = process.env.MOCK_STATE ?? "ready";
const IS_FIRING = ASKED_STATE === "alert";
const IS_OPEN = ASKED_STATE === "open";
const STATE = IS_FIRING || IS_OPEN ? "ready" : ASKED_STATE;
const STARTED_AT = Date.now() / 1000 - 1800;
const MIB = 1024 * 1024;
const KEYS = new MockKeys();
const SCOPES = {
  demo: ["inference", "metrics", "admin"],
  watcher: ["metrics"],
  "chat-only": ["inference"],
  ...(IS_OPEN ? { anonymous: ["inference", "metrics"] } : {}),
};
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

const now = () => Date.now() / 1000;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

function refuse(response, status, type, code, message, headers = {}) {
  sendJson(response, status, { error: { message, type, param: null, code } }, headers);
}

function buildStatus(key) {
  const isReady = STATE !== "loading";
  return {
    version: "0.1.0",
    now: now(),
    started_at: STARTED_AT,
    health: { is_ready: isReady, reason: isReady ? "" : "loading the model" },
    requires_keys: !IS_OPEN,
    key: { name: key, scopes: SCOPES[key], rpm: 600 },
    model: isReady
      ? {
          id: "pocket",
          is_demonstration: true,
          summary:
            "pocket: a 6 M-parameter demonstration model. Set LLM_MODEL_ID to serve another.",
          architecture: "Qwen2ForCausalLM",
          num_parameters: 6012345,
          device: "cpu",
          dtype: "float32",
          quantization: "none",
          engine: "batched",
          max_context: 2048,
          notes: [],
        }
      : null,
    engine: isReady
      ? {
          num_running: STATE === "idle" ? 0 : 5 + Math.round(3 * Math.sin(now() / 9)),
          num_waiting: 0,
          max_batch_size: 16,
          max_waiting: 256,
          kv_cache_used_bytes: 40 * MIB,
          kv_cache_bytes: 256 * MIB,
          threads: 2,
          num_restarts: 0,
        }
      : null,
    limits: { storage: "in-process" },
  };
}

function buildRequests(limit) {
  if (STATE !== "ready") return [];
  const outcomes = ["stop", "stop", "length", "stop", "rejected", "stop", "cancelled", "error"];
  const newest = Math.floor(now() / 3);
  return Array.from({ length: limit }, (_, i) => {
    const n = newest - i;
    const outcome = outcomes[n % outcomes.length];
    const hasRun = outcome !== "rejected";
    const decode = 0.2 + ((n * 37) % 60) / 100;
    return {
      request_id: `req-${n}`,
      started_at: n * 3,
      key_name: n % 3 ? "demo" : "batch-jobs",
      operation: n % 5 ? "chat" : "completion",
      model: "pocket",
      stream: n % 2 === 0,
      outcome,
      prompt_tokens: 20 + (n % 40),
      cached_tokens: hasRun ? 16 : 0,
      output_tokens: hasRun ? 30 + (n % 50) : 0,
      queue_seconds: hasRun ? 0.004 * (n % 9) : null,
      prefill_seconds: hasRun ? 0.03 + 0.01 * (n % 4) : null,
      decode_seconds: hasRun ? decode : null,
      ttft_seconds: hasRun ? 0.03 + 0.014 * (n % 4) : null,
      duration_seconds: hasRun ? decode + 0.06 : 0.001,
      error_kind: outcome === "rejected" ? "rate_limit" : outcome === "error" ? "internal" : null,
      error_phase: outcome === "rejected" ? "admission" : outcome === "error" ? "decode" : null,
    };
  });
}

const cancelled = new Set();

/** One in each phase, until it is cancelled. */
function buildRunning() {
  if (STATE !== "ready") return [];
  const common = { operation: "chat", model: "pocket", stream: true, max_tokens: 256 };
  const started_at = now() - 3.2;
  const running = [
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
  return running.filter((request) => !cancelled.has(request.request_id));
}

function cancel(id, response) {
  if (!buildRunning().some((request) => request.request_id === id)) {
    const words = "It is not running: it ended, or there never was one of this id.";
    return refuse(response, 404, "invalid_request_error", "not_found", words);
  }
  cancelled.add(id);
  sendJson(response, 202, { request_id: id, outcome: "cancelled" });
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text === "" ? null : JSON.parse(text);
}

async function manageKeys(request, path, response) {
  const [status, body] = KEYS.answer(request.method, path, await readBody(request));
  if (status < 400) return sendJson(response, status, body);
  refuse(response, status, "invalid_request_error", "refused", body);
}

const MODEL = {
  id: "pocket",
  max_model_len: 2048,
  default_sampling: { temperature: 0.3, top_p: 0.9, top_k: 20, min_p: 0 },
};

/** A token for each word. */
async function tokenize(request, response) {
  const { messages } = await readBody(request);
  const words = messages.flatMap((message) => message.content.match(/\S+/g) ?? []);
  sendJson(response, 200, { tokens: [], count: words.length, max_model_len: MODEL.max_model_len });
}

async function chat(request, response) {
  const { messages } = await readBody(request);
  const text = messages.at(-1).content;
  if (text.includes("limit")) {
    const words = "The key has spent its 600 requests of this minute.";
    return refuse(response, 429, "rate_limit_error", "rate_limit_exceeded", words, {
      "retry-after": "12",
    });
  }
  if (text.includes("busy")) {
    const words = "The queue is full: 256 requests are waiting.";
    return refuse(response, 503, "server_error", "overloaded", words, { "retry-after": "3" });
  }
  const system = messages.find((message) => message.role === "system");
  const answer = `You said: ${text}\n\n\`\`\`python\nprint("${messages.length} messages")\n\`\`\`\n${system ? `System: ${system.content}` : "No system prompt."}`;
  await streamAnswer(response, answer, text);
}

async function streamAnswer(response, answer, question) {
  const pieces = answer.match(/\s*\S+/g) ?? [];
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "x-request-id": `req-${Date.now().toString(36)}`,
    "server-timing": "queue;dur=1.2, prefill;dur=30.1",
  });
  const send = (body) => response.write(`data: ${JSON.stringify(body)}\n\n`);
  await wait(80);
  for (const [i, content] of pieces.entries()) {
    if (response.destroyed) return;
    if (question.includes("cut") && i === 2) return void response.destroy();
    send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
    await wait(question.includes("slow") ? 400 : 40);
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  const usage = {
    prompt_tokens: 24,
    completion_tokens: pieces.length,
    prompt_tokens_details: { cached_tokens: 16 },
  };
  send({ choices: [], usage });
  response.end("data: [DONE]\n\n");
}

async function serveFile(path, response) {
  const name = path === "/" ? "index.html" : path.slice(1);
  const file = new URL(`../dist/${name}`, import.meta.url);
  if (!file.pathname.includes("/dist/"))
    return refuse(response, 404, "not_found", "not_found", "No such file.");
  const body = await readFile(file).catch(() => null);
  if (!body) return refuse(response, 404, "not_found", "not_found", "No such file.");
  response.writeHead(200, {
    "content-type": TYPES[extname(name)] ?? "application/octet-stream",
    "content-security-policy": CONTENT_POLICY,
  });
  response.end(body);
}

async function route(request, response) {
  const url = new URL(request.url, "http://mock");
  if (url.pathname === "/" && !request.headers.accept?.includes("text/html")) {
    return sendJson(response, 200, { service: "llm_service", requires_keys: !IS_OPEN });
  }
  if (!/^\/(api|v1)\/|^\/tokenize$/.test(url.pathname)) return serveFile(url.pathname, response);
  const sent = request.headers.authorization?.replace("Bearer ", "") ?? "";
  const key = IS_OPEN && !(sent in SCOPES) ? "anonymous" : sent;
  if (!(key in SCOPES)) {
    return refuse(
      response,
      401,
      "authentication_error",
      "invalid_api_key",
      "This key is not one of ours, or it was revoked.",
    );
  }
  if (url.pathname === "/api/status") return sendJson(response, 200, buildStatus(key));
  if (url.pathname === "/v1/models")
    return sendJson(response, 200, { object: "list", data: [MODEL] });
  if (url.pathname === "/tokenize") return tokenize(request, response);
  if (url.pathname === "/v1/chat/completions") return chat(request, response);
  const isManaging = url.pathname.startsWith("/api/keys") || request.method === "DELETE";
  const scope = isManaging ? "admin" : "metrics";
  if (!SCOPES[key].includes(scope)) {
    return refuse(
      response,
      403,
      "permission_error",
      "missing_scope",
      `The key "${key}" lacks the scope ${scope}.`,
    );
  }
  if (url.pathname.startsWith("/api/keys")) return manageKeys(request, url.pathname, response);
  if (request.method === "DELETE") return cancel(url.pathname.split("/").at(-1), response);
  if (url.pathname === "/api/engine")
    return sendJson(response, 200, buildEngine(STATE !== "loading"));
  if (url.pathname === "/api/alerts") return sendJson(response, 200, buildAlerts(now(), IS_FIRING));
  if (url.pathname.startsWith("/api/runbooks/")) {
    return sendJson(response, 200, buildRunbook(url.pathname.split("/").at(-1)));
  }
  if (url.pathname === "/api/requests") {
    return sendJson(response, 200, {
      replica: "mock-1",
      running: buildRunning(),
      requests: buildRequests(Number(url.searchParams.get("limit") ?? 50)),
    });
  }
  const rangeSeconds = Number(url.searchParams.get("range_seconds") ?? 300);
  const hasTraffic = STATE === "ready";
  sendJson(
    response,
    200,
    buildSeries({ rangeSeconds, now: now(), since: STARTED_AT, hasTraffic, maxRangeSeconds: 3600 }),
  );
}

const server = createServer((request, response) => void route(request, response));
server.listen(PORT, "127.0.0.1", () => {
  console.log(`mock service on http://127.0.0.1:${server.address().port}`);
});
