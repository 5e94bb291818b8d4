/** A conversation as data: its messages, and the measurements of each answer. No network, no React. */

import type { CallPiece } from "../../api/chat";
import type { RequestRecord, Usage } from "../../api/types";
import type { Failure } from "./failure";
import type { JsonSchema } from "./schema";
import type { Side } from "./settings";

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

/**
 * How far an answer has come. "stopped" by the user; "interrupted" because its page was closed
 * while it streamed; "failed" by the service or the network.
 */
export type AnswerState = "streaming" | "done" | "stopped" | "interrupted" | "failed";

/** A text file that is sent with a question. */
export interface TextFile {
  name: string;
  text: string;
}

/** An image that is sent with a question, as a data URL. Its size is in pixels. */
export interface Picture {
  name: string;
  image: string;
  width: number;
  height: number;
}

export type Attachment = TextFile | Picture;

export function isPicture(attachment: Attachment): attachment is Picture {
  return "image" in attachment;
}

interface Place {
  /** Unique in the conversation. Later messages have higher ids. */
  id: number;
  /** The message that this one follows; START for the first. Versions have the same parent. */
  parent: number;
}

export const START = 0;

export interface UserMessage extends Place {
  role: "user";
  text: string;
  attachments: Attachment[];
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

/** The settings that an answer was made with. */
export interface Making extends Omit<Side, "model" | "ownSystem"> {
  model: string;
}

export interface AnswerMessage extends Place {
  role: "assistant";
  text: string;
  reasoning: string;
  calls: ToolCall[];
  /** The JSON schema that the request asked the text to fit. */
  schema: JsonSchema | null;
  state: AnswerState;
  failure: Failure | null;
  /** Null for an answer that an earlier dashboard stored. */
  making: Making | null;
  /** The first of the answers that were asked for together, side by side; null for a single one. */
  pair: number | null;
  /** The user has changed the text. */
  isEdited: boolean;
  /** The number of requests after the first that continued the answer. `stats` has the last one. */
  numContinued: number;
  stats: AnswerStats;
}

export type Message = UserMessage | AnswerMessage;

/** All messages of a conversation, as a tree. thread.ts finds the ones that are shown. */
export interface Thread {
  /** In the order of their ids: a parent is before its children. */
  messages: Message[];
  /** By the id of a parent: which of the messages that follow it is shown. */
  chosen: Record<number, number>;
}

/** What arrived since the last such action. */
export interface Growth {
  text: string;
  reasoning: string;
  calls: CallPiece[];
  at: number;
  numPieces: number;
}

/** What is known of an answer when its request is sent. */
export interface Beginning {
  at: number;
  schema: JsonSchema | null;
  making: Making | null;
}

/** An event of the stream of the answer `id`. */
export type AnswerAction =
  | { kind: "opened"; requestId: string | null; timing: Record<string, number> }
  | ({ kind: "grew" } & Growth)
  | { kind: "measured"; usage?: Usage; finishReason?: string }
  | { kind: "ended"; state: AnswerState; at: number; failure?: Failure };

/** A message that is added gets the id `nextId` and is shown. */
export type ConversationAction =
  | { kind: "asked"; parent: number; text: string; attachments?: Attachment[] }
  | ({ kind: "begun"; parent: number; pair?: number | null } & Beginning)
  /** Another request adds to the answer. */
  | { kind: "continued"; id: number; at: number }
  | (AnswerAction & { id: number })
  | { kind: "recorded"; record: RequestRecord }
  /** Adds a version of an answer with another text. */
  | { kind: "edited"; id: number; text: string }
  /** Removes an answer that nothing follows. */
  | { kind: "dropped"; id: number }
  /**
   * The results of an answer's calls, in their order. If it has other results and messages that
   * follow, this adds a version.
   */
  | { kind: "results given"; id: number; results: string[] }
  /** Shows one of the versions. */
  | { kind: "chosen"; id: number };

export const EMPTY_THREAD: Thread = { messages: [], chosen: {} };

export function nextId({ messages }: Thread): number {
  return (messages.at(-1)?.id ?? START) + 1;
}

export function converse(thread: Thread, action: ConversationAction): Thread {
  switch (action.kind) {
    case "asked": {
      const { parent, text, attachments = [] } = action;
      return added(thread, { id: nextId(thread), parent, role: "user", text, attachments });
    }
    case "begun":
      return added(thread, newAnswer(nextId(thread), action));
    case "edited":
      return edited(thread, action);
    case "results given":
      return resulted(thread, action);
    case "dropped":
      return { ...thread, messages: thread.messages.filter(({ id }) => id !== action.id) };
    case "chosen":
      return choose(thread, action.id);
    case "recorded":
      return {
        ...thread,
        messages: thread.messages.map((message) => withRecord(message, action.record)),
      };
    case "continued":
      return changeAnswer(thread, action.id, (answer) => continued(answer, action.at));
    default:
      // Late pieces of a stream that has ended are dropped.
      return changeAnswer(thread, action.id, (answer) =>
        answer.state === "streaming" ? changed(answer, action) : answer,
      );
  }
}

function added(thread: Thread, message: Message): Thread {
  const messages = [...thread.messages, message];
  return { messages, chosen: { ...thread.chosen, [message.parent]: message.id } };
}

/** Shows a message: it is chosen after its parent, and its parent likewise, up to the start. */
function choose(thread: Thread, id: number): Thread {
  const chosen = { ...thread.chosen };
  let message = thread.messages.find((other) => other.id === id);
  while (message) {
    const { parent } = message;
    chosen[parent] = message.id;
    message = thread.messages.find((other) => other.id === parent);
  }
  return { ...thread, chosen };
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

const NO_ANSWER: Omit<AnswerMessage, "id" | "parent" | "stats"> = {
  role: "assistant",
  text: "",
  reasoning: "",
  calls: [],
  schema: null,
  state: "streaming",
  failure: null,
  making: null,
  pair: null,
  isEdited: false,
  numContinued: 0,
};

type Begun = Extract<ConversationAction, { kind: "begun" }>;

function newAnswer(id: number, { parent, schema, making, pair = null, at }: Begun): AnswerMessage {
  return { ...NO_ANSWER, id, parent, schema, making, pair, stats: { ...NO_STATS, sentAt: at } };
}

/** The times are those of the new request; the text and the reasoning stay. */
function continued(answer: AnswerMessage, sentAt: number): AnswerMessage {
  const { reasoningFrom, reasoningTo } = answer.stats;
  return {
    ...answer,
    state: "streaming",
    failure: null,
    numContinued: answer.numContinued + (isEmpty(answer) ? 0 : 1),
    stats: { ...NO_STATS, sentAt, reasoningFrom, reasoningTo },
  };
}

/** Adds the fields that an earlier dashboard did not store. */
export function completeMessage(kept: Message): Message {
  if (kept.role === "user")
    return { ...kept, attachments: (kept as Partial<UserMessage>).attachments ?? [] };
  return { ...NO_ANSWER, ...kept, stats: { ...NO_STATS, ...kept.stats } };
}

function edited(thread: Thread, { id, text }: { id: number; text: string }): Thread {
  const answer = thread.messages.find((message) => message.id === id);
  if (answer?.role !== "assistant") return thread;
  return added(thread, {
    ...answer,
    id: nextId(thread),
    text,
    state: "done",
    failure: null,
    pair: null,
    isEdited: true,
    numContinued: 0,
    stats: NO_STATS,
  });
}

function withRecord(message: Message, record: RequestRecord): Message {
  if (message.role === "user" || message.stats.requestId !== record.request_id) return message;
  return { ...message, stats: { ...message.stats, record } };
}

function resulted(thread: Thread, action: { id: number; results: string[] }): Thread {
  const answer = thread.messages.find((message) => message.id === action.id);
  if (answer?.role !== "assistant") return thread;
  const calls = answer.calls.map((call, i) => ({ ...call, result: action.results[i] ?? "" }));
  const isFollowed = thread.messages.some(({ parent }) => parent === answer.id);
  if (isFollowed) return added(thread, { ...answer, id: nextId(thread), calls, pair: null });
  return changeAnswer(choose(thread, answer.id), answer.id, () => ({ ...answer, calls }));
}

function changeAnswer(
  thread: Thread,
  id: number,
  change: (answer: AnswerMessage) => AnswerMessage,
): Thread {
  const messages = thread.messages.map((message) =>
    message.id === id && message.role === "assistant" ? change(message) : message,
  );
  return { ...thread, messages };
}

function changed(answer: AnswerMessage, action: AnswerAction): AnswerMessage {
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
  return messages.some((message) => message.role === "assistant" && message.state === "streaming");
}

/** True if nothing of the answer has arrived. */
export function isEmpty({ text, reasoning, calls }: AnswerMessage): boolean {
  return text === "" && reasoning === "" && calls.length === 0;
}

/**
 * True if the service can continue the answer's text. It cannot continue calls, and what it adds to
 * JSON would have to fit the schema by itself.
 */
export function canContinue(answer: AnswerMessage): boolean {
  const { text, calls, schema, state, stats, isEdited } = answer;
  if (text === "" || calls.length > 0 || schema !== null || state === "streaming") return false;
  return state !== "done" || stats.finishReason === "length" || isEdited;
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
