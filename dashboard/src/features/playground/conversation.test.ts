import { describe, expect, it } from "vitest";
import type { ServedModel } from "../../api/types";
import { findBlind, hasPictures } from "./attachments";
import { callPiece, grew, play, playOn, recordOf, usageOf, type Step } from "./examples";
import {
  awaitsResults,
  canContinue,
  completeMessage,
  isStreaming,
  type AnswerMessage,
  type Attachment,
  type Message,
} from "./conversation";
import { pathOf, pathTo, slotOf, threadOf } from "./thread";
import { isSentAsItIs, fitted } from "./pictures";
import { DEFAULT_SETTINGS, sideOf } from "./settings";
import {
  askedTurns,
  contentOf,
  continuedTurns,
  textTurnsOf,
  turnsOf,
  withShortImages,
} from "./turns";

/** The messages that are shown after some steps. */
function shown(...steps: Step[]): Message[] {
  return pathOf(play(...steps));
}

const answered: Step[] = [
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
    const [question, answer] = shown(...answered);
    expect(question).toMatchObject({ role: "user", text: "Hi" });
    expect(answer).toMatchObject({
      text: "Hello",
      state: "done",
      stats: { requestId: "r1", finishReason: "stop", usage: { completion_tokens: 11 } },
    });
  });

  it("streams from the start of an answer to its end", () => {
    const states = answered.map((_, n) => isStreaming(shown(...answered.slice(0, n + 1))));
    expect(states).toEqual([false, true, true, true, true, true, true, false]);
  });

  it("keeps the text of an answer that was cut", () => {
    const failure = { title: "Cut", words: "", retryAt: null };
    const messages = shown(...answered.slice(0, 4), {
      kind: "ended",
      state: "failed",
      at: 1,
      failure,
    });
    expect(messages.at(-1)).toMatchObject({ text: "Hel", state: "failed", failure });
  });

  it("drops late pieces of an answer that has ended", () => {
    const late = grew({ text: "x", at: 1 });
    expect(shown(...answered, late)).toEqual(shown(...answered));
  });

  it("gives the service's record to the answer of that request only", () => {
    const second = answered.map((action) =>
      action.kind === "opened" ? { ...action, requestId: "r2" } : action,
    );
    const record = recordOf({ request_id: "r1" });
    const messages = shown(...answered, ...second, { kind: "recorded", record });
    const records = messages.map((m) => (m.role === "assistant" ? m.stats.record : undefined));
    expect(records).toEqual([undefined, record, undefined, null]);
  });

  it("leaves answers that never began out of the turns", () => {
    const messages = shown(
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

  it("finds the turns that the last answer answered", () => {
    const messages = shown(...answered, { kind: "asked", text: "And?" }, ...answered.slice(1));
    expect(askedTurns(messages).map((turn) => turn.content)).toEqual(["Hi", "Hello", "And?"]);
    expect(askedTurns([])).toEqual([]);
  });
});

const called: Step[] = [
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
    const answer = shown(...called)[1];
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
    const waiting = shown(...called);
    expect(awaitsResults(waiting)).toBe(true);
    expect(askedTurns(waiting)).toEqual([{ role: "user", content: "Weather?" }]);
    const given: Step = { kind: "results given", id: 2, results: ["22", "noon"] };
    const messages = shown(...called, given);
    expect(awaitsResults(messages)).toBe(false);
    expect(askedTurns(messages)).toEqual([
      { role: "user", content: "Weather?" },
      CALL_TURN,
      { role: "tool", tool_call_id: "call_0", content: "22" },
      { role: "tool", tool_call_id: "call_1", content: "noon" },
    ]);
  });

  it("get other results as a version, with what followed the first ones kept", () => {
    const first: Step[] = [
      ...called,
      { kind: "results given", id: 2, results: ["22", "noon"] },
      ...answered.slice(1),
    ];
    const other: Step = { kind: "results given", id: 2, results: ["5", "noon"] };
    const path = shown(...first, other);
    expect(path.map(({ id }) => id)).toEqual([1, 4]);
    expect(turnsOf(path)[2]).toMatchObject({ role: "tool", content: "5" });
    expect(shown(...first, other, { kind: "chosen", id: 2 })).toEqual(shown(...first));
  });

  it("are not sent if the answer ended before they were complete", () => {
    const cut = called.map((action): Step => {
      return action.kind === "measured" ? { ...action, finishReason: "length" } : action;
    });
    const stopped: Step = { kind: "ended", state: "stopped", at: 1 };
    for (const messages of [shown(...cut), shown(...called.slice(0, 6), stopped)]) {
      expect(awaitsResults(messages)).toBe(false);
      expect(turnsOf(messages)).toEqual([{ role: "user", content: "Weather?" }]);
    }
  });
});

