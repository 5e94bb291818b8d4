/**
 * A function per endpoint of the service, typed by its schema. No other file names a path.
 *
 * Each resolves with the body of a 2xx answer and otherwise throws ApiError or Unreachable.
 */

import { ApiError, clientFor, type Call } from "./client";
import type { paths } from "./schema";
import type {
  Alerts,
  ChatRequest,
  CompletionRequest,
  EnginePage,
  EventList,
  KeyChange,
  KeyEntry,
  KeyList,
  KeyWithSecret,
  ModelList,
  NewKey,
  Now,
  RequestList,
  RequestRecord,
  Rotation,
  Runbook,
  RunningRequest,
  Series,
  Status,
  TokenCount,
  TokenizeRequest,
} from "./types";

/** The base path for OpenAI's clients. */
export const OPENAI_BASE_PATH = "/v1";
export const CHAT_PATH = "/v1/chat/completions" satisfies keyof paths;

/** Facts that are open to everyone, also without a key. */
export function getServiceFacts(call: Call): Promise<{ requires_keys: boolean }> {
  return bodyOf(clientFor(call).GET("/"));
}

export function getStatus(call: Call): Promise<Status> {
  return bodyOf(clientFor(call).GET("/api/status"));
}

/** What the service itself knows of the last minute. */
export function getNow(call: Call): Promise<Now> {
  return bodyOf(clientFor(call).GET("/api/now"));
}

/** So many seconds until now, or from one time to another (seconds since the epoch). */
export type Span = number | [number, number];

const spanQuery = (span: Span) =>
  typeof span === "number" ? { range_seconds: span } : { start: span[0], end: span[1] };

/** With `keyName`, only what can be told of that key's requests. */
export function getSeries(call: Call, span: Span, panels: string[], keyName = ""): Promise<Series> {
  const key = keyName === "" ? {} : { key_name: keyName };
  const query = { ...spanQuery(span), panels: panels.join(","), ...key };
  return bodyOf(clientFor(call).GET("/api/series", { params: { query } }));
}

export function getEvents(call: Call): Promise<EventList> {
  return bodyOf(clientFor(call).GET("/api/events"));
}

export function getEngine(call: Call): Promise<EnginePage> {
  return bodyOf(clientFor(call).GET("/api/engine"));
}

/** The running requests, and the latest `limit` that have finished, or that ran in `window`. */
export function getRequests(
  call: Call,
  limit: number,
  window: [number, number] | null = null,
): Promise<RequestList> {
  const query = { limit, ...(window ? spanQuery(window) : {}) };
  return bodyOf(clientFor(call).GET("/api/requests", { params: { query } }));
}

/** One request by its id, or null if the service does not have it (any more). */
export async function findRequest(
  call: Call,
  requestId: string,
): Promise<RunningRequest | RequestRecord | null> {
  const params = { path: { request_id: requestId } };
  try {
    return await bodyOf(clientFor(call).GET("/api/requests/{request_id}", { params }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export async function cancelRequest(call: Call, requestId: string): Promise<void> {
  const params = { path: { request_id: requestId } };
  await clientFor(call).DELETE("/api/requests/{request_id}", { params });
}

export function getAlerts(call: Call): Promise<Alerts> {
  return bodyOf(clientFor(call).GET("/api/alerts"));
}

export function getRunbook(call: Call, name: string): Promise<Runbook> {
  return bodyOf(clientFor(call).GET("/api/runbooks/{name}", { params: { path: { name } } }));
}

export function getKeys(call: Call): Promise<KeyList> {
  return bodyOf(clientFor(call).GET("/api/keys"));
}

export function createKey(call: Call, body: NewKey): Promise<KeyWithSecret> {
  return bodyOf(clientFor(call).POST("/api/keys", { body }));
}

/** `keyId` is the id of a key, never its secret. */
export function changeKey(
  call: Call,
  { keyId, ...body }: KeyChange & { keyId: string },
): Promise<KeyEntry> {
  const params = { path: { key_id: keyId } };
  return bodyOf(clientFor(call).PATCH("/api/keys/{key_id}", { params, body }));
}

export function rotateKey(
  call: Call,
  { keyId, ...body }: Rotation & { keyId: string },
): Promise<KeyWithSecret> {
  const params = { path: { key_id: keyId } };
  return bodyOf(clientFor(call).POST("/api/keys/{key_id}/rotate", { params, body }));
}

export function revokeKey(call: Call, keyId: string): Promise<KeyEntry> {
  const params = { path: { key_id: keyId } };
  return bodyOf(clientFor(call).DELETE("/api/keys/{key_id}", { params }));
}

export function getModels(call: Call): Promise<ModelList> {
  return bodyOf(clientFor(call).GET("/v1/models"));
}

export function countTokens(call: Call, body: TokenizeRequest): Promise<TokenCount> {
  return bodyOf(clientFor(call).POST("/tokenize", { body }));
}

export interface EventStream {
  headers: Headers;
  /** The server-sent events, not read yet; null if the answer has no body. */
  body: ReadableStream<Uint8Array> | null;
}

/** Requests a streamed answer that ends with its usage. */
export async function openChatStream(call: Call, request: ChatRequest): Promise<EventStream> {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const { response, data } = await clientFor(call).POST(CHAT_PATH, { body, parseAs: "stream" });
  return { headers: response.headers, body: data ?? null };
}

/** Streams a completion of prompts, without a chat template. The request has the id `requestId`. */
export async function openCompletionStream(
  call: Call,
  request: CompletionRequest,
  requestId: string,
): Promise<EventStream> {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const headers = { "X-Request-ID": requestId };
  const { response, data } = await clientFor(call).POST("/v1/completions", {
    body,
    headers,
    parseAs: "stream",
  });
  return { headers: response.headers, body: data ?? null };
}

/** The client throws for everything but a 2xx, so a body is there. */
async function bodyOf<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  return data as T;
}
