/** The tools that the user enters as JSON, and which of them the model has to call. */

import type { ChatRequest, ToolDefinition } from "../../api/types";
import { isObject, problemOf, readJson, valueOf, type Reading } from "./reading";

/** "auto", "none" and "required" as in the request, or `{name}` for the one tool to call. */
export type ToolChoice = "auto" | "none" | "required" | { name: string };

/** Reads a list of tools in OpenAI's form or of bare functions, or one of them. */
export function readTools(text: string): Reading<ToolDefinition[]> {
  if (text.trim() === "") return valueOf([]);
  const { value, problem } = readJson(text);
  if (problem !== null) return problemOf(problem);
  const entries: unknown[] = Array.isArray(value) ? value : [value];
  const tools: ToolDefinition[] = [];
  for (const [i, entry] of entries.entries()) {
    const reading = readTool(entry, `Tool ${i + 1}`);
    if (reading.problem !== null) return reading;
    tools.push(reading.value);
  }
  const names = tools.map((tool) => tool.function.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) return problemOf(`Two tools have the name "${twice}".`);
  return valueOf(tools);
}

function readTool(entry: unknown, place: string): Reading<ToolDefinition> {
  if (!isObject(entry)) return problemOf(`${place} is not an object.`);
  const isWrapped = "function" in entry;
  const called = isWrapped ? entry.function : entry;
  if (!isObject(called)) return problemOf(`${place}: "function" is not an object.`);
  const { name, parameters } = called;
  if (typeof name !== "string" || name === "") return problemOf(`${place} has no name.`);
  if (parameters !== undefined && parameters !== null && !isObject(parameters)) {
    return problemOf(`${place} (${name}): "parameters" is not a JSON schema, which is an object.`);
  }
  // The service checks everything else, and refuses it in its own words.
  const tool = isWrapped ? entry : { type: "function", function: entry };
  return valueOf(tool as unknown as ToolDefinition);
}

/** The request's `tool_choice`. A choice of a tool that is no longer there counts as "auto". */
export function sentChoice(
  choice: ToolChoice,
  tools: ToolDefinition[],
): NonNullable<ChatRequest["tool_choice"]> {
  if (typeof choice === "string") return choice;
  const isThere = tools.some((tool) => tool.function.name === choice.name);
  return isThere ? { type: "function", function: { name: choice.name } } : "auto";
}

export const EXAMPLE_TOOLS = `[
  {
    "type": "function",
    "function": {
      "name": "get_weather",
      "description": "Get the weather in a city.",
      "parameters": {
        "type": "object",
        "properties": {
          "city": { "type": "string" }
        },
        "required": ["city"]
      }
    }
  }
]`;
