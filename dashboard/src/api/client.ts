/** The client for the service: same origin, bearer key, errors with readable messages. */

import createClient, { type Client } from "openapi-fetch";
import type { paths } from "./schema";

/** The service refused the request. `message` is its own sentence. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }
}

/** No answer came: the service or the network is down, or the service is restarting. */
export class Unreachable extends Error {}

/** The key of a call, and the signal that aborts it. */
export interface Call {
  /** "" where the service requires no key. */
  key: string;
  signal?: AbortSignal;
}

/** The schema leaves out `GET /`, which sends browsers the page and everyone else these facts. */
interface Paths extends paths {
  "/": {
    get: { responses: { 200: { content: { "application/json": { requires_keys: boolean } } } } };
  };
}

/** A client that sends `call.key`. It throws ApiError or Unreachable for any answer but a 2xx. */
export function clientFor({ key, signal }: Call): Client<Paths> {
  return createClient<Paths>({
    baseUrl: window.location.origin,
    fetch: send,
    cache: "no-store",
    // Without a key there is no header: a service that requires no key would refuse an empty one.
    headers: key === "" ? {} : { Authorization: `Bearer ${key}` },
    ...(signal ? { signal } : {}),
  });
}

async function send(request: Request): Promise<Response> {
  const response = await reach(request);
  if (!response.ok) throw await readError(response);
  return response;
}

async function reach(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable("The service does not answer.");
  }
}

async function readError(response: Response): Promise<ApiError | Unreachable> {
  const body: unknown = await response.json().catch(() => null);
  const envelope = readEnvelope(body);
  // The answer is a gateway's own page: the gateway could not reach the service.
  if (!envelope && [502, 503, 504].includes(response.status)) {
    return new Unreachable(`The service does not answer (gateway status ${response.status}).`);
  }
  const retryAfter = Number.parseFloat(response.headers.get("retry-after") ?? "");
  return new ApiError(
    response.status,
    envelope?.message ?? `The service answered with status ${response.status}.`,
    envelope?.code ?? null,
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}

/** The message and the code of OpenAI's error envelope, or null if `body` is not one. */
export function readEnvelope(body: unknown): { message: string; code: string | null } | null {
  if (typeof body !== "object" || body === null || !("error" in body)) return null;
  const { error } = body;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  const code = "code" in error && typeof error.code === "string" ? error.code : null;
  return typeof error.message === "string" ? { message: error.message, code } : null;
}
