import { describe, expect, it } from "vitest";
import { conversationOf, exchange, recordOf } from "./examples";
import { toJson, toMarkdown } from "./export";
import { DEFAULT_SETTINGS } from "./settings";
import { fileNameOf, titleOf } from "./titles";

const conversation = conversationOf(
  [
    ...exchange("What is 7 plus 5?", "It is **12**."),
    { kind: "recorded", record: recordOf() },
    { kind: "asked", text: "Sure?" },
    { kind: "begun", at: 0 },
    { kind: "grew", text: "Ye", at: 1, numPieces: 1 },
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
