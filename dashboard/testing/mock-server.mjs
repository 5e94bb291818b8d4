/**
 * A mock of the service: serves dist/ and made-up numbers, for tests of the pages. mock-chat.mjs
 * says how it answers.
 *
 * Keys: "demo" has every scope, "watcher" metrics, "chat-only" inference; others are refused.
 * MOCK_PORT (0 means any free port) and MOCK_STATE set the port and the state:
 * ready, loading, idle, alert, open ("open" requires no key), or an incident of mock-now.mjs.
 */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { CONTENT_POLICY } from "./content-policy.mjs";
import { buildAlerts, buildRunbook } from "./mock-alerts.mjs";
import { MODELS, MockChat } from "./mock-chat.mjs";
import { MockCompletions } from "./mock-completions.mjs";
import { buildEvents } from "./mock-events.mjs";
import { buildEngine } from "./mock-engine.mjs";
import { refuse, sendJson } from "./mock-http.mjs";
import { MockKeys } from "./mock-keys.mjs";
import { buildNow, isIncident } from "./mock-now.mjs";
import { MockRequests } from "./mock-requests.mjs";
import { buildSeries } from "./mock-series.mjs";

const PORT = Number(process.env.MOCK_PORT ?? 8099);
const ASKED_STATE = process.env.MOCK_STATE ?? "ready";
const IS_FIRING = ASKED_STATE === "alert";
const IS_OPEN = ASKED_STATE === "open";
const STATE = ["loading", "idle"].includes(ASKED_STATE)
  ? ASKED_STATE
  : ASKED_STATE === "stalled"
    ? "idle"
    : "ready";
let incident = isIncident(ASKED_STATE) ? ASKED_STATE : "";
const STARTED_AT = Date.now() / 1000 - 1800;
const MIB = 1024 * 1024;
const KEYS = new MockKeys();
const COMPLETIONS = new MockCompletions();
const REQUESTS = new MockRequests(STATE === "ready");
const CHAT = new MockChat(REQUESTS);
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
  // Tests stage one incident after the other in an open page.
  if (url.pathname.startsWith("/mock/incident/")) {
    incident = url.pathname.split("/").at(-1);
    return sendJson(response, 200, { incident });
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
    return sendJson(response, 200, { object: "list", data: MODELS });
  if (url.pathname === "/tokenize") {
    return CHAT.tokenize(response, await readBody(request));
  }
  if (url.pathname === "/v1/chat/completions") {
    return CHAT.answer(response, await readBody(request));
  }
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
  if (url.pathname === "/api/now") {
    return sendJson(response, 200, buildNow(incident, now()));
  }
  if (url.pathname === "/api/engine")
    return sendJson(response, 200, buildEngine(STATE !== "loading"));
  if (url.pathname === "/api/alerts") return sendJson(response, 200, buildAlerts(now(), IS_FIRING));
  if (url.pathname.startsWith("/api/runbooks/")) {
    return sendJson(response, 200, buildRunbook(url.pathname.split("/").at(-1)));
  }
  const window = windowOf(url);
  if (url.pathname === "/api/events") {
    return sendJson(response, 200, { events: buildEvents(STARTED_AT) });
  }
  if (url.pathname === "/api/requests") {
    return sendJson(response, 200, {
      replica: "mock-1",
      running: [...REQUESTS.running(), ...COMPLETIONS.running()],
      requests: REQUESTS.finished(Number(url.searchParams.get("limit") ?? 50), window),
      refused: REQUESTS.refused(window),
      complete_since: now() - 3000,
    });
  }
  if (url.pathname.startsWith("/api/requests/")) {
    return findRequest(decodeURIComponent(url.pathname.split("/").at(-1)), response);
  }
  const [start, end] = window ?? [
    now() - Number(url.searchParams.get("range_seconds") ?? 300),
    now(),
  ];
  const source =
    ASKED_STATE === "young"
      ? { kind: "prometheus", since: now() - 90, maxRangeSeconds: 604_800 }
      : { kind: "history", since: STARTED_AT, maxRangeSeconds: 3600 };
  const series = buildSeries({
    rangeSeconds: Math.round(end - start),
    now: end,
    hasTraffic: STATE === "ready",
    keyName: url.searchParams.get("key_name"),
    ...source,
  });
  sendJson(response, 200, series);
}

/** The window that a URL asks for, or null. */
function windowOf({ searchParams }) {
  if (!searchParams.has("start")) return null;
  return [Number(searchParams.get("start")), Number(searchParams.get("end"))];
}

const server = createServer((request, response) => void route(request, response));
server.listen(PORT, "127.0.0.1", () => {
  console.log(`mock service on http://127.0.0.1:${server.address().port}`);
});
