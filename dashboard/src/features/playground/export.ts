/** Exports a conversation as JSON with all measurements, or as Markdown for reading. */

import type { Message } from "./conversation";
import type { Conversation } from "./kept";
import { speedOf } from "./speed";

export function toJson(conversation: Conversation): string {
  const { title, createdAt, updatedAt, settings, messages } = conversation;
  const document = {
    format: "llm_service conversation",
    version: 1,
    title,
    created_at: new Date(createdAt).toISOString(),
    updated_at: new Date(updatedAt).toISOString(),
    settings: { model: settings.model, system: settings.system, ...settings.sampling },
    messages: messages.map(messageOut),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function messageOut(message: Message) {
  if (message.role === "user") return { role: message.role, content: message.text };
  const { stats } = message;
  const { ttftSeconds, tokensPerSecond } = speedOf(stats);
  return {
    role: message.role,
    content: message.text,
    state: message.state,
    error: message.failure ? `${message.failure.title}. ${message.failure.words}` : null,
    request_id: stats.requestId,
    finish_reason: stats.finishReason,
    usage: stats.usage,
    browser: { ttft_seconds: ttftSeconds, tokens_per_second: tokensPerSecond },
    service: stats.record,
  };
}

export function toMarkdown({ title, createdAt, settings, messages }: Conversation): string {
  const head = [`# ${title}`, new Date(createdAt).toISOString()];
  const system = settings.system.trim();
  if (system) head.push(`**System**\n\n${system}`);
  const turns = messages.map((message) => {
    const ending = message.role === "assistant" && message.state !== "done" ? message.state : "";
    const name = message.role === "user" ? "You" : "Model";
    return `**${name}**${ending ? ` (${ending})` : ""}\n\n${message.text}`.trimEnd();
  });
  return `${[...head, ...turns].join("\n\n")}\n`;
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