it("does not send the reasoning of an answer without calls", () => {
  const thought = [grew({ reasoning: "Hm." }), ...answered.slice(3)];
  expect(turnsOf(shown(...answered.slice(0, 3), ...thought))[1]).toEqual({
    role: "assistant",
    content: "Hello",
  });
});

it("completes an answer that an earlier dashboard stored", () => {
  const { reasoning, calls, schema, ...old } = shown(...answered)[1] as AnswerMessage;
  expect([reasoning, calls, schema]).toEqual(["", [], null]);
  const kept = completeMessage(old as unknown as Message);
  expect(kept).toEqual(shown(...answered)[1]);
});

describe("versions", () => {
  const talk = play(...answered, { kind: "asked", text: "And?" }, ...answered.slice(1));

  it("of an answer are stepped through, and none is lost", () => {
    const two = playOn(talk, { kind: "begun", parent: 3, at: 0, schema: null, making: null });
    expect(pathOf(two).map(({ id }) => id)).toEqual([1, 2, 3, 5]);
    const slots = pathOf(two).map((message) => slotOf(two, message));
    expect(slots.at(-1)).toEqual({ index: 1, count: 2, before: 4, after: null });
    expect(pathOf(playOn(two, { kind: "chosen", id: 4 }))).toEqual(pathOf(talk));
  });

  it("of a question keep what follows each of them", () => {
    const other = playOn(talk, { kind: "asked", parent: 0, text: "Hello" }, ...answered.slice(1));
    expect(pathOf(other).map(({ text }) => text)).toEqual(["Hello", "Hello"]);
    const back = playOn(other, { kind: "chosen", id: 1 });
    expect(pathOf(back)).toEqual(pathOf(talk));
    // A version deep in another branch is shown with all that leads to it.
    expect(pathOf(playOn(other, { kind: "chosen", id: 4 }))).toEqual(pathOf(talk));
  });

  it("of an edited answer have the new text and no measurements", () => {
    const edited = playOn(talk, { kind: "edited", id: 4, text: "Better" });
    const [, , , answer] = pathOf(edited);
    expect(answer).toMatchObject({ text: "Better", isEdited: true, state: "done" });
    expect((answer as AnswerMessage).stats.usage).toBeNull();
    expect(edited.messages).toHaveLength(5);
  });

  it("side by side count as one", () => {
    const begun = { kind: "begun", parent: 3, pair: 5, at: 0, schema: null, making: null } as const;
    const pair = playOn(talk, begun, begun, { kind: "chosen", id: 5 });
    const slot = { index: 1, count: 2, before: 4, after: null };
    for (const message of pair.messages.slice(-2)) expect(slotOf(pair, message)).toEqual(slot);
    expect(pathOf(pair).at(-1)?.id).toBe(5);
  });

  it("come from a list of an earlier dashboard as one line", () => {
    const old = talk.messages.map((message) => ({ ...message, parent: undefined }));
    const thread = threadOf({ messages: old as unknown as Message[] });
    expect(thread.messages).toEqual(talk.messages);
    expect(pathOf(thread)).toEqual(pathOf(talk));
    expect(pathTo(talk, 3).map(({ id }) => id)).toEqual([1, 2, 3]);
  });
});

