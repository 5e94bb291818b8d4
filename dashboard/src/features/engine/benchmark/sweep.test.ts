// @vitest-environment jsdom
import { describe, expect, it, vi } from "vitest";
import type { CompletionRequest } from "../../../api/types";
import type { Level } from "./levels";
import { newSweepId, runSweep } from "./sweep";

interface Sent {
  id: string;
  body: CompletionRequest;
}

/** A service whose list of running requests has `running`; returns the completions it was sent. */
function stubService(running: { request_id: string; key_name: string }[], status = 200): Sent[] {
  const sent: Sent[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    if (new URL(request.url).pathname === "/api/requests") {
      return Response.json({ replica: "r", running, requests: [] });
    }
    const body = (await request.json()) as CompletionRequest;
    sent.push({ id: request.headers.get("x-request-id") ?? "", body });
    if (status !== 200) return Response.json({ error: { message: "No." } }, { status });
    const prompts = body.prompt as string[];
    const usage = { prompt_tokens: 60 * prompts.length, completion_tokens: 48 * prompts.length };
    const events = [...prompts.map((_, index) => ({ choices: [{ index }] })), { usage }];
    return new Response(
      [...events.map((event) => JSON.stringify(event)), "[DONE]"]
        .map((data) => `data: ${data}\n\n`)
        .join(""),
    );
  });
  return sent;
}

async function collect(sweepId: string): Promise<Level[]> {
  const levels: Level[] = [];
  const call = { key: "sk-own" };
  for await (const level of runSweep(call, "m", sweepId, () => undefined)) levels.push(level);
  return levels;
}

describe("a benchmark", () => {
  it("sends one request at a time, with a prompt per stream, each of them different", async () => {
    const sent = stubService([]);
    const levels = await collect("benchmark-5-a");
    expect(levels.map(({ streams }) => streams)).toEqual([1, 2, 4, 8, 16]);
    expect(levels.at(-1)?.promptTokens).toBe(60);
    expect(sent.length).toBeLessThanOrEqual(15);
    const prompts = sent.flatMap(({ body }) => body.prompt as string[]);
    expect(new Set(prompts).size).toBe(prompts.length);
    expect(sent.every(({ id }) => /^[A-Za-z0-9._-]{1,64}$/.test(id))).toBe(true);
    expect(sent.every(({ body }) => body.ignore_eos)).toBe(true);
  });

  it("does not start while another is running, and says whose it is", async () => {
    const sent = stubService([{ request_id: "benchmark-9-b-4-0", key_name: "ada" }]);
    await expect(collect("benchmark-5-a")).rejects.toThrow(/running, with the key ada/);
    expect(sent).toEqual([]);
  });

  it("that started later gives way to the earlier one", async () => {
    const running: { request_id: string; key_name: string }[] = [];
    const sent = stubService(running);
    const sweep = runSweep({ key: "" }, "m", "benchmark-5-a", () => undefined);
    await sweep.next();
    running.push({ request_id: "benchmark-9-b-4-0", key_name: "ada" });
    expect((await sweep.next()).done).toBe(false);
    running.push({ request_id: "benchmark-3-c-4-0", key_name: "bob" });
    // The list is in the order of the starts, and any earlier benchmark counts.
    const before = sent.length;
    await expect(sweep.next()).rejects.toThrow(/with the key bob/);
    expect(sent.length).toBe(before);
  });

  it("ignores other requests and its own", async () => {
    stubService([
      { request_id: "benchmark-5-a-1-0", key_name: "me" },
      { request_id: "something", key_name: "ada" },
    ]);
    expect(await collect("benchmark-5-a")).toHaveLength(5);
  });

  it("ends at the first refusal, in the words of the service", async () => {
    const sent = stubService([], 429);
    await expect(collect("benchmark-5-a")).rejects.toThrow("No.");
    expect(sent).toHaveLength(1);
  });

  it("has an id that sorts by the time of its start", () => {
    expect(newSweepId(1_800_000_000_000, 0.9) < newSweepId(1_800_000_000_001, 0.1)).toBe(true);
  });
});
