import { describe, expect, it } from "vitest";
import { recordOf, usageOf } from "./examples";
import {
  askedTurns,
  converse,
  isStreaming,
  turnsOf,
  type ConversationAction,
  type Message,
} from "./conversation";

function play(...actions: ConversationAction[]): Message[] {
  return actions.reduce<Message[]>(converse, []);
}

const answered: ConversationAction[] = [
  { kind: "asked", text: "Hi" },
  { kind: "begun", at: 1000 },
  { kind: "opened", requestId: "r1", timing: { queue: 0.001 } },
  { kind: "grew", text: "Hel", at: 1200, numPieces: 1 },
  { kind: "grew", text: "lo", at: 1300, numPieces: 1 },
  { kind: "measured", finishReason: "stop" },
  { kind: "measured", usage: usageOf(9, 11) },
  { kind: "ended", state: "done", at: 1310 },
];

describe("a conversation", () => {
  it("grows the answer piece by piece and keeps the measurements", () => {
    const [question, answer] = play(...answered);
    expect(question).toMatchObject({ role: "user", text: "Hi" });
    expect(answer).toMatchObject({
      text: "Hello",
      state: "done",
      stats: { requestId: "r1", finishReason: "stop", usage: { completion_tokens: 11 } },
    });
  });

  it("streams from the start of an answer to its end", () => {
    const states = answered.map((_, n) => isStreaming(play(...answered.slice(0, n + 1))));
    expect(states).toEqual([false, true, true, true, true, true, true, false]);
  });

  it("keeps the text of an answer that was cut", () => {
    const failure = { title: "Cut", words: "", retryAt: null };
    const messages = play(...answered.slice(0, 4), {
      kind: "ended",
      state: "failed",
      at: 1,
      failure,
    });
    expect(messages.at(-1)).toMatchObject({ text: "Hel", state: "failed", failure });
  });

  it("drops late pieces of an answer that was removed", () => {
    const late: ConversationAction = { kind: "grew", text: "x", at: 1, numPieces: 1 };
    expect(play(...answered.slice(0, 3), { kind: "cut", id: 1 }, late)).toEqual([]);
  });

  it("gives the service's record to the answer of that request only", () => {
    const second = answered.map((action) =>
      action.kind === "opened" ? { ...action, requestId: "r2" } : action,
    );
    const record = recordOf({ request_id: "r1" });
    const messages = play(...answered, ...second, { kind: "recorded", record });
    const records = messages.map((m) => (m.role === "assistant" ? m.stats.record : undefined));
    expect(records).toEqual([undefined, record, undefined, null]);
  });

  it("removes a message and all later ones to replace them", () => {
    const long = play(...answered, ...answered, ...answered);
    const third = long[2];
    expect(long).toHaveLength(6);
    const branch = converse(long, { kind: "cut", id: third?.id ?? 0 });
    expect(branch).toEqual(long.slice(0, 2));
    const asked = converse(branch, { kind: "asked", text: "Else" });
    expect(asked.at(-1)).toMatchObject({ role: "user", text: "Else" });
    expect(new Set(asked.map((message) => message.id)).size).toBe(3);
  });

  it("leaves answers that never began out of the turns", () => {
    const messages = play(
      { kind: "asked", text: "Hi" },
      { kind: "begun", at: 0 },
      { kind: "ended", state: "failed", at: 1 },
      { kind: "asked", text: "Again" },
    );
    expect(turnsOf(messages)).toEqual([
      { role: "user", content: "Hi" },
      { role: "user", content: "Again" },
    ]);
  });

  it("drops only the last answer to ask again", () => {
    expect(play(...answered, { kind: "answer dropped" }, { kind: "answer dropped" })).toHaveLength(
      1,
    );
  });

  it("finds the turns that the last answer answered", () => {
    const messages = play(...answered, { kind: "asked", text: "And?" }, ...answered.slice(1));
    expect(askedTurns(messages).map((turn) => turn.content)).toEqual(["Hi", "Hello", "And?"]);
    expect(askedTurns([])).toEqual([]);
  });
});
