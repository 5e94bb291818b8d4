import { expect, it } from "vitest";
import { EXAMPLE_SCHEMA, type JsonSchema } from "./schema";
import { checkAnswer } from "./schema-check";

const person = JSON.parse(EXAMPLE_SCHEMA) as JsonSchema;

it("tells JSON that fits from JSON that does not and from other text", () => {
  expect(checkAnswer('{"name": "Ada", "age": 36}', person)).toEqual({
    tone: "ok",
    words: "Fits the schema",
    reason: null,
  });
  expect(checkAnswer("Ada is 36.", person)).toMatchObject({ tone: "bad", words: "Not valid JSON" });
  expect(checkAnswer('{"name": "Ada"', person)).toMatchObject({ words: "Not valid JSON" });
  expect(checkAnswer("5", person)).toMatchObject({ words: "Does not fit the schema" });
});

it.each([
  ['{"name": "Ada"}', 'Instance does not have required property "age".'],
  ['{"name": "Ada", "age": -1}', "age: -1 is less than 0."],
  [
    '{"name": "Ada", "age": 1, "x": 2}',
    'Property "x" does not match additional properties schema.',
  ],
])("gives the first reason why %s does not fit", (text, reason) => {
  expect(checkAnswer(text, person).reason).toBe(reason);
});

it("follows references and does not blame one of several alternatives", () => {
  const schema = {
    $defs: { n: { type: "integer" } },
    properties: { list: { items: { $ref: "#/$defs/n" } }, u: { anyOf: [{ const: 1 }] } },
  };
  expect(checkAnswer('{"list": [1, "x"]}', schema).reason).toMatch(/^list\/1: .*"integer"/);
  expect(checkAnswer('{"u": 2}', schema).reason).toBe("u: Instance does not match any subschemas.");
});

it("says so if the schema itself cannot be used", () => {
  const verdict = checkAnswer("1", { $ref: "https://example.com/other" });
  expect(verdict).toMatchObject({ tone: "warn" });
  expect(verdict.words).toContain("could not be checked");
  expect(verdict.reason).toContain("$ref");
});

it("reads a schema by the rules of the draft that it names", () => {
  const draft4 = { $schema: "http://json-schema.org/draft-04/schema#", items: [{ type: "null" }] };
  expect(checkAnswer("[5]", draft4).tone).toBe("bad");
  const exclusive = { ...draft4, items: { minimum: 5, exclusiveMinimum: true } };
  expect(checkAnswer("[5]", exclusive).tone).toBe("bad");
});
