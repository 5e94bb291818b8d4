/** Stores conversations in IndexedDB. They leave the browser only by export. */

import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import { completeMessage, type Message } from "./conversation";
import { completeSettings, type ChatSettings } from "./settings";

export interface Conversation {
  id: string;
  /** The name of the key it was held with. A key sees only its own conversations. */
  owner: string;
  title: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
  updatedAt: number;
  settings: ChatSettings;
  messages: Message[];
}

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation; indexes: { owner: string } };
  /** The settings last used, by owner. */
  settings: { key: string; value: ChatSettings };
}

const NAME = "llm-service-playground";

/** The storage that the chat needs. */
export interface Keeper {
  load: (owner: string) => Promise<{ conversations: Conversation[]; settings: ChatSettings }>;
  put: (conversation: Conversation) => Promise<void>;
  remove: (id: string) => Promise<void>;
  putSettings: (owner: string, settings: ChatSettings) => Promise<void>;
  /** The conversation that this tab shows, also after a reload. */
  recallOpen: () => string | null;
  rememberOpen: (id: string | null) => void;
  /** Calls `listener` when another tab has changed something; returns how to stop. */
  watch: (listener: () => void) => () => void;
}

export class BrowserKeeper implements Keeper {
  private database: Promise<IDBPDatabase<Schema>> | null = null;
  private readonly channel = new BroadcastChannel(NAME);

  async load(owner: string) {
    const database = await this.open();
    const found = await database.getAllFromIndex("conversations", "owner", owner);
    const settings = await database.get("settings", owner);
    const conversations = found.map((conversation) => ({
      ...conversation,
      settings: completeSettings(conversation.settings),
      messages: conversation.messages.map(completeMessage).map(settle),
    }));
    return {
      conversations: conversations.sort((a, b) => b.updatedAt - a.updatedAt),
      settings: completeSettings(settings ?? {}),
    };
  }

  async put(conversation: Conversation) {
    await (await this.open()).put("conversations", conversation);
    this.channel.postMessage("changed");
  }

  async remove(id: string) {
    await (await this.open()).delete("conversations", id);
    this.channel.postMessage("changed");
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

  watch(listener: () => void) {
    this.channel.addEventListener("message", listener);
    return () => this.channel.removeEventListener("message", listener);
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

/** Marks an answer as stopped if its page was closed while it streamed. */
export function settle(message: Message): Message {
  const isLost = message.role === "assistant" && message.state === "streaming";
  return isLost ? { ...message, state: "stopped" } : message;
}
