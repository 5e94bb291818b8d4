/** One way to call the service: same origin, bearer key, errors as words. */

/** The service answered, and said no. `message` is its own sentence. */
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

/** No answer came: the service is down, restarting, or the network is. */
export class Unreachable extends Error {}

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

export interface Call {
  key: string;
  /** GET, or POST when there is a body, unless it says otherwise. */
  method?: Method;
  body?: unknown;
  signal?: AbortSignal;
}

/** Resolves only with a 2xx response. */
export async function call(path: string, options: Call): Promise<Response> {
  const { key, body, signal, method = body === undefined ? "GET" : "POST" } = options;
  const response = await send(path, {
    method,
    headers: {
      // A service that asks for no key is better asked without one.
      ...(key === "" ? {} : { Authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
    cache: "no-store",
  });
  if (!response.ok) throw await readError(response);
  return response;
}

export async function getJson<T>(path: string, options: Call): Promise<T> {
  const response = await call(path, options);
  return (await response.json()) as T;
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable("The service does not answer.");
  }
}

async function readError(response: Response): Promise<ApiError | Unreachable> {
  const body: unknown = await response.json().catch(() => null);
  const envelope = readEnvelope(body);
  // A gateway's own page, not the service's words: nobody is behind it.
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

/** The words and the code of OpenAI's error envelope, if `body` is one. */
export function readEnvelope(body: unknown): { message: string; code: string | null } | null {
  if (typeof body !== "object" || body === null || !("error" in body)) return null;
  const { error } = body;
  if (typeof error !== "object" || error === null || !("message" in error)) return null;
  const code = "code" in error && typeof error.code === "string" ? error.code : null;
  return typeof error.message === "string" ? { message: error.message, code } : null;
}
