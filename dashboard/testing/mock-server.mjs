/**
 * A stand-in for the service: serves dist/ and made-up numbers, for tests of the screens.
 *
 * Keys: "demo" may do all; "chat-only" lacks the scope metrics; all others are refused.
 * Words in a message choose the answer: "limit", "busy", "cut", "slow"; else it is echoed.
 * MOCK_PORT, MOCK_STATE=ready|loading|idle choose the port and the state.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { CONTENT_POLICY } from "./content-policy.mjs";
import { buildSeries } from "./mock-series.mjs";

const PORT = Number(process.env.MOCK_PORT ?? 8099);
const STATE = process.env.MOCK_STATE ?? "ready";
const STARTED_AT = Date.now() / 1000 - 1800;
const MIB = 1024 * 1024;
const SCOPES = { demo: ["inference", "metrics", "admin"], "chat-only": ["inference"] };
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

async function chat(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { messages } = JSON.parse(Buffer.concat(chunks).toString());
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
  if (!/^\/(api|v1)\//.test(url.pathname)) return serveFile(url.pathname, response);
  const key = request.headers.authorization?.replace("Bearer ", "") ?? "";
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
    return sendJson(response, 200, { object: "list", data: [{ id: "pocket" }] });
  if (url.pathname === "/v1/chat/completions") return chat(request, response);
  if (!SCOPES[key].includes("metrics")) {
    return refuse(
      response,
      403,
      "permission_error",
      "missing_scope",
      `The key "${key}" lacks the scope metrics.`,
    );
  }
  if (url.pathname === "/api/requests") {
    return sendJson(response, 200, {
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

createServer((request, response) => void route(request, response)).listen(PORT, "127.0.0.1", () => {
  console.log(`mock service on http://127.0.0.1:${PORT}`);
});
