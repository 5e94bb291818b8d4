/** The chunks of a streamed answer, before an endpoint's own fields are read. */

import { readEvents } from "../lib/sse";
import { ApiError, readEnvelope } from "./client";

/** The connection closed before the answer was complete. */
export class StreamCut extends Error {
  constructor() {
    super("The connection closed before the answer was complete.");
  }
}

/** Yields each chunk until the last. Throws StreamCut, or ApiError if the service sends an error. */
export async function* readChunks(body: ReadableStream<Uint8Array>): AsyncGenerator {
  for await (const data of readBody(body)) {
    if (data === "[DONE]") return;
    const chunk: unknown = JSON.parse(data);
    const failure = readEnvelope(chunk);
    if (failure) throw new ApiError(200, failure.message, failure.code);
    yield chunk;
  }
  throw new StreamCut();
}

async function* readBody(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  try {
    yield* readEvents(body);
  } catch (error) {
    // A network failure in mid-stream surfaces as a TypeError.
    throw error instanceof TypeError ? new StreamCut() : error;
  }
}
