import { describe, expect, it } from "vitest";
import { EMPTY_THREAD } from "./conversation";
import { callPiece, conversationOf, exchange, grew, recordOf, usageOf } from "./examples";
import { toJson, toMarkdown } from "./export";
import { readExport } from "./import";
import type { Conversation } from "./kept";
import { EXAMPLE_SCHEMA } from "./schema";
import { findConversations } from "./search";
import { DEFAULT_SAMPLING, DEFAULT_SETTINGS, sideOf } from "./settings";
import { pathOf } from "./thread";
import { fileNameOf, titleOf } from "./titles";
import { EXAMPLE_TOOLS } from "./tools";

const conversation = conversationOf(
  [
    ...exchange("What is 7 plus 5?", "It is **12**."),
    { kind: "recorded", record: recordOf() },
    { kind: "asked", text: "Sure?" },
    { kind: "begun", at: 0, schema: null },
    grew({ text: "Ye", at: 1 }),
    { kind: "ended", state: "stopped", at: 2 },
  ],
  { settings: { ...DEFAULT_SETTINGS, system: "Be brief." } },
);

const NOW = Date.UTC(2026, 10, 22);

/** What an import makes of some text; null if it refuses it. */
function imported(text: string): Conversation | null {
  return readExport(text, NOW).value?.[0] ?? null;
}

/** What reading it again gives: it has no key, and no id until it is stored. */
function withoutOwner(conversation: Conversation): Conversation {
  return { ...conversation, id: "", owner: "" };
}

describe("export", () => {
  it("writes JSON that gives the same conversation when it is imported", () => {
    expect(imported(toJson([conversation]))).toEqual(withoutOwner(conversation));
  });

  it("keeps every version, file, setting and measurement", () => {
    const settings = {
      ...DEFAULT_SETTINGS,
      toolChoice: { name: "get_weather" },
      sampling: { ...DEFAULT_SAMPLING, stop: ["x"], seed: 7 },
      right: { ...sideOf(DEFAULT_SETTINGS), model: "other" },
    };
    const making = { ...sideOf(settings), model: "pocket" };
    const { ownSystem, ...made } = making;
    expect(ownSystem).toBe("");
    const file = { name: "a.py", text: "x = 1\n" };
    const fox = { name: "fox.png", image: "data:image/png;base64,AAAA", width: 4, height: 3 };
    const rich = conversationOf(
      [
        { kind: "asked", parent: 0, text: "Read", attachments: [file, fox] },
        { kind: "begun", parent: 1, at: 0, schema: { type: "object" }, making: made },
        grew({ text: "{}", at: 5 }),
        { kind: "measured", usage: usageOf(3, 4), finishReason: "stop" },
        { kind: "ended", state: "done", at: 6 },
        { kind: "edited", id: 2, text: "{ }" },
        { kind: "chosen", id: 2 },
      ],
      { settings },
    );
    const all = readExport(toJson([conversation, rich]), NOW).value;
    expect(all).toEqual([conversation, rich].map(withoutOwner));
    expect(all?.map((one) => pathOf(one).at(-1)?.id)).toEqual([4, 2]);
  });

  it("takes no image that the page would have to fetch", () => {
    const asked = (image: string) => {
      const picture = { name: "x", image, width: 1, height: 1 };
      return conversationOf([{ kind: "asked", parent: 0, text: "", attachments: [picture] }]);
    };
    expect(imported(toJson([asked("data:image/webp;base64,AA==")]))).not.toBeNull();
    const bad = ["https://a.example/b.png", "data:image/svg+xml;base64,AAAA", "data:image/png,A"];
    for (const url of bad) expect(imported(toJson([asked(url)]))).toBeNull();
  });

  it("names images in Markdown", () => {
    const fox = { name: "fox.png", image: "data:image/png;base64,AAAA", width: 4, height: 3 };
    const asked = { kind: "asked" as const, parent: 0, text: "Who?", attachments: [fox] };
    expect(toMarkdown(conversationOf([asked]))).toContain("**You**\n\n[image: fox.png]\n\nWho?");
  });

  it("writes Markdown with the answers unchanged", () => {
    expect(toMarkdown(conversation)).toBe(
      [
        "# A talk",
        "2026-11-21T12:00:00.000Z",
        "**System**\n\nBe brief.",
        "**You**\n\nWhat is 7 plus 5?",
        "**Model**\n\nIt is **12**.",
        "**You**\n\nSure?",
        "**Model** (stopped)\n\nYe\n",
      ].join("\n\n"),
    );
  });
});

describe("export of tool calls", () => {
  const withCalls = conversationOf(
    [
      { kind: "asked", text: "Weather?" },
      { kind: "begun", at: 0, schema: null },
      grew({ reasoning: "A tool\n\nhelps." }),
      grew({ calls: [callPiece(0, "get_weather", '{"city":"Rome"}')] }),
      { kind: "measured", finishReason: "tool_calls" },
      { kind: "ended", state: "done", at: 2 },
      { kind: "results given", id: 2, results: ["22 ```degrees"] },
      ...exchange("", "Warm.").slice(1),
    ],
    { settings: { ...DEFAULT_SETTINGS, tools: EXAMPLE_TOOLS, schema: EXAMPLE_SCHEMA } },
  );

  it("writes JSON with the calls and their results, to be imported again", () => {
    expect(imported(toJson([withCalls]))).toEqual(withoutOwner(withCalls));
  });

  it("writes Markdown with the reasoning quoted and the calls as code", () => {
    expect(toMarkdown(withCalls)).toContain(
      [
        "**Model**",
        "> Reasoning:\n>\n> A tool\n>\n> helps.",
        "Call of `get_weather`:",
        '```json\n{\n  "city": "Rome"\n}\n```',
        "Result:",
        "````\n22 ```degrees\n````",
        "**Model**\n\nWarm.\n",
      ].join("\n\n"),
    );
  });
});

