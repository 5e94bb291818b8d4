/** One streamed answer to a chat request. */

import { readEvents } from "../lib/sse";
import { ApiError, readEnvelope, type Call } from "./client";
import { openChatStream } from "./endpoints";
import type { ChatRequest, Usage } from "./types";

export type ChatEvent =
  | { kind: "text"; text: string }
  | { kind: "finish"; reason: string }
  | { kind: "usage"; usage: Usage };

export interface ChatAnswer {
  requestId: string | null;
  /** Seconds by phase, from the Server-Timing header. */
  timing: Record<string, number>;
  events: AsyncGenerator<ChatEvent>;
}

/** The connection closed before the answer was complete. */
export class StreamCut extends Error {
  constructor() {
    super("The connection closed before the answer was complete.");
  }
}

export async function openChat(call: Call, request: ChatRequest): Promise<ChatAnswer> {
  const { headers, body } = await openChatStream(call, request);
  if (!body) throw new StreamCut();
  return {
    requestId: headers.get("x-request-id"),
    timing: parseServerTiming(headers.get("server-timing") ?? ""),
    events: readChat(body),
  };
}

/** `queue;dur=1.2, prefill;dur=30.1` -> seconds by name. */
export function parseServerTiming(header: string): Record<string, number> {
  const entries = header.split(",").flatMap((metric) => {
    const [name, ...parameters] = metric.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => parameter.startsWith("dur="));
    const milliseconds = Number.parseFloat(duration?.slice(4) ?? "");
    return name && Number.isFinite(milliseconds) ? [[name, milliseconds / 1000] as const] : [];
  });
  return Object.fromEntries(entries);
}

/** An event of the stream, which the schema does not describe. */
interface Chunk {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  usage?: Usage | null;
}

export async function* readChat(body: ReadableStream<Uint8Array>): AsyncGenerator<ChatEvent> {
  for await (const data of readBody(body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data) as Chunk;
    const failure = readEnvelope(chunk);
    if (failure) throw new ApiError(200, failure.message, failure.code);
    yield* readChunk(chunk);
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

function* readChunk(chunk: Chunk): Generator<ChatEvent> {
  for (const choice of chunk.choices ?? []) {
    if (choice.delta?.content) yield { kind: "text", text: choice.delta.content };
    if (choice.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
  }
  if (chunk.usage) yield { kind: "usage", usage: chunk.usage };
}