describe("an answer that was cut", () => {
  const cut = play(...answered.slice(0, 5), { kind: "ended", state: "interrupted", at: 2 });

  it("is continued: the text grows and the times start again", () => {
    const [, answer] = pathOf(
      playOn(cut, { kind: "continued", id: 2, at: 5000 }, grew({ text: " you", at: 5100 })),
    );
    expect(answer).toMatchObject({
      text: "Hello you",
      state: "streaming",
      numContinued: 1,
      stats: { sentAt: 5000, firstTextAt: 5100, numPieces: 1 },
    });
  });

  it("can be continued if it has a text and no calls, and was not complete", () => {
    const [, answer] = pathOf(cut) as [Message, AnswerMessage];
    expect(canContinue(answer)).toBe(true);
    expect(canContinue({ ...answer, text: "" })).toBe(false);
    expect(canContinue({ ...answer, schema: {} })).toBe(false);
    expect(canContinue({ ...answer, state: "streaming" })).toBe(false);
    expect(canContinue({ ...answer, state: "done" })).toBe(false);
    const stats = { ...answer.stats, finishReason: "length" };
    expect(canContinue({ ...answer, state: "done", stats })).toBe(true);
    const withCalls = shown(...called).slice(1) as AnswerMessage[];
    expect(withCalls.map(canContinue)).toEqual([false]);
  });

  it("is the last turn of the request that continues it", () => {
    expect(continuedTurns(pathOf(cut))).toEqual([
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello" },
    ]);
  });
});

it("sends a file after the text as a block of code with its name", () => {
  const attachments = [{ name: "a.py", text: "x = '```'\n" }];
  expect(contentOf({ text: "Why?", attachments })).toBe("Why?\n\na.py:\n````py\nx = '```'\n````");
});

describe("an image", () => {
  const fox = { name: "fox.png", image: "data:image/png;base64,AAAA", width: 4, height: 3 };
  const file = { name: "a.py", text: "x" };
  const ask = (text: string, attachments: Attachment[]) =>
    shown({ kind: "asked", parent: 0, text, attachments });
  const part = { type: "image_url", image_url: { url: fox.image, detail: "auto" } };

  it("is sent before the text and the files", () => {
    const [turn] = turnsOf(ask("Why?", [file, fox]));
    const text = "Why?\n\na.py:\n```py\nx\n```";
    expect(turn).toEqual({ role: "user", content: [part, { type: "text", text }] });
  });

  it("can be sent without text", () => {
    expect(turnsOf(ask("", [fox]))).toEqual([{ role: "user", content: [part] }]);
  });

  it("is not sent to be counted, and not shown in code", () => {
    expect(textTurnsOf(ask("Why?", [fox]))).toEqual([{ role: "user", content: "Why?" }]);
    const [turn] = withShortImages(turnsOf(ask("Why?", [fox])));
    expect(JSON.stringify(turn)).not.toContain("AAAA");
  });

  it("can be sent only if all models of the next answers see", () => {
    const model = (id: string, vision: boolean) =>
      ({ id, capabilities: { vision } }) as ServedModel;
    const models = [model("a", true), model("b", false)];
    const settings = { ...DEFAULT_SETTINGS, model: "a" };
    expect(findBlind(settings, models)).toBeUndefined();
    expect(findBlind({ ...settings, model: "b" }, models)?.id).toBe("b");
    const right = { ...sideOf(settings), model: "b" };
    expect(findBlind({ ...settings, right }, models)?.id).toBe("b");
    expect(hasPictures(ask("", [fox]))).toBe(true);
    expect(hasPictures(ask("", [file]))).toBe(false);
  });

  it("is scaled down if it is large, and converted if the service does not read its format", () => {
    expect(fitted({ width: 4000, height: 3000 })).toEqual({ width: 1536, height: 1152 });
    expect(fitted({ width: 100, height: 50 })).toEqual({ width: 100, height: 50 });
    expect(fitted({ width: 100_000, height: 1 })).toEqual({ width: 1536, height: 1 });
    const small = { width: 100, height: 100 };
    const blob = (type: string, size = 9) => new Blob(["x".repeat(size)], { type });
    expect(isSentAsItIs(blob("image/png"), small)).toBe(true);
    expect(isSentAsItIs(blob("image/heic"), small)).toBe(false);
    expect(isSentAsItIs(blob("image/png", 2 ** 21), small)).toBe(false);
    expect(isSentAsItIs(blob("image/png"), { width: 1537, height: 1 })).toBe(false);
  });
});
