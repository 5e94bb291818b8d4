/** Stores conversations in IndexedDB. They leave the browser only by export. */

import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import { completeMessage, isStreaming, type Message, type Thread } from "./conversation";
import { completeSettings, type ChatSettings } from "./settings";
import { threadOf } from "./thread";

export interface Conversation extends Thread {
  id: string;
  /** The name of the key it was held with. A key sees only its own conversations. */
  owner: string;
  title: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
  updatedAt: number;
  settings: ChatSettings;
}

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation; indexes: { owner: string } };
  /** The settings last used, by owner. */
  settings: { key: string; value: ChatSettings };
}

const NAME = "llm-service-playground";

/** What a tab tells the others. */
export interface KeptChange {
  id: string;
  isStreaming: boolean;
}

/** The storage that the chat needs. */
export interface Keeper {
  /** Answers that streamed when they were stored are still marked so: see `settle`. */
  load: (owner: string) => Promise<{ conversations: Conversation[]; settings: ChatSettings }>;
  put: (conversation: Conversation) => Promise<void>;
  remove: (id: string) => Promise<void>;
  putSettings: (owner: string, settings: ChatSettings) => Promise<void>;
  /** The conversation that this tab shows, also after a reload. */
  recallOpen: () => string | null;
  rememberOpen: (id: string | null) => void;
  /** Calls `listener` when another tab has changed a conversation; returns how to stop. */
  watch: (listener: (change: KeptChange) => void) => () => void;
}

export class BrowserKeeper implements Keeper {
  private database: Promise<IDBPDatabase<Schema>> | null = null;
  private readonly channel = new BroadcastChannel(NAME);

  async load(owner: string) {
    const database = await this.open();
    const found = await database.getAllFromIndex("conversations", "owner", owner);
    const settings = await database.get("settings", owner);
    const conversations = found.map(completeConversation);
    return {
      conversations: conversations.sort((a, b) => b.updatedAt - a.updatedAt),
      settings: completeSettings(settings ?? {}),
    };
  }

  async put(conversation: Conversation) {
    const transaction = (await this.open()).transaction("conversations", "readwrite");
    const written = transaction.store.put(conversation);
    // Without this, the browser would drop the write if the page were closed right now.
    transaction.commit();
    await Promise.all([written, transaction.done]);
    this.tell({ id: conversation.id, isStreaming: isStreaming(conversation.messages) });
  }

  async remove(id: string) {
    await (await this.open()).delete("conversations", id);
    this.tell({ id, isStreaming: false });
  }

  async putSettings(owner: string, settings: ChatSettings) {
    await (await this.open()).put("settings", settings, owner);
  }

  recallOpen() {
    return sessionStorage.getItem(NAME);
  }

  rememberOpen(id: string | null) {
    if (id === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, id);
  }

  watch(listener: (change: KeptChange) => void) {
    // A tab with an earlier dashboard sends only a word.
    const onMessage = ({ data }: MessageEvent<KeptChange | string>) =>
      listener(typeof data === "string" ? { id: "", isStreaming: false } : data);
    this.channel.addEventListener("message", onMessage);
    return () => this.channel.removeEventListener("message", onMessage);
  }

  private tell(change: KeptChange) {
    this.channel.postMessage(change);
  }

  private open(): Promise<IDBPDatabase<Schema>> {
    this.database ??= openDB<Schema>(NAME, 1, {
      upgrade: (database) => {
        database
          .createObjectStore("conversations", { keyPath: "id" })
          .createIndex("owner", "owner");
        database.createObjectStore("settings");
      },
    });
    return this.database;
  }
}

/**
 * Adds what an earlier dashboard did not store. The database's version stays the same, because an
 * upgrade would have to wait until every tab with an earlier dashboard is closed.
 */
export function completeConversation(kept: Conversation): Conversation {
  const { messages, chosen } = threadOf(kept);
  return {
    ...kept,
    settings: completeSettings(kept.settings),
    messages: messages.map(completeMessage),
    chosen,
  };
}

/** Marks the answers that streamed when their page was closed. */
export function settle(conversation: Conversation): Conversation {
  return { ...conversation, messages: conversation.messages.map(settleMessage) };
}

function settleMessage(message: Message): Message {
  const isLost = message.role === "assistant" && message.state === "streaming";
  return isLost ? { ...message, state: "interrupted" } : message;
}