describe("import", () => {
  it("takes the first version of an export, and messages as in a request", () => {
    const call = { id: "c0", type: "function", function: { name: "f", arguments: "{}" } };
    const first = {
      format: "llm_service conversation",
      version: 1,
      title: "Old",
      created_at: "2026-11-20T00:00:00.000Z",
      settings: { model: "pocket", system: "Be brief.", temperature: 0.5 },
      messages: [
        { role: "user", content: "Weather?" },
        { role: "assistant", content: "", tool_calls: [call], finish_reason: "tool_calls" },
        { role: "tool", tool_call_id: "c0", content: "22" },
        { role: "assistant", content: "Warm", state: "stopped" },
      ],
    };
    const conversation = imported(JSON.stringify(first));
    expect(conversation).toMatchObject({
      title: "Old",
      createdAt: Date.UTC(2026, 10, 20),
      settings: { model: "pocket", system: "Be brief.", sampling: { temperature: 0.5 } },
    });
    expect(pathOf(conversation ?? EMPTY_THREAD)).toMatchObject([
      { role: "user", text: "Weather?" },
      { calls: [{ name: "f", result: "22" }], stats: { finishReason: "tool_calls" } },
      { text: "Warm", state: "stopped" },
    ]);
    const plain = { messages: [{ role: "system", content: "S" }, first.messages[0]] };
    expect(imported(JSON.stringify(plain))).toMatchObject({
      title: "Weather?",
      settings: { system: "S" },
      messages: [{ role: "user", text: "Weather?" }],
    });
  });

  const whole = JSON.parse(toJson([conversation])) as { conversations: object[] };

  it.each([
    ["{", /not JSON/],
    ["[]", /no conversation/],
    ['{"format": "llm_service conversations", "version": 3}', /version 3; this dashboard reads 2/],
    [JSON.stringify({ ...whole, conversations: [{ messages: [] }] }), /no messages/],
    [
      JSON.stringify({ ...whole, conversations: [{ messages: [{ id: 1, parent: 1, text: "" }] }] }),
      /role undefined/,
    ],
    [
      JSON.stringify({
        ...whole,
        conversations: [{ messages: [{ id: 1, parent: 1, role: "user", text: "" }] }],
      }),
      /message 1 in the file is not in its place/,
    ],
    [JSON.stringify({ messages: [5] }), /something else/],
  ])("refuses %s with a reason", (text, reason) => {
    expect(readExport(text).problem).toMatch(reason);
  });

  it("survives any value in any place", () => {
    const text = toJson([conversationOf(exchange("Hi", "Hello"))]);
    for (const found of text.matchAll(/": ("[^"]*"|[\d.]+|null|true|false|\{\}|\[\])/g)) {
      const [place, value = ""] = found;
      const from = found.index + place.length - value.length;
      for (const other of ["null", "5", '"x"', "{}"]) {
        const changed = text.slice(0, from) + other + text.slice(from + value.length);
        const { value: made, problem } = readExport(changed, NOW);
        expect(made === null).toBe(problem !== null);
        for (const entry of made ?? []) expect(() => toMarkdown(entry)).not.toThrow();
      }
    }
  });
});

describe("search", () => {
  it("finds words in the titles and in all versions of messages", () => {
    const edited = conversationOf(
      [...exchange("Where is the fox?", "In the forest."), { kind: "edited", id: 2, text: "Gone" }],
      { title: "Animals" },
    );
    const find = (query: string) => findConversations([conversation, edited], query);
    expect(find(" ").map(({ excerpt }) => excerpt)).toEqual([null, null]);
    expect(find("animals").map((found) => found.conversation.title)).toEqual(["Animals"]);
    expect(find("the FOREST")).toMatchObject([
      { conversation: edited, excerpt: { before: "In ", match: "the forest", messageId: 2 } },
    ]);
    expect(find("(fox").length, "no pattern is meant").toBe(0);
  });
});

describe("titles", () => {
  it("takes the first line, cut at a word", () => {
    expect(titleOf("  Hi there\nmore")).toBe("Hi there");
    const long = titleOf("word ".repeat(30));
    expect(long).toMatch(/^(word ?)+…$/);
    expect(long.length).toBeLessThanOrEqual(61);
    expect(titleOf("x".repeat(100))).toBe(`${"x".repeat(60)}…`);
  });

  it("builds a file name that every system accepts", () => {
    const at = Date.UTC(2026, 10, 21);
    expect(fileNameOf("What is 7/5? <Ü>", at, "md")).toBe("2026-11-21-what-is-7-5-u.md");
    expect(fileNameOf("???", at, "json")).toBe("2026-11-21-conversation.json");
  });
});
