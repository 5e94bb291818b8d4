import { describe, expect, it } from "vitest";
import { parseServerTiming, readChat, StreamCut, type ChatEvent } from "./chat";

function bodyOf(...events: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      const text = events.map((event) => `data: ${event}\n\n`).join("");
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
}

async function collect(body: ReadableStream<Uint8Array>): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for await (const event of readChat(body)) events.push(event);
  return events;
}

const hello = '{"choices":[{"delta":{"role":"assistant","content":"Hel"}}]}';

describe("readChat", () => {
  it("yields the text, the finish reason and the usage", async () => {
    const events = await collect(
      bodyOf(
        '{"choices":[{"delta":{"role":"assistant","content":""}}]}',
        hello,
        '{"choices":[{"delta":{"content":"lo"}}]}',
        '{"choices":[{"delta":{},"finish_reason":"stop"}]}',
        '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}',
        "[DONE]",
      ),
    );
    expect(events).toEqual([
      { kind: "text", text: "Hel" },
      { kind: "text", text: "lo" },
      { kind: "finish", reason: "stop" },
      { kind: "usage", usage: { prompt_tokens: 9, completion_tokens: 2 } },
    ]);
  });

  it("yields reasoning apart from the text, and the pieces of calls by their index", async () => {
    const delta = (fields: unknown) => JSON.stringify({ choices: [{ delta: fields }] });
    const events = await collect(
      bodyOf(
        delta({ reasoning_content: "Hm", reasoning: "Hm" }),
        delta({
          tool_calls: [
            { index: 0, id: "c0", type: "function", function: { name: "f", arguments: "" } },
          ],
        }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '{"a"' } }] }),
        delta({ tool_calls: [{ index: 1, id: "c1", function: { name: "g", arguments: "{}" } }] }),
        '{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
        "[DONE]",
      ),
    );
    const piece = (index: number, id: string | null, name: string | null, text: string) => ({
      kind: "call",
      piece: { index, id, name, arguments: text },
    });
    expect(events).toEqual([
      { kind: "reasoning", text: "Hm" },
      piece(0, "c0", "f", ""),
      piece(0, null, null, '{"a"'),
      piece(1, "c1", "g", "{}"),
      { kind: "finish", reason: "tool_calls" },
    ]);
  });

  it("throws StreamCut when the stream ends without [DONE]", async () => {
    await expect(collect(bodyOf(hello))).rejects.toBeInstanceOf(StreamCut);
  });

  it("throws the service's own message when it fails in mid-stream", async () => {
    const failure = '{"error":{"message":"The engine failed.","code":"engine_failed"}}';
    await expect(collect(bodyOf(hello, failure))).rejects.toThrow("The engine failed.");
  });
});

describe("parseServerTiming", () => {
  it("reads milliseconds as seconds", () => {
    expect(parseServerTiming("queue;dur=1.5, prefill;dur=30.5")).toEqual({
      queue: 0.0015,
      prefill: 0.0305,
    });
  });

  it("ignores entries that it cannot parse", () => {
    expect(parseServerTiming("cache;desc=hit, ;dur=3, x;dur=no")).toEqual({});
  });
});
