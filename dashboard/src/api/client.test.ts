import { describe, expect, it, vi } from "vitest";
import { ApiError, call, Unreachable } from "./client";
import { retryWait } from "./live";

function answer(status: number, body: string, headers: Record<string, string> = {}): void {
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(body, { status, headers })));
}

async function failureOf(path: string): Promise<unknown> {
  return call(path, { key: "k" }).then(
    () => null,
    (error: unknown) => error,
  );
}

describe("call", () => {
  it("carries the service's words, code and wait", async () => {
    answer(429, '{"error":{"message":"Slow down.","code":"rate_limit_exceeded"}}', {
      "retry-after": "12",
    });
    expect(await failureOf("/x")).toMatchObject({
      status: 429,
      message: "Slow down.",
      code: "rate_limit_exceeded",
      retryAfterSeconds: 12,
    });
  });

  it("takes a gateway's own 502 page for an absent service", async () => {
    answer(502, "<html>Bad gateway</html>");
    expect(await failureOf("/x")).toBeInstanceOf(Unreachable);
  });

  it("takes the service's own 503 for an answer", async () => {
    answer(503, '{"error":{"message":"Loading the model."}}');
    expect(await failureOf("/x")).toBeInstanceOf(ApiError);
  });

  it("tells a dead network from a caller who stopped", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    expect(await failureOf("/x")).toBeInstanceOf(Unreachable);
    vi.stubGlobal("fetch", () => Promise.reject(new DOMException("stop", "AbortError")));
    expect(await failureOf("/x")).toMatchObject({ name: "AbortError" });
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
