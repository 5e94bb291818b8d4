/**
 * A mock of the service: serves dist/ and made-up numbers, for tests of the pages.
 *
 * Keys: "demo" has every scope, "watcher" metrics, "chat-only" inference; others are refused.
 * A message that contains "limit", "busy", "cut" or "slow" gets such an answer; others are echoed.
 * "think" adds reasoning. With tools, "weather" is answered by a call and "both" by two; with a
 * schema, "wrong" gets JSON that does not fit it, anything else JSON that fits the example.
 * MOCK_PORT (0 means any free port) and MOCK_STATE=ready|loading|idle|alert|open set the port and
 * the state; "open" requires no key.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { CONTENT_POLICY } from "./content-policy.mjs";
import { buildAlerts, buildRunbook } from "./mock-alerts.mjs";
import { MockCompletions } from "./mock-completions.mjs";
import { buildEngine } from "./mock-engine.mjs";
import { MockKeys } from "./mock-keys.mjs";
import { MockRequests } from "./mock-requests.mjs";
import { buildSeries } from "./mock-series.mjs";

const PORT = Number(process.env.MOCK_PORT ?? 8099);
const ASKED_STATE = process.env.MOCK_STATE ?? "ready";
const IS_FIRING = ASKED_STATE === "alert";
const IS_OPEN = ASKED_STATE === "open";
const STATE = IS_FIRING || IS_OPEN ? "ready" : ASKED_STATE;
const STARTED_AT = Date.now() / 1000 - 1800;
const MIB = 1024 * 1024;
const KEYS = new MockKeys();
const COMPLETIONS = new MockCompletions();
const REQUESTS = new MockRequests(STATE === "ready");
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

function findRequest(id, response) {
  const found = REQUESTS.find(id);
  if (found) return sendJson(response, 200, found);
  const words = `No request with the id '${id}' is running or among the last 1,000.`;
  refuse(response, 404, "invalid_request_error", "not_found", words);
}

function cancel(id, response) {
  if (REQUESTS.cancel(id)) return sendJson(response, 202, { request_id: id, outcome: "cancelled" });
  const words = `No request with the id '${id}' is running.`;
  refuse(response, 404, "invalid_request_error", "not_found", words);
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

/** Counts one token per word. */
async function tokenize(request, response) {
  const { messages } = await readBody(request);
  const words = messages.flatMap((message) => message.content?.match(/\S+/g) ?? []);
  sendJson(response, 200, { tokens: [], count: words.length, max_model_len: MODEL.max_model_len });
}

async function chat(request, response) {
  const body = await readBody(request);
  const { messages } = body;
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
  await streamAnswer(response, deltasOf(body, text), text);
}

/** The deltas of an answer. */
function deltasOf({ messages, tools, response_format }, text) {
  const thoughts = text.includes("think") ? "The user asks. **First** I think about it." : "";
  const reasoning = piecesOf(thoughts).map((piece) => ({ reasoning_content: piece }));
  const isResult = messages.at(-1).role === "tool";
  const { name } = tools?.[0].function ?? {};
  if (name && !isResult && /weather|both/.test(text)) {
    const cities = text.includes("both") ? ["Rome", "Oslo"] : ["Rome"];
    return [...reasoning, ...cities.flatMap((city, index) => callDeltas(index, name, { city }))];
  }
  const content = isResult
    ? `The tools said: ${messages.filter(({ role }) => role === "tool").map((m) => m.content)}`
    : response_format
      ? JSON.stringify({ name: "Ada", age: text.includes("wrong") ? "36" : 36 }, null, 1)
      : echoOf(messages, text);
  return [...reasoning, ...piecesOf(content).map((piece) => ({ content: piece }))];
}

function echoOf(messages, text) {
  const system = messages.find((message) => message.role === "system");
  return `You said: ${text}\n\n\`\`\`python\nprint("${messages.length} messages")\n\`\`\`\n${system ? `System: ${system.content}` : "No system prompt."}`;
}

function piecesOf(text) {
  return text.match(/\s*\S+/g) ?? [];
}

function callDeltas(index, name, args) {
  const first = { id: `call_${index}`, type: "function", function: { name, arguments: "" } };
  const others = JSON.stringify(args).match(/.{1,5}/g);
  return [first, ...others.map((piece) => ({ function: { arguments: piece } }))].map((call) => ({
    tool_calls: [{ index, ...call }],
  }));
}

async function streamAnswer(response, deltas, question) {
  const startedAt = now();
  const id = `req-${Date.now().toString(36)}`;
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "x-request-id": id,
    "server-timing": "queue;dur=1.2, prefill;dur=30.1",
  });
  const send = (body) => response.write(`data: ${JSON.stringify(body)}\n\n`);
  await wait(80);
  for (const [i, delta] of deltas.entries()) {
    if (response.destroyed) return;
    if (question.includes("cut") && i === 2) return void response.destroy();
    send({ choices: [{ index: 0, delta, finish_reason: null }] });
    await wait(question.includes("slow") ? 400 : 40);
  }
  const reason = deltas.some((delta) => delta.tool_calls) ? "tool_calls" : "stop";
  send({ choices: [{ index: 0, delta: {}, finish_reason: reason }] });
  const usage = {
    prompt_tokens: 24,
    completion_tokens: deltas.length,
    total_tokens: 24 + deltas.length,
    prompt_tokens_details: { cached_tokens: 16 },
    completion_tokens_details: {
      reasoning_tokens: deltas.filter((delta) => delta.reasoning_content).length,
    },
  };
  send({ choices: [], usage });
  REQUESTS.answered(id, startedAt, deltas.length);
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
  if (url.pathname === "/v1/completions") {
    const id = request.headers["x-request-id"] ?? "req-completion";
    return COMPLETIONS.answer(await readBody(request), id, key, response);
  }
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
      running: [...REQUESTS.running(), ...COMPLETIONS.running()],
      requests: REQUESTS.finished(Number(url.searchParams.get("limit") ?? 50)),
    });
  }
  if (url.pathname.startsWith("/api/requests/")) {
    return findRequest(decodeURIComponent(url.pathname.split("/").at(-1)), response);
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
