/**
 * Reads exported conversations. The file may come from anywhere, so every value is checked.
 *
 * It takes what export.ts writes, the first version of that, and a plain list of messages as in a
 * request.
 */

import {
  completeMessage,
  START,
  type AnswerMessage,
  type AnswerState,
  type Attachment,
  type Making,
  type Message,
  type ToolCall,
} from "./conversation";
import { FORMAT, VERSION } from "./export-format";
import { plainEntry } from "./import-plain";
import { readSampling, readSettings } from "./import-settings";
import { readStats } from "./import-stats";
import {
  isNumber,
  listOf,
  objectOf,
  requiredText,
  textOf,
  timeOf,
  Unreadable,
  wholeOf,
  type Entry,
} from "./import-values";
import { completeConversation, settle, type Conversation } from "./kept";
import { isObject, problemOf, readJson, valueOf, type Reading } from "./reading";
import { titleOf } from "./titles";

/** The conversations in a file, without ids and owners. */
export function readExport(text: string, now = Date.now()): Reading<Conversation[]> {
  const { value: document, problem } = readJson(text);
  if (problem !== null)
    return problemOf("The file is not JSON. Import a file that was exported as JSON.");
  try {
    return valueOf(listConversations(document).map((entry) => readConversation(entry, now)));
  } catch (error) {
    if (error instanceof Unreadable) return problemOf(error.message);
    throw error;
  }
}

function listConversations(document: unknown): Entry[] {
  if (!isObject(document)) throw new Unreadable("The file holds no conversation.");
  const { format, version, conversations, messages } = document;
  if (format === FORMAT && version !== VERSION) {
    throw new Unreadable(
      `The file has version ${String(version)}; this dashboard reads ${VERSION}.`,
    );
  }
  if (format === FORMAT && Array.isArray(conversations)) return conversations.map(objectOf);
  if (Array.isArray(messages)) return [plainEntry(document)];
  throw new Unreadable("The file holds no conversation.");
}

function readConversation(entry: Entry, now: number): Conversation {
  const messages = listOf(entry.messages, "messages").map(readMessage);
  checkTree(messages);
  const title = textOf(entry.title).trim().slice(0, 120);
  return settle(
    completeConversation({
      id: "",
      owner: "",
      title: title || titleOf(messages[0]?.text ?? ""),
      createdAt: timeOf(entry.createdAt, now),
      updatedAt: timeOf(entry.updatedAt, now),
      settings: readSettings(entry.settings),
      messages,
      chosen: readChosen(entry.chosen),
    }),
  );
}

function checkTree(messages: Message[]): void {
  if (messages.length === 0) throw new Unreadable("A conversation in the file has no messages.");
  const known = new Set([START]);
  let last = START;
  for (const { id, parent } of messages) {
    if (id <= last || !known.has(parent)) {
      throw new Unreadable(`The message ${id} in the file is not in its place.`);
    }
    known.add(id);
    last = id;
  }
}

const STATES: readonly string[] = ["streaming", "done", "stopped", "interrupted", "failed"];

function readMessage(value: unknown): Message {
  const kept = objectOf(value);
  const place = { id: wholeOf(kept.id, "id"), parent: wholeOf(kept.parent, "parent") };
  const text = requiredText(kept.text, "text");
  if (kept.role === "user") {
    return {
      ...place,
      role: "user",
      text,
      attachments: listOf(kept.attachments ?? [], "attachments").map(readFile),
    };
  }
  if (kept.role !== "assistant")
    throw new Unreadable(`A message has the role ${String(kept.role)}.`);
  const state = STATES.includes(textOf(kept.state)) ? (kept.state as AnswerState) : "done";
  return completeMessage({
    ...place,
    role: "assistant",
    text,
    reasoning: textOf(kept.reasoning),
    calls: listOf(kept.calls ?? [], "calls").map(readCall),
    schema: isObject(kept.schema) ? kept.schema : null,
    state,
    failure: readFailure(kept.failure),
    making: readMaking(kept.making),
    pair: typeof kept.pair === "number" ? kept.pair : null,
    isEdited: kept.isEdited === true,
    numContinued: typeof kept.numContinued === "number" ? kept.numContinued : 0,
    // completeMessage adds the measurements that are missing.
    stats: readStats(kept.stats) as AnswerMessage["stats"],
  });
}

/** An image in a format that the service reads; another URL would be fetched by the page. */
const IMAGE = /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+=*$/;

function readFile(value: unknown): Attachment {
  const { name, text, image, width, height } = objectOf(value);
  if (image !== undefined) {
    const url = requiredText(image, "image");
    if (!IMAGE.test(url))
      throw new Unreadable("An image in the file is no PNG, JPEG, WebP or GIF.");
    return {
      name: requiredText(name, "name"),
      image: url,
      width: wholeOf(width, "width"),
      height: wholeOf(height, "height"),
    };
  }
  return { name: requiredText(name, "name"), text: requiredText(text, "text") };
}

function readCall(value: unknown, index: number): ToolCall {
  const call = objectOf(value);
  return {
    index,
    id: textOf(call.id),
    name: textOf(call.name),
    arguments: textOf(call.arguments),
    result: typeof call.result === "string" ? call.result : null,
  };
}

function readFailure(value: unknown): AnswerMessage["failure"] {
  if (!isObject(value)) return null;
  // The wait is over.
  return { title: textOf(value.title), words: textOf(value.words), retryAt: null };
}

function readMaking(value: unknown): Making | null {
  if (!isObject(value) || typeof value.model !== "string") return null;
  return {
    model: value.model,
    preset: textOf(value.preset),
    system: textOf(value.system),
    sampling: readSampling(value.sampling),
    reasoningEffort: typeof value.reasoningEffort === "string" ? value.reasoningEffort : null,
  };
}

function readChosen(value: unknown): Record<number, number> {
  const entries = Object.entries(isObject(value) ? value : {});
  return Object.fromEntries(entries.filter(([, id]) => isNumber(id))) as Record<number, number>;
}
