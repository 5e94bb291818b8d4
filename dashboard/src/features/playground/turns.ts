/** The messages of a conversation as they are sent to the model. */

import type { ChatTurn } from "../../api/types";
import {
  hasCalls,
  hasResults,
  isPicture,
  type AnswerMessage,
  type Message,
  type UserMessage,
} from "./conversation";
import { fenced } from "./fence";

/** All messages as turns. Empty answers are left out, and calls that are incomplete. */
export function turnsOf(messages: Message[]): ChatTurn[] {
  return messages.flatMap((message): ChatTurn[] => {
    if (message.role === "user") return [{ role: "user", content: partsOf(message) }];
    if (hasCalls(message)) return callTurns(message);
    return message.text === "" ? [] : [{ role: "assistant", content: message.text }];
  });
}

/** Returns what `turnsOf` does, but without the images, because their data can be large. */
export function textTurnsOf(messages: Message[]): ChatTurn[] {
  return turnsOf(
    messages.map((message) =>
      message.role === "user"
        ? { ...message, attachments: message.attachments.filter((file) => !isPicture(file)) }
        : message,
    ),
  );
}

type Asked = Pick<UserMessage, "text" | "attachments">;

/** The question as the model gets it: images first, then the text. */
function partsOf(message: Asked): ChatTurn["content"] {
  const pictures = message.attachments.filter(isPicture);
  const text = contentOf(message);
  if (pictures.length === 0) return text;
  const images = pictures.map(({ image }) => ({
    type: "image_url",
    image_url: { url: image, detail: "auto" as const },
  }));
  return text === "" ? images : [...images, { type: "text", text }];
}

/** The text of a question: each file follows as a block of code with its name. */
export function contentOf({ text, attachments }: Asked): string {
  const files = attachments.flatMap((file) =>
    isPicture(file) ? [] : `${file.name}:\n${fenced(file.text, languageOf(file.name))}`,
  );
  return [text, ...files].filter((part) => part !== "").join("\n\n");
}

/** The ending of the file's name, which is what languages are called in Markdown. */
function languageOf(name: string): string {
  return /\.([a-z0-9]{1,10})$/i.exec(name)?.[1]?.toLowerCase() ?? "";
}

/** The turns of a request that continues the last of `messages`. */
export function continuedTurns(messages: Message[]): ChatTurn[] {
  const last = messages.at(-1);
  if (last?.role !== "assistant") return turnsOf(messages);
  const { text, reasoning } = last;
  return [
    ...turnsOf(messages.slice(0, -1)),
    { role: "assistant", content: text, ...(reasoning && { reasoning_content: reasoning }) },
  ];
}

/** The turns up to and including the last question, or the last results of calls. */
export function askedTurns(messages: Message[]): ChatTurn[] {
  const last = messages.findLastIndex(
    (message) => message.role === "user" || (hasCalls(message) && hasResults(message)),
  );
  return turnsOf(messages.slice(0, last + 1));
}

/** The turns for reading: the data of images is left out. */
export function withShortImages(turns: ChatTurn[]): ChatTurn[] {
  return turns.map((turn) => {
    if (!Array.isArray(turn.content)) return turn;
    const content = turn.content.map((part) =>
      part.type === "image_url"
        ? { type: "image_url", image_url: { url: "data:image/jpeg;base64,..." } }
        : part,
    );
    return { ...turn, content };
  });
}

/** The reasoning goes with the calls: the model continues it when it has their results. */
function callTurns({ text, reasoning, calls }: AnswerMessage): ChatTurn[] {
  const called: ChatTurn = {
    role: "assistant",
    content: text || null,
    ...(reasoning && { reasoning_content: reasoning }),
    tool_calls: calls.map(({ id, name, arguments: text }) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    })),
  };
  const results = calls.map(({ id, result }): ChatTurn => {
    return { role: "tool", tool_call_id: id, content: result ?? "" };
  });
  return [called, ...results];
}
