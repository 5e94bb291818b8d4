import { expect, it } from "vitest";
import { layOut, showJson } from "./json-text";

const VALUE = { a: [1, { b: 'x, {"y"}: \\ z\n' }], c: {}, d: [], e: [null, -1.5e-7, true] };

it("lays out JSON like JSON.stringify", () => {
  for (const spaces of [0, 1, 4]) {
    expect(layOut(JSON.stringify(VALUE, null, spaces))).toBe(JSON.stringify(VALUE, null, 2));
  }
});

it("moves nothing that is already laid out when more text comes", () => {
  const text = JSON.stringify(VALUE);
  let before = "";
  for (let length = 1; length <= text.length; length++) {
    const now = layOut(text.slice(0, length));
    expect(now.startsWith(before.trimEnd())).toBe(true);
    before = now;
  }
});

it("keeps numbers as they were written, and text that is not JSON as it is", () => {
  expect(showJson('{"a":1.0}', false)).toBe('{\n  "a": 1.0\n}');
  expect(showJson("It is, {so}", false)).toBe("It is, {so}");
  expect(showJson('{"a":[1', true)).toBe('{\n  "a": [\n    1');
});
