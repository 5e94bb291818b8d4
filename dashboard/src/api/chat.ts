/** One streamed answer of POST /v1/chat/completions. */

import { readEvents } from "../lib/sse";
import { ApiError, call, readEnvelope } from "./client";

export interface ChatTurn {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatRequest {
  model: string;
  messages: ChatTurn[];
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  max_tokens?: number;
  seed?: number;
  stop?: string[];
  presence_penalty?: number;
  frequency_penalty?: number;
  repetition_penalty?: number;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
}

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

export async function openChat(
  key: string,
  request: ChatRequest,
  signal: AbortSignal,
): Promise<ChatAnswer> {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const response = await call("/v1/chat/completions", { key, body, signal });
  if (!response.body) throw new StreamCut();
  return {
    requestId: response.headers.get("x-request-id"),
    timing: parseServerTiming(response.headers.get("server-timing") ?? ""),
    events: readChat(response.body),
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
