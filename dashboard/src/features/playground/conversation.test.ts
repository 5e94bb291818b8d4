import { describe, expect, it } from "vitest";
import { callPiece, grew, recordOf, usageOf } from "./examples";
import {
  awaitsResults,
  completeMessage,
  converse,
  isStreaming,
  type AnswerMessage,
  type ConversationAction,
  type Message,
} from "./conversation";
import { askedTurns, turnsOf } from "./turns";

function play(...actions: ConversationAction[]): Message[] {
  return actions.reduce<Message[]>(converse, []);
}

const answered: ConversationAction[] = [
  { kind: "asked", text: "Hi" },
  { kind: "begun", at: 1000, schema: null },
  { kind: "opened", requestId: "r1", timing: { queue: 0.001 } },
  grew({ text: "Hel", at: 1200 }),
  grew({ text: "lo", at: 1300 }),
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
    const late: ConversationAction = grew({ text: "x", at: 1 });
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
      { kind: "begun", at: 0, schema: null },
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

const called: ConversationAction[] = [
  { kind: "asked", text: "Weather?" },
  { kind: "begun", at: 1000, schema: null },
  grew({ reasoning: "I nee", at: 1100 }),
  grew({ reasoning: "d a tool.", at: 3400 }),
  grew({ calls: [callPiece(0, "get_weather", '{"ci'), callPiece(1, "get_time", "")], at: 3500 }),
  grew({ calls: [{ index: 0, id: null, name: null, arguments: 'ty": 1}' }], at: 3600 }),
  { kind: "measured", finishReason: "tool_calls" },
  { kind: "ended", state: "done", at: 3700 },
];

const CALL_TURN = {
  role: "assistant",
  content: null,
  reasoning_content: "I need a tool.",
  tool_calls: [
    {
      id: "call_0",
      type: "function",
      function: { name: "get_weather", arguments: '{"city": 1}' },
    },
    { id: "call_1", type: "function", function: { name: "get_time", arguments: "" } },
  ],
};

describe("tool calls", () => {
  it("grow by their index, and reasoning is timed from its first to its last piece", () => {
    const answer = play(...called)[1];
    expect(answer).toMatchObject({
      text: "",
      reasoning: "I need a tool.",
      calls: [
        { id: "call_0", name: "get_weather", arguments: '{"city": 1}', result: null },
        { id: "call_1", name: "get_time", arguments: "", result: null },
      ],
      stats: { firstTextAt: 1100, reasoningFrom: 1100, reasoningTo: 3400 },
    });
  });

  it("wait for their results, which are sent after them with the reasoning", () => {
    const waiting = play(...called);
    expect(awaitsResults(waiting)).toBe(true);
    expect(askedTurns(waiting)).toEqual([{ role: "user", content: "Weather?" }]);
    const given: ConversationAction = { kind: "results given", id: 2, results: ["22", "noon"] };
    const messages = play(...called, given);
    expect(awaitsResults(messages)).toBe(false);
    expect(askedTurns(messages)).toEqual([
      { role: "user", content: "Weather?" },
      CALL_TURN,
      { role: "tool", tool_call_id: "call_0", content: "22" },
      { role: "tool", tool_call_id: "call_1", content: "noon" },
    ]);
  });

  it("get other results, which delete all later messages", () => {
    const messages = play(
      ...called,
      { kind: "results given", id: 2, results: ["22", "noon"] },
      ...answered.slice(1),
      ...answered,
      { kind: "results given", id: 2, results: ["5", "noon"] },
    );
    expect(messages).toHaveLength(2);
    expect(turnsOf(messages)[2]).toMatchObject({ role: "tool", content: "5" });
  });

  it("are not sent if the answer ended before they were complete", () => {
    const cut = called.map((action): ConversationAction => {
      return action.kind === "measured" ? { ...action, finishReason: "length" } : action;
    });
    const stopped: ConversationAction = { kind: "ended", state: "stopped", at: 1 };
    for (const messages of [play(...cut), play(...called.slice(0, 6), stopped)]) {
      expect(awaitsResults(messages)).toBe(false);
      expect(turnsOf(messages)).toEqual([{ role: "user", content: "Weather?" }]);
    }
  });
});

it("does not send the reasoning of an answer without calls", () => {
  const thought = [grew({ reasoning: "Hm." }), ...answered.slice(3)];
  expect(turnsOf(play(...answered.slice(0, 3), ...thought))[1]).toEqual({
    role: "assistant",
    content: "Hello",
  });
});

it("completes an answer that an earlier dashboard stored", () => {
  const { reasoning, calls, schema, ...old } = play(...answered)[1] as AnswerMessage;
  expect([reasoning, calls, schema]).toEqual(["", [], null]);
  const kept = completeMessage(old as unknown as Message);
  expect(kept).toEqual(play(...answered)[1]);
});
