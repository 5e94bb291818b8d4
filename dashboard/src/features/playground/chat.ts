/**
 * Every action of the playground. The components only show the resulting state.
 *
 * It lives above the pages, so that streams continue while another page is open.
 */

import { ApiError } from "../../api/client";
import { fetchRecord, runAnswer } from "./answering";
import { activeConversation, ChatStore, EMPTY } from "./chat-state";
import { converse, type ConversationAction } from "./conversation";
import { Keeping, wordsOf } from "./keeping";
import { settle, type Conversation, type Keeper } from "./kept";
import { buildRequest, findProblem, type ChatSettings } from "./settings";
import { newId, titleOf } from "./titles";
import { askedTurns } from "./turns";

/** The key in use, what it may do, and the model. */
export interface Caller {
  key: string;
  owner: string;
  /** The key may see the service's own records of requests. */
  canMeasure: boolean;
  model: string | null;
  refuse: (reason: string) => void;
}

export class Chat {
  readonly store = new ChatStore();
  private readonly keeping: Keeping;
  private readonly controllers = new Map<string, AbortController>();
  private caller: Caller | null = null;

  constructor(private readonly keeper: Keeper) {
    this.keeping = new Keeping(keeper, this.store);
  }

  /** Updates the caller. If the owner has changed, it loads the conversations of the new one. */
  async signIn(caller: Caller): Promise<void> {
    const isSame = caller.owner === this.caller?.owner;
    this.caller = caller;
    if (isSame) return;
    this.stopAll();
    this.store.set(EMPTY);
    await this.reload();
  }

  /** Loads what another tab has changed. Conversations that stream here stay as they are. */
  async reload(): Promise<void> {
    const owner = this.caller?.owner;
    if (owner === undefined) return;
    this.keeping.now();
    try {
      const kept = await this.keeper.load(owner);
      if (owner !== this.caller?.owner) return;
      const { conversations, isLoaded } = this.store.get();
      const own = conversations.filter(({ id }) => this.isBusy(id));
      const others = kept.conversations.filter(({ id }) => !this.isBusy(id));
      this.store.set({ conversations: [...own, ...others] });
      if (isLoaded) return;
      this.store.set({ settings: kept.settings, isLoaded: true });
      this.open(this.keeper.recallOpen() ?? "");
    } catch (error) {
      this.store.set({ isLoaded: true, keepFailure: wordsOf(error) });
    }
  }

  send(text: string): void {
    const conversation = activeConversation(this.store.get()) ?? this.begin(text);
    this.tell(conversation.id, { kind: "asked", text });
    this.answer(conversation.id);
  }

  /** Asks the last question again. */
  regenerate(): void {
    const { activeId } = this.store.get();
    if (activeId === null) return;
    this.tell(activeId, { kind: "answer dropped" });
    this.answer(activeId);
  }

  /** Replaces a question, and deletes all later messages. */
  resend(messageId: number, text: string): void {
    const { activeId } = this.store.get();
    if (activeId === null) return;
    this.tell(activeId, { kind: "cut", id: messageId });
    this.tell(activeId, { kind: "asked", text });
    this.answer(activeId);
  }

  /** Answers the calls of a message, and deletes all later messages. */
  sendResults(messageId: number, results: string[]): void {
    const { activeId } = this.store.get();
    if (activeId === null) return;
    this.tell(activeId, { kind: "results given", id: messageId, results });
    this.answer(activeId);
  }

  stop(): void {
    const { activeId } = this.store.get();
    if (activeId !== null) this.controllers.get(activeId)?.abort();
  }

  startNew(): void {
    this.show(null);
  }

  open(id: string): void {
    const conversation = this.store.find(id);
    if (!conversation) return;
    this.show(id);
    this.store.set({ settings: conversation.settings });
  }

  rename(id: string, title: string): void {
    const trimmed = title.trim();
    if (trimmed) this.change(id, (conversation) => ({ ...conversation, title: trimmed }));
  }

  remove(id: string): void {
    const conversation = this.store.find(id);
    if (!conversation) return;
    const { conversations, activeId } = this.store.get();
    this.controllers.get(id)?.abort();
    this.store.set({
      conversations: conversations.filter((other) => other.id !== id),
      removed: { ...conversation, messages: conversation.messages.map(settle) },
    });
    if (activeId === id) this.show(null);
    this.keeping.remove(id);
  }

  undoRemove(): void {
    const { removed, conversations } = this.store.get();
    if (!removed) return;
    this.store.set({ conversations: [removed, ...conversations], removed: null });
    this.open(removed.id);
    this.keeping.soon(removed.id);
  }

  forgetRemoved(): void {
    this.store.set({ removed: null });
  }

  configure(some: Partial<ChatSettings>): void {
    const { activeId, settings: before } = this.store.get();
    const settings = { ...before, ...some };
    this.store.set({ settings });
    if (activeId !== null) this.change(activeId, (c) => ({ ...c, settings }));
    const owner = this.caller?.owner;
    if (owner !== undefined) this.keeping.watch(this.keeper.putSettings(owner, settings));
  }

  isBusy(id: string): boolean {
    return this.controllers.has(id);
  }

  keepNow(): void {
    this.keeping.now();
  }

  stopAll(): void {
    for (const controller of this.controllers.values()) controller.abort();
    this.keeping.now();
  }

  private begin(text: string): Conversation {
    const now = Date.now();
    const { conversations, settings } = this.store.get();
    const conversation: Conversation = {
      id: newId(),
      owner: this.caller?.owner ?? "",
      title: titleOf(text),
      createdAt: now,
      updatedAt: now,
      settings,
      messages: [],
    };
    this.store.set({ conversations: [conversation, ...conversations] });
    this.show(conversation.id);
    return conversation;
  }

  private answer(id: string): void {
    const { caller } = this;
    const { settings } = this.store.get();
    const model = settings.model ?? caller?.model;
    if (!caller || !model || this.isBusy(id) || findProblem(settings) !== null) return;
    const turns = askedTurns(this.store.find(id)?.messages ?? []);
    void this.run(caller, id, buildRequest(settings, model, turns));
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
    this.keeping.now();
    await this.measure(caller, id);
  }

  private async measure(caller: Caller, id: string): Promise<void> {
    const last = this.store.find(id)?.messages.at(-1);
    const requestId = last?.role === "assistant" ? last.stats.requestId : null;
    if (!caller.canMeasure || !requestId) return;
    const record = await fetchRecord({ key: caller.key }, requestId);
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
    this.store.change(id, change);
    this.keeping.soon(id);
  }

  private show(id: string | null): void {
    this.store.set({ activeId: id });
    this.keeper.rememberOpen(id);
  }
}
