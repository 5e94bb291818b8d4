import { describe, expect, it } from "vitest";
import { splitSegments } from "./segments";

describe("splitSegments", () => {
  it("keeps plain text whole, with its spaces and lines", () => {
    expect(splitSegments("a  b\n  c")).toEqual([
      { kind: "text", content: "a  b\n  c", language: "" },
    ]);
  });

  it("takes a fenced block out of the text", () => {
    expect(splitSegments("See:\n```python\nprint(1)\n\nx\n```\nDone.")).toEqual([
      { kind: "text", content: "See:", language: "" },
      { kind: "code", content: "print(1)\n\nx", language: "python" },
      { kind: "text", content: "Done.", language: "" },
    ]);
  });

  it("shows a block that is still streaming as code", () => {
    expect(splitSegments("```js\nlet a")).toEqual([
      { kind: "code", content: "let a", language: "js" },
    ]);
  });

  it("does not close a long fence with a shorter one", () => {
    expect(splitSegments("````\n```\n````")).toEqual([
      { kind: "code", content: "```", language: "" },
    ]);
  });

  it("leaves inline backticks and markup alone", () => {
    const text = "use ```x``` and <b>bold</b>";
    expect(splitSegments(text)).toEqual([{ kind: "text", content: text, language: "" }]);
  });
});
