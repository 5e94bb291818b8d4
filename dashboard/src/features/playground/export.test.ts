import { describe, expect, it } from "vitest";
import { callPiece, conversationOf, exchange, grew, recordOf } from "./examples";
import { toJson, toMarkdown } from "./export";
import { EXAMPLE_SCHEMA } from "./schema";
import { DEFAULT_SETTINGS } from "./settings";
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

describe("export", () => {
  it("writes JSON with the text, the settings and the measurements", () => {
    const document = JSON.parse(toJson(conversation)) as Record<string, unknown>;
    expect(document).toMatchObject({
      title: "A talk",
      created_at: "2026-11-21T12:00:00.000Z",
      settings: { system: "Be brief.", temperature: null },
      messages: [
        { role: "user", content: "What is 7 plus 5?" },
        {
          role: "assistant",
          content: "It is **12**.",
          request_id: "r1",
          browser: { ttft_seconds: 0.1 },
          service: { decode_seconds: 0.1 },
        },
        { role: "user", content: "Sure?" },
        { role: "assistant", content: "Ye", state: "stopped" },
      ],
    });
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

  it("writes JSON with the tools, the calls and their results as in a request", () => {
    expect(JSON.parse(toJson(withCalls))).toMatchObject({
      settings: { tools: [{ function: { name: "get_weather" } }], schema: { type: "object" } },
      messages: [
        { role: "user" },
        {
          role: "assistant",
          reasoning_content: "A tool\n\nhelps.",
          tool_calls: [{ id: "call_0", function: { arguments: '{"city":"Rome"}' } }],
        },
        { role: "tool", tool_call_id: "call_0", content: "22 ```degrees" },
        { role: "assistant", content: "Warm." },
      ],
    });
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
