/**
 * The playground's state and everything one can do with it; the screen only shows it.
 *
 * It lives above the pages and outside React, so that streams go on while one looks elsewhere
 * and a growing answer redraws only what shows it.
 */

import { ApiError } from "../../api/client";
import { fetchRecord, runAnswer } from "./answering";
import {
  askedTurns,
  converse,
  isStreaming,
  turnsOf,
  type ConversationAction,
} from "./conversation";
import { settle, type Conversation, type Keeper } from "./kept";
import { buildRequest, DEFAULT_SETTINGS, type ChatSettings } from "./settings";
import { newId, titleOf } from "./titles";

/** How often a growing conversation is written down. */
const KEEP_MILLISECONDS = 1000;

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

/** Who asks, and what the service offers at this moment. */
export interface Caller {
  key: string;
  owner: string;
  /** The key may see the service's own records of requests. */
  canMeasure: boolean;
  model: string | null;
  refuse: (reason: string) => void;
}

const EMPTY: ChatState = {
  isLoaded: false,
  conversations: [],
  activeId: null,
  settings: DEFAULT_SETTINGS,
  removed: null,
  keepFailure: null,
};

export class Chat {
  private state = EMPTY;
  private caller: Caller | null = null;
  private readonly listeners = new Set<() => void>();
  private readonly controllers = new Map<string, AbortController>();
  private readonly unkept = new Set<string>();
  private keepTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly keeper: Keeper) {}

  readonly getState = (): ChatState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Begins, or goes on with what is known of the caller now; another owner sees only their own. */
  async signIn(caller: Caller): Promise<void> {
    const isSame = caller.owner === this.caller?.owner;
    this.caller = caller;
    if (isSame) return;
    this.stopAll();
    this.set(EMPTY);
    await this.reload();
  }

  /** Takes in what another tab has changed; what streams here stays as it is. */
  async reload(): Promise<void> {
    const owner = this.caller?.owner;
    if (owner === undefined) return;
    this.keepNow();
    try {
      const kept = await this.keeper.load(owner);
      if (owner !== this.caller?.owner) return;
      const own = this.state.conversations.filter(({ id }) => this.isBusy(id));
      const others = kept.conversations.filter(({ id }) => !this.isBusy(id));
      this.set({ conversations: newestFirst([...own, ...others]) });
      if (this.state.isLoaded) return;
      this.set({ settings: kept.settings, isLoaded: true });
      this.open(this.keeper.recallOpen() ?? "");
    } catch (error) {
      this.set({ isLoaded: true, keepFailure: wordsOf(error) });
    }
  }

  send(text: string): void {
    const conversation = this.active() ?? this.begin(text);
    this.tell(conversation.id, { kind: "asked", text });
    this.answer(conversation.id);
  }

  /** Asks the last question again. */
  regenerate(): void {
    const { activeId } = this.state;
    if (activeId === null) return;
    this.tell(activeId, { kind: "answer dropped" });
    this.answer(activeId);
  }

  /** Asks something else at that point; what followed is cut off. */
  resend(messageId: number, text: string): void {
    const { activeId } = this.state;
    if (activeId === null) return;
    this.tell(activeId, { kind: "cut", id: messageId });
    this.tell(activeId, { kind: "asked", text });
    this.answer(activeId);
  }

  stop(): void {
    const { activeId } = this.state;
    if (activeId !== null) this.controllers.get(activeId)?.abort();
  }

  startNew(): void {
    this.show(null);
  }

  open(id: string): void {
    const conversation = this.find(id);
    if (!conversation) return;
    this.show(id);
    this.set({ settings: conversation.settings });
  }

  rename(id: string, title: string): void {
    const trimmed = title.trim();
    if (trimmed) this.change(id, (conversation) => ({ ...conversation, title: trimmed }));
  }

  remove(id: string): void {
    const conversation = this.find(id);
    if (!conversation) return;
    this.controllers.get(id)?.abort();
    this.unkept.delete(id);
    this.set({
      conversations: this.state.conversations.filter((other) => other.id !== id),
      removed: { ...conversation, messages: conversation.messages.map(settle) },
    });
    if (this.state.activeId === id) this.show(null);
    this.keeper.remove(id).catch(this.noteKeepFailure);
  }

  undoRemove(): void {
    const { removed } = this.state;
    if (!removed) return;
    const conversations = newestFirst([removed, ...this.state.conversations]);
    this.set({ conversations, removed: null });
    this.open(removed.id);
    this.keepSoon(removed.id);
  }

  forgetRemoved(): void {
    this.set({ removed: null });
  }

  configure(some: Partial<ChatSettings>): void {
    const settings = { ...this.state.settings, ...some };
    this.set({ settings });
    const { activeId } = this.state;
    if (activeId !== null) this.change(activeId, (c) => ({ ...c, settings }));
    const owner = this.caller?.owner;
    if (owner !== undefined) this.keeper.putSettings(owner, settings).catch(this.noteKeepFailure);
  }

  isBusy(id: string): boolean {
    return this.controllers.has(id);
  }

  /** Writes down what has not been written yet. */
  keepNow(): void {
    if (this.keepTimer) clearTimeout(this.keepTimer);
    this.keepTimer = null;
    for (const id of this.unkept) {
      const conversation = this.find(id);
      if (conversation) this.keeper.put(conversation).catch(this.noteKeepFailure);
    }
    this.unkept.clear();
  }

  stopAll(): void {
    for (const controller of this.controllers.values()) controller.abort();
    this.keepNow();
  }

  private begin(text: string): Conversation {
    const now = Date.now();
    const conversation: Conversation = {
      id: newId(),
      owner: this.caller?.owner ?? "",
      title: titleOf(text),
      createdAt: now,
      updatedAt: now,
      settings: this.state.settings,
      messages: [],
    };
    this.set({ conversations: [conversation, ...this.state.conversations] });
    this.show(conversation.id);
    return conversation;
  }

  private answer(id: string): void {
    const { caller, state } = this;
    const model = state.settings.model ?? caller?.model;
    if (!caller || !model || this.isBusy(id)) return;
    const turns = askedTurns(this.find(id)?.messages ?? []);
    void this.run(caller, id, buildRequest(state.settings, model, turns));
  }

  private async run(
    caller: Caller,
    id: string,
    request: ReturnType<typeof buildRequest>,
  ): Promise<void> {
    const controller = new AbortController();
    this.controllers.set(id, controller);
    await runAnswer(
      caller.key,
      request,
      controller.signal,
      (action) => this.tell(id, action),
      (error) => {
        if (error instanceof ApiError && error.status === 401) caller.refuse(error.message);
      },
    );
    this.controllers.delete(id);
    this.keepNow();
    await this.measure(caller, id);
  }

  private async measure(caller: Caller, id: string): Promise<void> {
    const last = this.find(id)?.messages.at(-1);
    const requestId = last?.role === "assistant" ? last.stats.requestId : null;
    if (!caller.canMeasure || !requestId) return;
    const record = await fetchRecord(caller.key, requestId);
    if (record) this.tell(id, { kind: "recorded", record });
  }

  private tell(id: string, action: ConversationAction): void {
    this.change(id, (conversation) => ({
      ...conversation,
      messages: converse(conversation.messages, action),
      updatedAt: action.kind === "asked" ? Date.now() : conversation.updatedAt,
    }));
  }

  private change(id: string, change: (conversation: Conversation) => Conversation): void {
    const conversations = this.state.conversations.map((conversation) =>
      conversation.id === id ? change(conversation) : conversation,
    );
    this.set({ conversations: newestFirst(conversations) });
    this.keepSoon(id);
  }

  private show(id: string | null): void {
    this.set({ activeId: id });
    this.keeper.rememberOpen(id);
  }

  private keepSoon(id: string): void {
    this.unkept.add(id);
    this.keepTimer ??= setTimeout(() => this.keepNow(), KEEP_MILLISECONDS);
  }

  private readonly noteKeepFailure = (error: unknown): void => {
    this.set({ keepFailure: wordsOf(error) });
  };

  private find(id: string): Conversation | undefined {
    return this.state.conversations.find((conversation) => conversation.id === id);
  }

  private active(): Conversation | undefined {
    return this.state.activeId === null ? undefined : this.find(this.state.activeId);
  }

  private set(some: Partial<ChatState>): void {
    this.state = { ...this.state, ...some };
    for (const listener of this.listeners) listener();
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

function newestFirst(conversations: Conversation[]): Conversation[] {
  return conversations.sort((a, b) => b.updatedAt - a.updatedAt);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
