/**
 * Checks an answer against its JSON schema. Loaded with the first such answer.
 *
 * The validator interprets the schema: others compile it with `new Function`, which the content
 * policy forbids.
 */

import { Validator, type OutputUnit, type SchemaDraft } from "@cfworker/json-schema";
import { readJson } from "./reading";
import type { JsonSchema } from "./schema";

export interface Verdict {
  tone: "ok" | "warn" | "bad";
  words: string;
  /** The first reason why the answer does not fit, or why it could not be checked. */
  reason: string | null;
}

export function checkAnswer(text: string, schema: JsonSchema): Verdict {
  const { value, problem } = readJson(text);
  if (problem !== null) return { tone: "bad", words: "Not valid JSON", reason: null };
  try {
    const { valid, errors } = new Validator(schema, draftOf(schema)).validate(value);
    if (valid) return { tone: "ok", words: "Fits the schema", reason: null };
    return { tone: "bad", words: "Does not fit the schema", reason: reasonOf(errors) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { tone: "warn", words: "Valid JSON; the schema could not be checked", reason };
  }
}

const DRAFTS: Record<string, SchemaDraft> = {
  "draft-04": "4",
  "draft-07": "7",
  "2019-09": "2019-09",
};

function draftOf({ $schema }: JsonSchema): SchemaDraft {
  const address = typeof $schema === "string" ? $schema : "";
  const found = Object.entries(DRAFTS).find(([name]) => address.includes(name));
  return found?.[1] ?? "2020-12";
}

/** Keywords whose own error says more than those of their subschemas. */
const ALTERNATIVES = ["anyOf", "oneOf", "not"];

/** Follows the first error down to its cause: an error of "properties" is caused by one below. */
function reasonOf(errors: OutputUnit[]): string | null {
  const cause = errors.findIndex((error, i) => {
    const next = errors[i + 1];
    const isBelow = next?.keywordLocation.startsWith(`${error.keywordLocation}/`) ?? false;
    return !isBelow || ALTERNATIVES.includes(error.keyword);
  });
  const error = errors[cause];
  if (!error) return null;
  const place = error.instanceLocation.replace(/^#\/?/, "");
  return place ? `${place}: ${error.error}` : error.error;
}
