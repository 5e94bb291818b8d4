import { describe, expect, it } from "vitest";
import { converse, speedOf, turnsOf, type ConversationAction, type Message } from "./conversation";
import { buildRequest, DEFAULT_SETTINGS } from "./settings";

function play(...actions: ConversationAction[]): Message[] {
  return actions.reduce<Message[]>(converse, []);
}

const answered: ConversationAction[] = [
  { kind: "asked", text: "Hi" },
  { kind: "begun", at: 1000 },
  { kind: "opened", requestId: "r1", timing: { queue: 0.001 } },
  { kind: "grew", text: "Hel", at: 1200 },
  { kind: "grew", text: "lo", at: 1300 },
  { kind: "measured", finishReason: "stop" },
  { kind: "measured", usage: { prompt_tokens: 9, completion_tokens: 11 } },
  { kind: "ended", state: "done" },
];

describe("a conversation", () => {
  it("grows the answer piece by piece and keeps what was measured", () => {
    const [question, answer] = play(...answered);
    expect(question).toMatchObject({ role: "user", text: "Hi" });
    expect(answer).toMatchObject({
      text: "Hello",
      state: "done",
      stats: { requestId: "r1", finishReason: "stop", usage: { completion_tokens: 11 } },
    });
  });

  it("keeps the text of an answer that was cut", () => {
    const failure = { title: "Cut", words: "", waitSeconds: null };
    const messages = play(...answered.slice(0, 4), { kind: "ended", state: "failed", failure });
    expect(messages.at(-1)).toMatchObject({ text: "Hel", state: "failed", failure });
  });

  it("drops late pieces of an answer that was cleared away", () => {
    const late: ConversationAction = { kind: "grew", text: "x", at: 1 };
    expect(play(...answered.slice(0, 3), { kind: "cleared" }, late)).toEqual([]);
  });

  it("does not tell the model about answers that never began", () => {
    const messages = play(
      { kind: "asked", text: "Hi" },
      { kind: "begun", at: 0 },
      { kind: "ended", state: "failed" },
      { kind: "asked", text: "Again" },
    );
    expect(turnsOf(messages)).toEqual([
      { role: "user", content: "Hi" },
      { role: "user", content: "Again" },
    ]);
  });

  it("asks again by dropping the last answer only", () => {
    expect(play(...answered, { kind: "answer dropped" }, { kind: "answer dropped" })).toHaveLength(
      1,
    );
  });
});

describe("speedOf", () => {
  it("uses the service's token count once it is known", () => {
    const last = play(...answered).at(-1);
    expect(last?.role === "assistant" && speedOf(last.stats)).toEqual({
      ttftSeconds: 0.2,
      tokensPerSecond: 100,
      isEstimate: false,
    });
  });

  it("claims no speed for an answer that came in one packet", () => {
    const burst = answered.map((action) =>
      action.kind === "grew" ? { ...action, at: 1200 } : action,
    );
    const last = play(...burst).at(-1);
    expect(last?.role === "assistant" && speedOf(last.stats)).toMatchObject({
      ttftSeconds: 0.2,
      tokensPerSecond: null,
    });
  });

  it("estimates from the pieces before that, and claims nothing before the first", () => {
    const growing = play(...answered.slice(0, 5)).at(-1);
    expect(growing?.role === "assistant" && speedOf(growing.stats)).toMatchObject({
      tokensPerSecond: 10,
      isEstimate: true,
    });
    const begun = play(...answered.slice(0, 2)).at(-1);
    expect(begun?.role === "assistant" && speedOf(begun.stats).ttftSeconds).toBeNull();
  });
});

describe("buildRequest", () => {
  it("puts the system prompt first and leaves an empty one out", () => {
    const turns = [{ role: "user", content: "Hi" } as const];
    const own = { ...DEFAULT_SETTINGS, system: " Be brief. ", seed: 7 };
    expect(buildRequest(own, "pocket", turns)).toEqual({
      model: "pocket",
      messages: [{ role: "system", content: "Be brief." }, ...turns],
      temperature: 0.3,
      top_p: 0.95,
      max_tokens: 256,
      seed: 7,
    });
    const plain = buildRequest(DEFAULT_SETTINGS, "pocket", turns);
    expect(plain.messages).toEqual(turns);
    expect(plain).not.toHaveProperty("seed");
  });
});
