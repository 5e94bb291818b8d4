import { describe, expect, it } from "vitest";
import { EXAMPLE_SCHEMA, readSchema } from "./schema";
import { findSyntaxError } from "./syntax";
import { EXAMPLE_TOOLS, readTools } from "./tools";

const bare = { name: "f", parameters: { type: "object" } };
const wrapped = { type: "function", function: bare };

describe("readTools", () => {
  it("takes OpenAI's form, bare functions, and one without a list", () => {
    expect(readTools(JSON.stringify([wrapped])).value).toEqual([wrapped]);
    expect(readTools(JSON.stringify([bare])).value).toEqual([wrapped]);
    expect(readTools(JSON.stringify(bare)).value).toEqual([wrapped]);
    expect(readTools(" ").value).toEqual([]);
    expect(readTools(EXAMPLE_TOOLS).value).toHaveLength(1);
  });

  it.each([
    ["[1]", "Tool 1 is not an object."],
    ['[{"name": "f"}, {}]', "Tool 2 has no name."],
    ['{"function": 5}', 'Tool 1: "function" is not an object.'],
    ['{"name": "f", "parameters": []}', 'Tool 1 (f): "parameters" is not a JSON schema'],
    ['[{"name": "f"}, {"name": "f"}]', 'Two tools have the name "f".'],
  ])("says what is wrong with %s", (text, problem) => {
    expect(readTools(text).problem).toContain(problem);
  });
});

it("reads a schema, also in the form of a request", () => {
  const schema = JSON.parse(EXAMPLE_SCHEMA) as unknown;
  expect(readSchema(EXAMPLE_SCHEMA).value).toEqual(schema);
  const sent = { type: "json_schema", json_schema: { name: "x", schema } };
  expect(readSchema(JSON.stringify(sent)).value).toEqual(schema);
  expect(readSchema("").value).toBeNull();
  expect(readSchema("[]").problem).toBe("A JSON schema is an object.");
});

describe("findSyntaxError", () => {
  it.each([
    ['[\n  {"a": 1}\n  {"b": 2}\n]', "Line 3, column 3: a comma or a closing bracket is missing."],
    ['{"a": 1,}', "Line 1, column 9: a name in double quotes is missing."],
    ["{a: 1}", "Line 1, column 2: this word is not JSON: strings need double quotes."],
    ['{"a": [1, 2}', "Line 1, column 12: a comma or a closing bracket is missing."],
    ['{"a": "b', "Line 1, column 7: a closing quote is missing."],
    ['{"a": 1} 5', "Line 1, column 10: there is text after the end."],
    ["[1 // one\n]", "Line 1, column 4: JSON has no comments."],
  ])("finds the place in %s", (text, words) => {
    expect(() => JSON.parse(text) as unknown).toThrow();
    expect(findSyntaxError(text)).toBe(words);
  });

  it("finds nothing in JSON", () => {
    expect(findSyntaxError(EXAMPLE_TOOLS)).toBeNull();
    expect(findSyntaxError("")).toBeNull();
  });
});
