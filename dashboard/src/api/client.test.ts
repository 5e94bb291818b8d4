// @vitest-environment jsdom
import { describe, expect, it, vi } from "vitest";
import { ApiError, clientFor, Unreachable, type Call } from "./client";
import { retryWait } from "./live";
import type { Scope } from "./types";

function answer(status: number, body: string, headers: Record<string, string> = {}): void {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(body, { status, headers })));
}

async function failure(): Promise<unknown> {
  return clientFor({ key: "k" })
    .GET("/api/status")
    .then(
      () => null,
      (error: unknown) => error,
    );
}

async function sentBy(call: Call, body?: { name: string; scopes: Scope[] }): Promise<Request> {
  let sent: Request | undefined;
  vi.stubGlobal("fetch", (request: Request) => {
    sent = request;
    return Promise.resolve(Response.json({}));
  });
  const client = clientFor(call);
  await (body ? client.POST("/api/keys", { body }) : client.GET("/api/status"));
  if (!sent) throw new Error("nothing was sent");
  return sent;
}

describe("a client", () => {
  it("calls its own origin with the key as a bearer token and without caching", async () => {
    const request = await sentBy({ key: "k" });
    expect(request.url).toBe(`${window.location.origin}/api/status`);
    expect(request.headers.get("authorization")).toBe("Bearer k");
    expect(request.headers.has("content-type")).toBe(false);
    expect(request.cache).toBe("no-store");
  });

  it("sends no Authorization header without a key", async () => {
    expect((await sentBy({ key: "" })).headers.has("authorization")).toBe(false);
  });

  it("sends a body as JSON", async () => {
    const body = { name: "ada", scopes: ["inference" as const] };
    const request = await sentBy({ key: "k" }, body);
    expect(request.method).toBe("POST");
    expect(request.headers.get("content-type")).toBe("application/json");
    expect(await request.json()).toEqual(body);
  });

  it("is stopped by the signal of its call", async () => {
    const controller = new AbortController();
    const { signal } = await sentBy({ key: "k", signal: controller.signal });
    expect(signal.aborted).toBe(false);
    controller.abort();
    expect(signal.aborted).toBe(true);
  });

  it("throws the service's message, code and Retry-After", async () => {
    answer(429, '{"error":{"message":"Slow down.","code":"rate_limit_exceeded"}}', {
      "retry-after": "12",
    });
    expect(await failure()).toMatchObject({
      status: 429,
      message: "Slow down.",
      code: "rate_limit_exceeded",
      retryAfterSeconds: 12,
    });
  });

  it("treats a gateway's own 502 page as an unreachable service", async () => {
    answer(502, "<html>Bad gateway</html>");
    expect(await failure()).toBeInstanceOf(Unreachable);
  });

  it("treats the service's own 503 as an answer", async () => {
    answer(503, '{"error":{"message":"Loading the model."}}');
    expect(await failure()).toBeInstanceOf(ApiError);
  });

  it("distinguishes a network failure from an aborted call", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    expect(await failure()).toBeInstanceOf(Unreachable);
    vi.stubGlobal("fetch", () => Promise.reject(new DOMException("stop", "AbortError")));
    expect(await failure()).toMatchObject({ name: "AbortError" });
  });
});

describe("retryWait", () => {
  it("doubles from 1 s to 30 s", () => {
    const waits = [0, 1, 2, 3, 4, 5, 20].map((n) => retryWait(n, new Unreachable("")));
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  it("waits as long as the service asked", () => {
    expect(retryWait(0, new ApiError(429, "", null, 40))).toBe(40_000);
  });
});
