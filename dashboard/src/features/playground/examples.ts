/** Small conversations and records, for tests of the playground. */

import type { CallPiece } from "../../api/chat";
import type { RequestRecord, Usage } from "../../api/types";
import {
  converse,
  EMPTY_THREAD,
  START,
  type AnswerAction,
  type ConversationAction,
  type Growth,
  type Thread,
} from "./conversation";
import type { Conversation } from "./kept";
import { DEFAULT_SETTINGS } from "./settings";
import { pathOf } from "./thread";

/** An action on the last message that is shown, so that most tests need no ids. */
export type Step =
  | ConversationAction
  | AnswerAction
  | { kind: "asked"; text: string }
  | { kind: "begun"; at: number; schema: null }
  | { kind: "dropped" };

export function play(...steps: Step[]): Thread {
  return playOn(EMPTY_THREAD, ...steps);
}

export function playOn(before: Thread, ...steps: Step[]): Thread {
  return steps.reduce((thread, step) => {
    const last = pathOf(thread).at(-1)?.id ?? START;
    const whole: unknown = { parent: last, id: last, making: null, ...step };
    return converse(thread, whole as ConversationAction);
  }, before);
}

export function recordOf(some: Partial<RequestRecord> = {}): RequestRecord {
  return {
    request_id: "r1",
    started_at: 1000,
    key_name: "admin",
    operation: "chat",
    model: "pocket",
    stream: true,
    outcome: "stop",
    prompt_tokens: 24,
    cached_tokens: 16,
    output_tokens: 11,
    queue_seconds: 0.002,
    prefill_seconds: 0.03,
    decode_seconds: 0.1,
    ttft_seconds: 0.032,
    duration_seconds: 0.14,
    error_kind: null,
    error_phase: null,
    ...some,
  };
}

export function usageOf(prompt_tokens: number, completion_tokens: number): Usage {
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

/** One piece of an answer. */
export function grew(some: Partial<Growth>): AnswerAction {
  return { kind: "grew", text: "", reasoning: "", calls: [], at: 0, numPieces: 1, ...some };
}

/** The first piece of a call, with all of its arguments. */
export function callPiece(index: number, name: string, text: string): CallPiece {
  return { index, id: `call_${index}`, name, arguments: text };
}

/** A question and its complete answer. */
export function exchange(question: string, answer: string): Step[] {
  return [
    { kind: "asked", text: question },
    { kind: "begun", at: 1000, schema: null },
    { kind: "opened", requestId: "r1", timing: { queue: 0.002, prefill: 0.03 } },
    grew({ text: answer, at: 1100 }),
    { kind: "ended", state: "done", at: 1300 },
  ];
}

export function conversationOf(steps: Step[], some: Partial<Conversation> = {}): Conversation {
  return {
    id: "c1",
    owner: "admin",
    title: "A talk",
    createdAt: Date.UTC(2026, 10, 21, 12),
    updatedAt: Date.UTC(2026, 10, 21, 12, 5),
    settings: DEFAULT_SETTINGS,
    ...play(...steps),
    ...some,
  };
}
