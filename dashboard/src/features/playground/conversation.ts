/** A conversation as data: its messages, and the measurements of each answer. No network, no React. */

import type { ChatTurn, RequestRecord, Usage } from "../../api/types";
import type { Failure } from "./failure";

/** Times by the browser's clock, in milliseconds since the page was opened, and the service's data. */
export interface AnswerStats {
  sentAt: number;
  firstTextAt: number | null;
  lastTextAt: number | null;
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

export interface AnswerMessage {
  id: number;
  role: "assistant";
  text: string;
  state: AnswerState;
  failure: Failure | null;
  stats: AnswerStats;
}

export type Message = UserMessage | AnswerMessage;

export type ConversationAction =
  | { kind: "asked"; text: string }
  | { kind: "begun"; at: number }
  | { kind: "opened"; requestId: string | null; timing: Record<string, number> }
  | { kind: "grew"; text: string; at: number; numPieces: number }
  | { kind: "measured"; usage?: Usage; finishReason?: string }
  | { kind: "ended"; state: AnswerState; at: number; failure?: Failure }
  | { kind: "recorded"; record: RequestRecord }
  | { kind: "answer dropped" }
  /** Removes a message and all later ones, so that another question can replace them. */
  | { kind: "cut"; id: number };

export function converse(messages: Message[], action: ConversationAction): Message[] {
  const id = (messages.at(-1)?.id ?? 0) + 1;
  switch (action.kind) {
    case "asked":
      return [...messages, { id, role: "user", text: action.text }];
    case "begun":
      return [...messages, newAnswer(id, action.at)];
    case "answer dropped":
      return messages.at(-1)?.role === "assistant" ? messages.slice(0, -1) : messages;
    case "cut":
      return messages.filter((message) => message.id < action.id);
    case "recorded":
      return messages.map((message) => withRecord(message, action.record));
    default:
      return changeAnswer(messages, (answer) => changed(answer, action));
  }
}

function newAnswer(id: number, sentAt: number): AnswerMessage {
  const stats: AnswerStats = {
    sentAt,
    firstTextAt: null,
    lastTextAt: null,
    endedAt: null,
    numPieces: 0,
    requestId: null,
    timing: {},
    usage: null,
    finishReason: null,
    record: null,
  };
  return { id, role: "assistant", text: "", state: "streaming", failure: null, stats };
}

function withRecord(message: Message, record: RequestRecord): Message {
  if (message.role === "user" || message.stats.requestId !== record.request_id) return message;
  return { ...message, stats: { ...message.stats, record } };
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
      return {
        ...answer,
        text: answer.text + action.text,
        stats: {
          ...stats,
          firstTextAt: stats.firstTextAt ?? action.at,
          lastTextAt: action.at,
          numPieces: stats.numPieces + action.numPieces,
        },
      };
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

export function isStreaming(messages: Message[]): boolean {
  const last = messages.at(-1);
  return last?.role === "assistant" && last.state === "streaming";
}

/** The messages as turns for the model; empty answers are left out. */
export function turnsOf(messages: Message[]): ChatTurn[] {
  return messages
    .filter((message) => message.role === "user" || message.text !== "")
    .map(({ role, text }) => ({ role, content: text }));
}

/** The turns up to and including the last question. */
export function askedTurns(messages: Message[]): ChatTurn[] {
  const last = messages.findLastIndex((message) => message.role === "user");
  return turnsOf(messages.slice(0, last + 1));
}
