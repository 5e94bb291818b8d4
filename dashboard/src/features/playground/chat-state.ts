/** The playground's state as one value that is replaced, never changed, and what can be read off it. */

import { isStreaming, turnsOf } from "./conversation";
import type { Conversation } from "./kept";
import { DEFAULT_SETTINGS, type ChatSettings } from "./settings";

export interface ChatState {
  isLoaded: boolean;
  /** Newest first. */
  conversations: Conversation[];
  /** null: a new conversation, which begins to exist with its first message. */
  activeId: string | null;
  /** What the next message is asked with. */
  settings: ChatSettings;
  /** Removed last, while that can be undone. */
  removed: Conversation | null;
  /** Why nothing is kept, if the browser refuses. */
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

/** Holds the state outside React, so that a growing answer redraws only what shows it. */
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

export function isAnswering(state: ChatState): boolean {
  return isStreaming(activeConversation(state)?.messages ?? []);
}

/** What the model would be told before the next question. */
export function turnsSoFar(state: ChatState) {
  return turnsOf(activeConversation(state)?.messages ?? []);
}
