import { describe, expect, it } from "vitest";
import { readEvents, SseParser } from "./sse";

function bodyOf(...chunks: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      chunks.forEach((chunk) => controller.enqueue(chunk));
      controller.close();
    },
  });
}

async function collect(body: ReadableStream<Uint8Array>): Promise<string[]> {
  const events: string[] = [];
  for await (const event of readEvents(body)) events.push(event);
  return events;
}

describe("SseParser", () => {
  it("returns the same events wherever the text is split", () => {
    const text = 'data: {"a":1}\r\n\r\n: comment\ndata:two\ndata: lines\n\nevent: x\rdata: 3\r\r';
    const whole = new SseParser().feed(`${text}\n`);
    expect(whole).toEqual(['{"a":1}', "two\nlines", "3"]);
    for (let cut = 1; cut < text.length; cut++) {
      const parser = new SseParser();
      const events = [...parser.feed(text.slice(0, cut)), ...parser.feed(`${text.slice(cut)}\n`)];
      expect(events, `cut at ${cut}`).toEqual(whole);
    }
  });

  it("does not treat a split CRLF as an empty line", () => {
    const parser = new SseParser();
    expect(parser.feed("data: a\r")).toEqual([]);
    expect(parser.feed("\ndata: b\r\n")).toEqual([]);
    expect(parser.feed("\r\n")).toEqual(["a\nb"]);
  });

  it("ignores blank lines without data", () => {
    expect(new SseParser().feed("\n\n: ping\n\n")).toEqual([]);
  });

  it("holds back an event until its end", () => {
    expect(new SseParser().feed("data: half\n")).toEqual([]);
  });
});

describe("readEvents", () => {
  it("reassembles multibyte characters that are split between chunks", async () => {
    const bytes = new TextEncoder().encode("data: héllo 🦙 日本\n\n");
    const chunks = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect(await collect(bodyOf(...chunks))).toEqual(["héllo 🦙 日本"]);
  });

  it("closes the connection when the consumer stops early", async () => {
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
      cancel: () => {
        isCancelled = true;
      },
    });
    for await (const event of readEvents(body)) {
      expect(event).toBe("x");
      break;
    }
    expect(isCancelled).toBe(true);
  });
});
