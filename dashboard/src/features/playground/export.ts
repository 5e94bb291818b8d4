/** Exports a conversation as JSON with all measurements, or as Markdown for reading. */

import type { AnswerMessage, Message, ToolCall } from "./conversation";
import { showJson } from "./json-text";
import type { Conversation } from "./kept";
import { fenced } from "./fence";
import { buildTools } from "./settings";
import { readSchema } from "./schema";
import { speedOf } from "./speed";

export function toJson(conversation: Conversation): string {
  const { title, createdAt, updatedAt, settings, messages } = conversation;
  const document = {
    format: "llm_service conversation",
    version: 1,
    title,
    created_at: new Date(createdAt).toISOString(),
    updated_at: new Date(updatedAt).toISOString(),
    settings: {
      model: settings.model,
      system: settings.system,
      ...settings.sampling,
      reasoning_effort: settings.reasoningEffort,
      ...buildTools(settings),
      schema: readSchema(settings.schema).value,
    },
    messages: messages.flatMap(messagesOut),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** A message, and after an answer with calls their results, as in a request. */
function messagesOut(message: Message): object[] {
  if (message.role === "user") return [{ role: message.role, content: message.text }];
  return [answerOut(message), ...message.calls.flatMap(resultOut)];
}

function answerOut({ role, text, reasoning, calls, schema, state, failure, stats }: AnswerMessage) {
  const { ttftSeconds, tokensPerSecond } = speedOf(stats);
  return {
    role,
    content: text,
    ...(reasoning && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls.map(callOut) }),
    ...(schema && { schema }),
    state,
    error: failure ? `${failure.title}. ${failure.words}` : null,
    request_id: stats.requestId,
    finish_reason: stats.finishReason,
    usage: stats.usage,
    browser: { ttft_seconds: ttftSeconds, tokens_per_second: tokensPerSecond },
    service: stats.record,
  };
}

function callOut({ id, name, arguments: text }: ToolCall) {
  return { id, type: "function", function: { name, arguments: text } };
}

function resultOut({ id, result }: ToolCall) {
  return result === null ? [] : [{ role: "tool", tool_call_id: id, content: result }];
}

export function toMarkdown({ title, createdAt, settings, messages }: Conversation): string {
  const head = [`# ${title}`, new Date(createdAt).toISOString()];
  const system = settings.system.trim();
  if (system) head.push(`**System**\n\n${system}`);
  return `${[...head, ...messages.map(messageText)].join("\n\n")}\n`;
}

function messageText(message: Message): string {
  if (message.role === "user") return `**You**\n\n${message.text}`.trimEnd();
  const { state, text, reasoning, calls } = message;
  const parts = [`**Model**${state === "done" ? "" : ` (${state})`}`];
  if (reasoning) parts.push(quoted(`Reasoning:\n\n${reasoning.trim()}`));
  if (text) parts.push(text.trimEnd());
  for (const call of calls) {
    parts.push(`Call of \`${call.name}\`:`, fenced(showJson(call.arguments, false), "json"));
    if (call.result !== null) parts.push("Result:", fenced(call.result, ""));
  }
  return parts.join("\n\n");
}

function quoted(text: string): string {
  return text.replace(/^/gm, "> ").replace(/^> $/gm, ">");
}

/** Makes the browser download `content` as a file. */
export function download(name: string, type: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // By then the browser has started to read it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
