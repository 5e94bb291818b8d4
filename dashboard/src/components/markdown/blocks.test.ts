import { describe, expect, it } from "vitest";
import { splitBlocks } from "./blocks";

describe("splitBlocks", () => {
  it("cuts at blank lines", () => {
    expect(splitBlocks("# A\n\none\ntwo\n\n\nthree")).toEqual(["# A", "one\ntwo", "three"]);
  });

  it("keeps a fence whole, with the blank lines in it, also before it is closed", () => {
    const code = "```python\na = 1\n\nb = 2";
    expect(splitBlocks(`Look:\n\n${code}`)).toEqual(["Look:", code]);
    expect(splitBlocks(`${code}\n\`\`\`\n\nDone`)).toEqual([`${code}\n\`\`\``, "Done"]);
  });

  it("does not close a fence by a shorter one or by another mark", () => {
    const code = "````\n```\n\n~~~\n\n````";
    expect(splitBlocks(`${code}\n\nafter`)).toEqual([code, "after"]);
  });

  it("keeps a loose list and what is indented under it together", () => {
    const list = "1. one\n\n   more\n\n2. two\n\n    - deep";
    expect(splitBlocks(`${list}\n\nafter`)).toEqual([list, "after"]);
  });

  it("does not cut a text whose links are defined elsewhere in it", () => {
    const text = "See [it][1].\n\nMore.\n\n[1]: https://example.com";
    expect(splitBlocks(text)).toEqual([text]);
  });

  it("finds nothing in nothing", () => {
    expect(splitBlocks("")).toEqual([]);
    expect(splitBlocks("\n \n")).toEqual([]);
  });

  it("leaves complete blocks as they are while the last one grows", () => {
    const text = "# A\n\n- x\n- y\n\n```js\nlet a;\n\nlet b;\n```\n\nand so on";
    const whole = splitBlocks(text);
    for (let length = 1; length <= text.length; length++) {
      const some = splitBlocks(text.slice(0, length));
      expect(whole.slice(0, Math.max(0, some.length - 1))).toEqual(some.slice(0, -1));
    }
  });
});
