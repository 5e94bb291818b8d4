/** One streamed answer to a chat request. */

import { readChunks, StreamCut } from "./chunks";
import type { Call } from "./client";
import { openChatStream } from "./endpoints";
import type { ChatRequest, Usage } from "./types";

export { StreamCut } from "./chunks";

/** A piece of a tool call. The first one of a call has its id and name. */
export interface CallPiece {
  index: number;
  id: string | null;
  name: string | null;
  /** JSON text, or a part of it. */
  arguments: string;
}

export type ChatEvent =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string }
  | { kind: "call"; piece: CallPiece }
  | { kind: "finish"; reason: string }
  | { kind: "usage"; usage: Usage };

export interface ChatAnswer {
  requestId: string | null;
  /** Seconds by phase, from the Server-Timing header. */
  timing: Record<string, number>;
  events: AsyncGenerator<ChatEvent>;
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
  choices?: { delta?: Delta; finish_reason?: string | null }[];
  usage?: Usage | null;
}

interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
  tool_calls?: CallDelta[] | null;
}

interface CallDelta {
  index: number;
  id?: string | null;
  function?: { name?: string | null; arguments?: string | null };
}

export async function* readChat(body: ReadableStream<Uint8Array>): AsyncGenerator<ChatEvent> {
  for await (const chunk of readChunks(body)) yield* readChunk(chunk as Chunk);
}

function* readChunk(chunk: Chunk): Generator<ChatEvent> {
  for (const choice of chunk.choices ?? []) {
    yield* readDelta(choice.delta ?? {});
    if (choice.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
  }
  if (chunk.usage) yield { kind: "usage", usage: chunk.usage };
}

function* readDelta({ reasoning_content, content, tool_calls }: Delta): Generator<ChatEvent> {
  if (reasoning_content) yield { kind: "reasoning", text: reasoning_content };
  if (content) yield { kind: "text", text: content };
  for (const { index, id, function: called } of tool_calls ?? []) {
    const { name = null, arguments: text } = called ?? {};
    yield { kind: "call", piece: { index, id: id ?? null, name, arguments: text ?? "" } };
  }
}
