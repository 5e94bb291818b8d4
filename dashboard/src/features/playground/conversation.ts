/** The conversation as data: what was said, and how each answer went. No network, no React. */

import type { ChatTurn, Usage } from "../../api/chat";
import type { Failure } from "./failure";

/** The browser's clock (milliseconds since it opened the page) beside the service's own facts. */
export interface AnswerStats {
  sentAt: number;
  firstTextAt: number | null;
  lastTextAt: number | null;
  numPieces: number;
  requestId: string | null;
  timing: Record<string, number>;
  usage: Usage | null;
  finishReason: string | null;
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
  | { kind: "grew"; text: string; at: number }
  | { kind: "measured"; usage?: Usage; finishReason?: string }
  | { kind: "ended"; state: AnswerState; failure?: Failure }
  | { kind: "answer dropped" }
  | { kind: "cleared" };

export function converse(messages: Message[], action: ConversationAction): Message[] {
  const id = (messages.at(-1)?.id ?? 0) + 1;
  switch (action.kind) {
    case "asked":
      return [...messages, { id, role: "user", text: action.text }];
    case "begun":
      return [...messages, newAnswer(id, action.at)];
    case "answer dropped":
      return messages.at(-1)?.role === "assistant" ? messages.slice(0, -1) : messages;
    case "cleared":
      return [];
    default:
      return changeAnswer(messages, (answer) => changed(answer, action));
  }
}

function newAnswer(id: number, sentAt: number): AnswerMessage {
  const stats: AnswerStats = {
    sentAt,
    firstTextAt: null,
    lastTextAt: null,
    numPieces: 0,
    requestId: null,
    timing: {},
    usage: null,
    finishReason: null,
  };
  return { id, role: "assistant", text: "", state: "streaming", failure: null, stats };
}

function changeAnswer(messages: Message[], change: (answer: AnswerMessage) => AnswerMessage) {
  const last = messages.at(-1);
  // After "cleared" late pieces of the old stream have no answer to go to.
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
          numPieces: stats.numPieces + 1,
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
      return { ...answer, state: action.state, failure: action.failure ?? null };
  }
}

/** What the model is told was said before; failed and empty answers are left out. */
export function turnsOf(messages: Message[]): ChatTurn[] {
  return messages
    .filter((message) => message.role === "user" || message.text !== "")
    .map(({ role, text }) => ({ role, content: text }));
}

/** Pieces that arrive closer together than this came in one packet: that is no speed. */
const MIN_MEASURED_SECONDS = 0.05;

export interface AnswerSpeed {
  ttftSeconds: number | null;
  tokensPerSecond: number | null;
  /** Counted from the pieces received: the service has not told the usage yet. */
  isEstimate: boolean;
}

export function speedOf({
  sentAt,
  firstTextAt,
  lastTextAt,
  numPieces,
  usage,
}: AnswerStats): AnswerSpeed {
  if (firstTextAt === null || lastTextAt === null) {
    return { ttftSeconds: null, tokensPerSecond: null, isEstimate: true };
  }
  const seconds = (lastTextAt - firstTextAt) / 1000;
  const numAfterFirst = (usage?.completion_tokens ?? numPieces) - 1;
  return {
    ttftSeconds: (firstTextAt - sentAt) / 1000,
    tokensPerSecond:
      seconds >= MIN_MEASURED_SECONDS && numAfterFirst > 0 ? numAfterFirst / seconds : null,
    isEstimate: usage === null,
  };
}
