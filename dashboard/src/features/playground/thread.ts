/** Finds what is shown of a conversation: one message after each other, and their versions. */

import { START, type AnswerMessage, type Message, type Thread } from "./conversation";

/** A thread never changes, so what is shown of it is worked out once. */
const paths = new WeakMap<Message[], { chosen: Thread["chosen"]; path: Message[] }>();

/** The messages that are shown, from the first to the last. */
export function pathOf({ messages, chosen }: Thread): Message[] {
  const known = paths.get(messages);
  if (known?.chosen === chosen) return known.path;
  const path = findPath(messages, chosen);
  paths.set(messages, { chosen, path });
  return path;
}

function findPath(messages: Message[], chosen: Thread["chosen"]): Message[] {
  const followers = new Map<number, Message[]>();
  for (const message of messages) {
    const versions = followers.get(message.parent);
    if (versions) versions.push(message);
    else followers.set(message.parent, [message]);
  }
  const path: Message[] = [];
  for (let parent = START; ;) {
    const versions = followers.get(parent) ?? [];
    const next = versions.find(({ id }) => id === chosen[parent]) ?? versions.at(-1);
    // A child has a higher id than its parent, so this ends.
    if (!next || next.id <= parent) return path;
    path.push(next);
    parent = next.id;
  }
}

/** The messages before `id`, and that message itself, whether they are shown or not. */
export function pathTo({ messages }: Thread, id: number): Message[] {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const path: Message[] = [];
  let message = byId.get(id);
  while (message) {
    path.push(message);
    message = byId.get(message.parent);
  }
  return path.reverse();
}

/** A message and the others that were sent or received in its place, oldest first. */
export function versionsOf({ messages }: Thread, { parent, role }: Message): Message[] {
  return messages.filter((message) => message.parent === parent && message.role === role);
}

/** The answers that were asked for together with `answer`, or only it. */
export function pairOf({ messages }: Thread, answer: AnswerMessage): AnswerMessage[] {
  if (answer.pair === null) return [answer];
  return messages.filter(
    (message): message is AnswerMessage =>
      message.role === "assistant" && message.pair === answer.pair,
  );
}

/** Makes a conversation of an earlier dashboard, which was a plain list, a thread. */
export function threadOf(kept: Pick<Thread, "messages"> & Partial<Thread>): Thread {
  const messages = kept.messages.map((message, i) => ({
    ...message,
    parent: (message as Partial<Message>).parent ?? kept.messages[i - 1]?.id ?? START,
  }));
  return { messages, chosen: kept.chosen ?? {} };
}

/** The place of a message among its versions. Answers side by side count as one. */
export interface Slot {
  index: number;
  count: number;
  /** The ids of the versions to step to, or null at an end. */
  before: number | null;
  after: number | null;
}

export function slotOf(thread: Thread, message: Message): Slot {
  // The id of the first message of each slot.
  const slots = [...new Set(versionsOf(thread, message).map(slotId))];
  const index = slots.indexOf(slotId(message));
  return {
    index,
    count: slots.length,
    before: slots[index - 1] ?? null,
    after: slots[index + 1] ?? null,
  };
}

function slotId(message: Message): number {
  return message.role === "assistant" ? (message.pair ?? message.id) : message.id;
}
