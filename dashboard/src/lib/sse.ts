/** Parses server-sent events from a fetch body, by the WHATWG rules for the fields we use. */

export class SseParser {
  private buffer = "";
  private data: string[] = [];

  /** Takes decoded text, split anywhere, and returns the data of each event it completes. */
  feed(text: string): string[] {
    this.buffer += text;
    // A lone CR at the end may be the first half of CRLF: wait for what follows.
    const isSplitCrLf = this.buffer.endsWith("\r");
    const complete = isSplitCrLf ? this.buffer.slice(0, -1) : this.buffer;
    const lines = complete.split(/\r\n|\r|\n/);
    this.buffer = (lines.pop() ?? "") + (isSplitCrLf ? "\r" : "");
    return lines.flatMap((line) => this.takeLine(line));
  }

  private takeLine(line: string): string[] {
    if (line === "") {
      const event = this.data.join("\n");
      const isEmpty = this.data.length === 0;
      this.data = [];
      return isEmpty ? [] : [event];
    }
    if (line.startsWith("data:")) this.data.push(line.slice(5).replace(/^ /, ""));
    return [];
  }
}

/** Yields the data of each event. Multibyte characters may be split between chunks. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const parser = new SseParser();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      yield* parser.feed(done ? decoder.decode() : decoder.decode(value, { stream: true }));
      if (done) return;
    }
  } finally {
    // When the consumer stops early this also closes the connection.
    await reader.cancel().catch(() => undefined);
  }
}
