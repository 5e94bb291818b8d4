/** The playground's state as one immutable value, and functions that read it. */

import { awaitsResults, isStreaming, type Message } from "./conversation";
import type { Conversation } from "./kept";
import { DEFAULT_SETTINGS, type ChatSettings } from "./settings";
import { pathOf } from "./thread";
import { textTurnsOf } from "./turns";

export interface ChatState {
  isLoaded: boolean;
  /** Newest first. */
  conversations: Conversation[];
  /** null for a new conversation, which is created by its first message. */
  activeId: string | null;
  /** The settings for the next message. */
  settings: ChatSettings;
  /** The conversation deleted last, while that can be undone. */
  removed: Conversation | null;
  /** Why the browser refuses to store conversations, or null. */
  keepFailure: string | null;
}

export const EMPTY: ChatState = {
  isLoaded: false,
  conversations: [],
  activeId: null,
  settings: DEFAULT_SETTINGS,
  removed: null,
  keepFailure: null,
};

/** Holds the state outside React, so that a growing answer re-renders only what shows it. */
export class ChatStore {
  private state = EMPTY;
  private readonly listeners = new Set<() => void>();

  readonly get = (): ChatState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  set({ conversations, ...others }: Partial<ChatState>): void {
    const ordered = conversations && {
      conversations: conversations.toSorted((a, b) => b.updatedAt - a.updatedAt),
    };
    this.state = { ...this.state, ...others, ...ordered };
    for (const listener of this.listeners) listener();
  }

  find(id: string): Conversation | undefined {
    return this.state.conversations.find((conversation) => conversation.id === id);
  }

  change(id: string, change: (conversation: Conversation) => Conversation): void {
    const conversations = this.state.conversations.map((conversation) =>
      conversation.id === id ? change(conversation) : conversation,
    );
    this.set({ conversations });
  }
}

/** The conversation on the screen; undefined before its first message. */
export function activeConversation(state: ChatState): Conversation | undefined {
  return state.conversations.find(({ id }) => id === state.activeId);
}

const NO_MESSAGES: Message[] = [];

/** The messages on the screen: of every message the version that is shown. */
export function shownMessages(state: ChatState): Message[] {
  const conversation = activeConversation(state);
  return conversation ? pathOf(conversation) : NO_MESSAGES;
}

export function isAnswering(state: ChatState): boolean {
  return isStreaming(activeConversation(state)?.messages ?? NO_MESSAGES);
}

export function isAwaitingResults(state: ChatState): boolean {
  return awaitsResults(shownMessages(state));
}

/** The turns before the next question, without images. */
export function turnsSoFar(state: ChatState) {
  return textTurnsOf(shownMessages(state));
}
