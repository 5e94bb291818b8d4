/** Finds conversations by the words in them. */

import { isPicture, type Message } from "./conversation";
import type { Conversation } from "./kept";

export interface Finding {
  conversation: Conversation;
  /** Where the words were found, with what is around; null if in the title. */
  excerpt: Excerpt | null;
}

export interface Excerpt {
  before: string;
  match: string;
  after: string;
  /** The message it is in, which may be a version that is not shown. */
  messageId: number;
}

const LETTERS_BEFORE = 24;
const LETTERS_AFTER = 60;

/** Upper and lower case are the same. The text is searched in titles and in all versions. */
export function findConversations(conversations: Conversation[], query: string): Finding[] {
  const wanted = query.trim();
  if (wanted === "") return conversations.map((conversation) => ({ conversation, excerpt: null }));
  const pattern = new RegExp(wanted.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "iu");
  return conversations.flatMap((conversation): Finding[] => {
    if (pattern.test(conversation.title)) return [{ conversation, excerpt: null }];
    const excerpt = findExcerpt(conversation.messages, pattern);
    return excerpt ? [{ conversation, excerpt }] : [];
  });
}

function findExcerpt(messages: Message[], pattern: RegExp): Excerpt | null {
  for (const message of messages) {
    for (const text of textsOf(message)) {
      const found = pattern.exec(text);
      if (!found) continue;
      const from = found.index;
      const to = from + found[0].length;
      return {
        before: text.slice(Math.max(0, from - LETTERS_BEFORE), from),
        match: found[0],
        after: text.slice(to, to + LETTERS_AFTER),
        messageId: message.id,
      };
    }
  }
  return null;
}

function textsOf(message: Message): string[] {
  if (message.role === "user") {
    const files = message.attachments.flatMap((file) =>
      isPicture(file) ? [file.name] : [file.name, file.text],
    );
    return [message.text, ...files];
  }
  const calls = message.calls.flatMap((call) => [call.name, call.arguments, call.result ?? ""]);
  return [message.text, message.reasoning, ...calls];
}
