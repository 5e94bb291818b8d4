import { expect, it } from "vitest";
import { findExcess, readContext, readRefusedCount } from "./context";

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

it("says by how much a message is too long", () => {
  expect(findExcess({ used: 2047, max: 2048 }, null)).toBeNull();
  expect(findExcess({ used: 2048, max: 2048 }, null)).toMatch(/^Too long by 1 token:/);
  expect(findExcess({ used: 3047, max: 2048 }, null)).toMatch(/^Too long by 1,000 tokens:/);
  expect(findExcess({ used: 2000, max: 2048 }, 100)).toMatch(
    /^Too long by 52 tokens: only 48 are left .* max tokens is 100\.$/,
  );
});

it("reads the count from the refusal of a text that is far too long", () => {
  const words =
    "This model's maximum context length is 2048 tokens. However, your messages resulted in at least 9000 tokens, and the answer needs at least one.";
  expect(readRefusedCount(words)).toBe(9000);
  expect(readRefusedCount("The queue is full.")).toBeNull();
});
