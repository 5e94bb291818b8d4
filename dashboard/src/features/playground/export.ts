/** Exports conversations: as JSON, whole, for import.ts; or one as Markdown, for reading. */

import { FORMAT, VERSION } from "./export-format";
import { isPicture, type Message, type UserMessage } from "./conversation";
import { showJson } from "./json-text";
import type { Conversation } from "./kept";
import { fenced } from "./fence";
import { pathOf } from "./thread";
import { contentOf } from "./turns";

/** Everything but the ids under which this browser stores it. */
export function toJson(conversations: Conversation[]): string {
  const document = { format: FORMAT, version: VERSION, conversations: conversations.map(exported) };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function exported({ title, createdAt, updatedAt, settings, chosen, messages }: Conversation) {
  return { title, createdAt, updatedAt, settings, chosen, messages };
}

/** The messages that are shown. Other versions are only in the JSON. */
export function toMarkdown(conversation: Conversation): string {
  const { title, createdAt, settings } = conversation;
  const head = [`# ${title}`, new Date(createdAt).toISOString()];
  const system = settings.system.trim();
  if (system) head.push(`**System**\n\n${system}`);
  return `${[...head, ...pathOf(conversation).map(messageText)].join("\n\n")}\n`;
}

function messageText(message: Message): string {
  if (message.role === "user") return questionText(message);
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

/** Images are named: their data would make the text unreadable. */
function questionText(message: UserMessage): string {
  const images = message.attachments.filter(isPicture).map(({ name }) => `[image: ${name}]`);
  return ["**You**", ...images, contentOf(message)].join("\n\n").trimEnd();
}

function quoted(text: string): string {
  return text.replace(/^/gm, "> ").replace(/^> $/gm, ">");
}
