/** A conversation as data: its messages, and the measurements of each answer. No network, no React. */

import type { CallPiece } from "../../api/chat";
import type { RequestRecord, Usage } from "../../api/types";
import type { Failure } from "./failure";
import type { JsonSchema } from "./schema";

/** Times by the browser's clock, in milliseconds since the page was opened, and the service's data. */
export interface AnswerStats {
  sentAt: number;
  /** The first and the last piece of any kind: text, reasoning or a call. */
  firstTextAt: number | null;
  lastTextAt: number | null;
  reasoningFrom: number | null;
  reasoningTo: number | null;
  endedAt: number | null;
  numPieces: number;
  requestId: string | null;
  /** Seconds by phase, from the Server-Timing header. */
  timing: Record<string, number>;
  usage: Usage | null;
  finishReason: string | null;
  /** The service's own record of this request; null if the key may not see it. */
  record: RequestRecord | null;
}

export type AnswerState = "streaming" | "done" | "stopped" | "failed";

export interface UserMessage {
  id: number;
  role: "user";
  text: string;
}

/** A tool call of the model, with its result. */
export interface ToolCall {
  index: number;
  id: string;
  name: string;
  /** JSON text as the model wrote it, which may be invalid. */
  arguments: string;
  /** What the user entered as the tool's result; null before that. */
  result: string | null;
}

export interface AnswerMessage {
  id: number;
  role: "assistant";
  text: string;
  reasoning: string;
  calls: ToolCall[];
  /** The JSON schema that the request asked the text to fit. */
  schema: JsonSchema | null;
  state: AnswerState;
  failure: Failure | null;
  stats: AnswerStats;
}

export type Message = UserMessage | AnswerMessage;

/** What arrived since the last such action. */
export interface Growth {
  text: string;
  reasoning: string;
  calls: CallPiece[];
  at: number;
  numPieces: number;
}

export type ConversationAction =
  | { kind: "asked"; text: string }
  | { kind: "begun"; at: number; schema: JsonSchema | null }
  | { kind: "opened"; requestId: string | null; timing: Record<string, number> }
  | ({ kind: "grew" } & Growth)
  | { kind: "measured"; usage?: Usage; finishReason?: string }
  | { kind: "ended"; state: AnswerState; at: number; failure?: Failure }
  | { kind: "recorded"; record: RequestRecord }
  | { kind: "answer dropped" }
  /** The results of an answer's calls, in their order. Removes all later messages. */
  | { kind: "results given"; id: number; results: string[] }
  /** Removes a message and all later ones, so that another question can replace them. */
  | { kind: "cut"; id: number };

export function converse(messages: Message[], action: ConversationAction): Message[] {
  const id = (messages.at(-1)?.id ?? 0) + 1;
  switch (action.kind) {
    case "asked":
      return [...messages, { id, role: "user", text: action.text }];
    case "begun":
      return [...messages, newAnswer(id, action.at, action.schema)];
    case "answer dropped":
      return messages.at(-1)?.role === "assistant" ? messages.slice(0, -1) : messages;
    case "results given":
      return messages
        .filter((message) => message.id <= action.id)
        .map((message) => (message.id === action.id ? withResults(message, action) : message));
    case "cut":
      return messages.filter((message) => message.id < action.id);
    case "recorded":
      return messages.map((message) => withRecord(message, action.record));
    default:
      return changeAnswer(messages, (answer) => changed(answer, action));
  }
}

const NO_STATS: AnswerStats = {
  sentAt: 0,
  firstTextAt: null,
  lastTextAt: null,
  reasoningFrom: null,
  reasoningTo: null,
  endedAt: null,
  numPieces: 0,
  requestId: null,
  timing: {},
  usage: null,
  finishReason: null,
  record: null,
};

const NO_ANSWER: Omit<AnswerMessage, "id" | "stats"> = {
  role: "assistant",
  text: "",
  reasoning: "",
  calls: [],
  schema: null,
  state: "streaming",
  failure: null,
};

function newAnswer(id: number, sentAt: number, schema: JsonSchema | null): AnswerMessage {
  return { ...NO_ANSWER, id, schema, stats: { ...NO_STATS, sentAt } };
}

/** Adds the fields that an earlier dashboard did not store. */
export function completeMessage(kept: Message): Message {
  if (kept.role === "user") return kept;
  return { ...NO_ANSWER, ...kept, stats: { ...NO_STATS, ...kept.stats } };
}

function withRecord(message: Message, record: RequestRecord): Message {
  if (message.role === "user" || message.stats.requestId !== record.request_id) return message;
  return { ...message, stats: { ...message.stats, record } };
}

function withResults(message: Message, { results }: { results: string[] }): Message {
  if (message.role === "user") return message;
  const calls = message.calls.map((call, i) => ({ ...call, result: results[i] ?? "" }));
  return { ...message, calls };
}

function changeAnswer(messages: Message[], change: (answer: AnswerMessage) => AnswerMessage) {
  const last = messages.at(-1);
  // After a cut, late pieces of the old stream are dropped.
  if (last?.role !== "assistant" || last.state !== "streaming") return messages;
  return [...messages.slice(0, -1), change(last)];
}

type Change = Extract<ConversationAction, { kind: "opened" | "grew" | "measured" | "ended" }>;

function changed(answer: AnswerMessage, action: Change): AnswerMessage {
  const { stats } = answer;
  switch (action.kind) {
    case "opened":
      return { ...answer, stats: { ...stats, requestId: action.requestId, timing: action.timing } };
    case "grew":
      return grown(answer, action);
    case "measured":
      return {
        ...answer,
        stats: {
          ...stats,
          usage: action.usage ?? stats.usage,
          finishReason: action.finishReason ?? stats.finishReason,
        },
      };
    case "ended":
      return {
        ...answer,
        state: action.state,
        failure: action.failure ?? null,
        stats: { ...stats, endedAt: action.at },
      };
  }
}

function grown(answer: AnswerMessage, { text, reasoning, calls, at, numPieces }: Growth) {
  const { stats } = answer;
  const times = reasoning && { reasoningFrom: stats.reasoningFrom ?? at, reasoningTo: at };
  return {
    ...answer,
    text: answer.text + text,
    reasoning: answer.reasoning + reasoning,
    calls: calls.reduce(withPiece, answer.calls),
    stats: {
      ...stats,
      ...times,
      firstTextAt: stats.firstTextAt ?? at,
      lastTextAt: at,
      numPieces: stats.numPieces + numPieces,
    },
  };
}

function withPiece(calls: ToolCall[], piece: CallPiece): ToolCall[] {
  const { index, id, name } = piece;
  if (calls.some((call) => call.index === index)) {
    return calls.map((call) =>
      call.index === index ? { ...call, arguments: call.arguments + piece.arguments } : call,
    );
  }
  const call = { index, id: id ?? "", name: name ?? "", arguments: piece.arguments, result: null };
  return [...calls, call];
}

export function isStreaming(messages: Message[]): boolean {
  const last = messages.at(-1);
  return last?.role === "assistant" && last.state === "streaming";
}

/** True if the answer's calls are complete, so that they can have results. */
export function hasCalls({ calls, state, stats }: AnswerMessage): boolean {
  return calls.length > 0 && state === "done" && stats.finishReason !== "length";
}

/** True if the conversation goes on with the results of the last answer's calls. */
export function awaitsResults(messages: Message[]): boolean {
  const last = messages.at(-1);
  return last?.role === "assistant" && hasCalls(last) && !hasResults(last);
}

export function hasResults({ calls }: AnswerMessage): boolean {
  return calls.every((call) => call.result !== null);
}
