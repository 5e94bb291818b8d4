import { expect, it } from "vitest";
import { readContext } from "./context";

it("reports how many tokens are used and how many are left", () => {
  expect(readContext({ used: 512, max: 2048 }, null)).toEqual({
    words: "512 of 2,048 tokens",
    detail: "1,536 tokens are left for the answer and later messages.",
    tone: "plain",
    share: 0.25,
  });
});

it("warns when little is left, and when the answer can no longer fit", () => {
  expect(readContext({ used: 1900, max: 2048 }, null).tone).toBe("warn");
  expect(readContext({ used: 1900, max: 2048 }, 256)).toMatchObject({ tone: "bad" });
  expect(readContext({ used: 1900, max: 2048 }, 148).tone).toBe("warn");
  expect(readContext({ used: 3000, max: 2048 }, null)).toMatchObject({ tone: "bad", share: 1 });
});
