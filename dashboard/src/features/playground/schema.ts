/** The JSON schema that the user enters for the answer. */

import { isObject, problemOf, readJson, valueOf, type Reading } from "./reading";

export type JsonSchema = Record<string, unknown>;

/** Reads a schema, also one in the form of OpenAI's `response_format`; null without text. */
export function readSchema(text: string): Reading<JsonSchema | null> {
  if (text.trim() === "") return valueOf(null);
  const { value, problem } = readJson(text);
  if (problem !== null) return problemOf(problem);
  const schema = unwrapped(value);
  if (isObject(schema)) return valueOf(schema);
  return problemOf("A JSON schema is an object.");
}

/** `{"type": "json_schema", "json_schema": {"schema": ...}}` -> the schema. */
function unwrapped(value: unknown): unknown {
  if (!isObject(value) || value.type !== "json_schema") return value;
  return isObject(value.json_schema) ? value.json_schema.schema : value.schema;
}

export const EXAMPLE_SCHEMA = `{
  "type": "object",
  "properties": {
    "name": { "type": "string" },
    "age": { "type": "integer", "minimum": 0 }
  },
  "required": ["name", "age"],
  "additionalProperties": false
}`;
