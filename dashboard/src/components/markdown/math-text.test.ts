import { describe, expect, it } from "vitest";
import { splitBlocks } from "./blocks";
import { markMath } from "./math-text";

describe("markMath", () => {
  it.each([
    ["so $a^2$ is", "so $$a^2$$ is"],
    ["so \\(a\\) is", "so $$a$$ is"],
    ["\\[\na = b\n\\]", "$$\na = b\n$$"],
    ["$$a = b$$", "$$\na = b\n$$"],
    ["so \\[a\\] is", "so $$a$$ is"],
    ["- one:\n  $$\n  a\n\n  b\n  $$", "- one:\n  $$\n  a\n  b\n  $$"],
    ["$\\text{cost \\$5}$", "$$\\text{cost \\$5}$$"],
  ])("marks the formula in %j", (text, marked) => {
    expect(markMath(text)).toBe(marked);
  });

  it.each([
    "It costs $5 and $6.",
    "From $5-$10, or $ 7 $.",
    "Set `$HOME` and `$PATH`, or ``a ` $x$``",
    "```sh\necho $a $b$\n```",
    "~~~\n$x$",
    "A \\$literal\\$ dollar, a \\\\ backslash",
    "Growing: $$\n\\int",
    "nothing",
  ])("leaves %j as it is", (text) => {
    expect(markMath(text)).toBe(text);
  });

  it("marks formulas after code", () => {
    expect(markMath("```\n$a$\n```\n\n`$b$` and $c$")).toBe("```\n$a$\n```\n\n`$b$` and $$c$$");
  });
});

it("keeps a formula with blank lines in one block", () => {
  expect(splitBlocks("a\n\n$$\nx\n\ny\n$$\n\nb")).toEqual(["a", "$$\nx\n\ny\n$$", "b"]);
  expect(splitBlocks("\\[\nx\n\ny\n\\]\n\nb")).toEqual(["\\[\nx\n\ny\n\\]", "b"]);
  expect(splitBlocks("$$x$$\n\nb")).toEqual(["$$x$$", "b"]);
});
