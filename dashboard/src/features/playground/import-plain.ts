/** Reads a list of messages as in a request, which the first version of an export had. */

import { isObject } from "./reading";
import { listOf, objectOf, textOf, type Entry } from "./import-values";

/** The conversation as the second version would have it: results of tools become those of the calls before them. */
export function plainEntry({ title, created_at, updated_at, settings, messages }: Entry): Entry {
  const made: Entry[] = [];
  const system: string[] = [];
  for (const message of listOf(messages, "messages").map(objectOf)) {
    const { role, content } = message;
    const { text, attachments } = contentOf(content);
    const last = made.at(-1);
    if (role === "system" || role === "developer") system.push(text);
    else if (role === "tool") addResult(last, message.tool_call_id, text);
    else {
      const place = { id: made.length + 1, parent: made.length };
      const state = textOf(message.state) || "done";
      const calls = listOf(message.tool_calls ?? [], "tool_calls").map(callOf);
      const stats = { finishReason: message.finish_reason, requestId: message.request_id };
      const { reasoning_content: reasoning, schema } = message;
      made.push({ ...place, role, text, attachments, reasoning, calls, schema, state, stats });
    }
  }
  const kept = isObject(settings) ? settings : {};
  return {
    title,
    createdAt: Date.parse(textOf(created_at)),
    updatedAt: Date.parse(textOf(updated_at)),
    settings: {
      ...kept,
      preset: "Own",
      system: system.join("\n\n") || kept.system,
      reasoningEffort: kept.reasoning_effort,
      sampling: kept,
      tools: Array.isArray(kept.tools) ? JSON.stringify(kept.tools, null, 2) : "",
      schema: isObject(kept.schema) ? JSON.stringify(kept.schema, null, 2) : "",
    },
    messages: made,
  };
}

/** The text and the images of a message. */
function contentOf(content: unknown): { text: string; attachments: Entry[] } {
  if (!Array.isArray(content)) return { text: textOf(content), attachments: [] };
  const parts = content.map(objectOf);
  const urls = parts.flatMap(({ type, image_url: image }) =>
    type === "image_url" ? [isObject(image) ? image.url : image] : [],
  );
  return {
    text: parts.map(({ text }) => textOf(text)).join(""),
    // The request does not have the size: the image shows it.
    attachments: urls.map((image) => ({ name: "image", image, width: 0, height: 0 })),
  };
}

function callOf(value: unknown): Entry {
  const { id, function: called } = objectOf(value);
  return { id, ...objectOf(called), result: null };
}

function addResult(answer: Entry | undefined, id: unknown, result: string): void {
  const calls = Array.isArray(answer?.calls) ? (answer.calls as Entry[]) : [];
  const call = calls.find((other) => other.id === id);
  if (call) call.result = result;
}
