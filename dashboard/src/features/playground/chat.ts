/**
 * Every action of the playground. The components only show the resulting state.
 *
 * It lives above the pages, so that streams continue while another page is open.
 */

import { ApiError } from "../../api/client";
import type { ChatRequest, ChatTurn } from "../../api/types";
import { fetchRecord, runAnswer, schemaOf } from "./answering";
import { activeConversation, ChatStore, EMPTY } from "./chat-state";
import {
  canContinue,
  converse,
  EMPTY_THREAD,
  isEmpty,
  nextId,
  START,
  type AnswerAction,
  type Attachment,
  type ConversationAction,
  type Message,
} from "./conversation";
import { Keeping, wordsOf } from "./keeping";
import { settle, type Conversation, type Keeper, type KeptChange } from "./kept";
import { OtherTabs } from "./other-tabs";
import { buildRequest, findProblem, sidesOf, type ChatSettings, type Side } from "./settings";
import { pathOf, pathTo } from "./thread";
import { newId, titleOf } from "./titles";
import { continuedTurns, turnsOf } from "./turns";

/** The key in use, what it may do, and the models. */
export interface Caller {
  key: string;
  owner: string;
  /** The key may see the service's own records of requests. */
  canMeasure: boolean;
  /** The ids of the models that can chat. */
  models: string[];
  refuse: (reason: string) => void;
}

/** How often a slow answer is stored even without a new piece, so that other tabs know it lives. */
const BEAT_MILLISECONDS = 1000;

export class Chat {
  readonly store = new ChatStore();
  private readonly keeping: Keeping;
  /** The answers that stream, by conversation. */
  private readonly controllers = new Map<string, Set<AbortController>>();
  private caller: Caller | null = null;
  private isLeaving = false;
  private readonly others = new OtherTabs(() => void this.reload());

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
      const others = kept.conversations
        .filter(({ id }) => !this.isBusy(id))
        .map((conversation) =>
          this.others.has(conversation.id) ? conversation : settle(conversation),
        );
      this.store.set({ conversations: [...own, ...others] });
      if (isLoaded) return;
      this.store.set({ settings: kept.settings, isLoaded: true });
      this.open(this.keeper.recallOpen() ?? "");
    } catch (error) {
      this.store.set({ isLoaded: true, keepFailure: wordsOf(error) });
    }
  }

  /** Another tab has stored something. */
  hear(change: KeptChange): void {
    this.others.hear(change);
  }

  send(text: string, attachments: Attachment[] = []): void {
    const { id } = activeConversation(this.store.get()) ?? this.begin(text, attachments);
    this.tell(id, { kind: "asked", parent: this.lastShown(id)?.id ?? START, text, attachments });
    this.answer(id);
  }

  /** Answers the last question once more: a new version of the answer. */
  regenerate(): void {
    this.withActive((id) => {
      const last = this.lastShown(id);
      if (last?.role !== "assistant") {
        this.answer(id);
        return;
      }
      // An empty answer has nothing to keep.
      if (isEmpty(last) && last.pair === null) this.tell(id, { kind: "dropped", id: last.id });
      this.answer(id, last.parent);
    });
  }

  /** Continues an answer that was cut, with the settings that it was made with. */
  continueAnswer(messageId: number): void {
    this.withActive((id, conversation) => {
      const path = pathTo(conversation, messageId);
      const answer = path.at(-1);
      if (answer?.role !== "assistant" || !canContinue(answer)) return;
      const settings = { ...this.store.get().settings, ...answer.making };
      const request = this.requestOf(settings, continuedTurns(path));
      if (request) this.resume(id, messageId, { ...request, continue_final_message: true });
    });
  }

  /** Requests one of two answers again, of which nothing has arrived. */
  retry(messageId: number): void {
    this.withActive((id, conversation) => {
      const path = pathTo(conversation, messageId);
      const answer = path.at(-1);
      if (answer?.role !== "assistant" || !isEmpty(answer)) return;
      const settings = { ...this.store.get().settings, ...answer.making };
      const request = this.requestOf(settings, turnsOf(path.slice(0, -1)));
      if (request) this.resume(id, messageId, request);
    });
  }

  /** Asks another question in the place of one: a new version of it, with its own answers. */
  resend(messageId: number, text: string): void {
    this.withActive((id, { messages }) => {
      const old = messages.find((message) => message.id === messageId);
      if (old?.role !== "user") return;
      const { parent, attachments } = old;
      this.tell(id, { kind: "asked", parent, text, attachments });
      this.answer(id);
    });
  }

  /** Adds a version of an answer with another text. */
  editAnswer(messageId: number, text: string): void {
    this.withActive((id) => this.tell(id, { kind: "edited", id: messageId, text }));
    this.keeping.now();
  }

  /** Answers the calls of a message. */
  sendResults(messageId: number, results: string[]): void {
    this.withActive((id) => {
      this.tell(id, { kind: "results given", id: messageId, results });
      this.answer(id);
    });
  }

  /** Shows a version of a message, and what followed it. */
  choose(messageId: number): void {
    this.withActive((id) => this.tell(id, { kind: "chosen", id: messageId }));
  }

  stop(): void {
    this.withActive((id) => this.abort(id));
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
    this.abort(id);
    this.store.set({
      conversations: conversations.filter((other) => other.id !== id),
      removed: settle(conversation),
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

  /** Changes the settings of the second of two answers. */
  configureRight(some: Partial<Side>): void {
    const { right } = this.store.get().settings;
    if (right) this.configure({ right: { ...right, ...some } });
  }

  /** Adds conversations that were exported, and shows the first of them. */
  import(conversations: Conversation[]): void {
    const owner = this.caller?.owner ?? "";
    const added = conversations.map((conversation) => ({ ...conversation, id: newId(), owner }));
    this.store.set({ conversations: [...added, ...this.store.get().conversations] });
    for (const { id } of added) this.keeping.soon(id);
    this.keeping.now();
    const first = added[0];
    if (first) this.open(first.id);
  }

  isBusy(id: string): boolean {
    return this.controllers.has(id);
  }

  /** The page is being closed. The browser cuts the streams, which is no fault of the service. */
  leave(isLeaving: boolean): void {
    this.isLeaving = isLeaving;
    this.keeping.now();
  }

  keepNow(): void {
    this.keeping.now();
  }

  stopAll(): void {
    for (const id of this.controllers.keys()) this.abort(id);
    this.keeping.now();
  }

  private withActive(act: (id: string, conversation: Conversation) => void): void {
    const conversation = activeConversation(this.store.get());
    if (conversation) act(conversation.id, conversation);
  }

  private lastShown(id: string): Message | undefined {
    return pathOf(this.store.find(id) ?? EMPTY_THREAD).at(-1);
  }

  private begin(text: string, attachments: Attachment[]): Conversation {
    const now = Date.now();
    const { conversations, settings } = this.store.get();
    const conversation: Conversation = {
      id: newId(),
      owner: this.caller?.owner ?? "",
      title: titleOf(text || (attachments[0]?.name ?? "")),
      createdAt: now,
      updatedAt: now,
      settings,
      ...EMPTY_THREAD,
    };
    this.store.set({ conversations: [conversation, ...conversations] });
    this.show(conversation.id);
    return conversation;
  }

  /** Requests an answer to the message `parent`, or two side by side. */
  private answer(id: string, parent = this.lastShown(id)?.id ?? START): void {
    // What was asked is stored before anything can go wrong.
    this.keeping.now();
    if (!this.isFree(id)) return;
    const turns = turnsOf(pathTo(this.store.find(id) ?? EMPTY_THREAD, parent));
    const sides = sidesOf(this.store.get().settings);
    const requests = sides.map((side) => ({ side, request: this.requestOf(side, turns) }));
    const first = nextId(this.store.find(id) ?? EMPTY_THREAD);
    for (const [i, { side, request }] of requests.entries()) {
      if (!request) return;
      const { preset, system, sampling, reasoningEffort } = side;
      const making = { model: request.model, preset, system, sampling, reasoningEffort };
      const pair = sides.length > 1 ? first : null;
      const at = performance.now();
      this.tell(id, { kind: "begun", parent, at, schema: schemaOf(request), making, pair });
      void this.run(id, first + i, request);
    }
    if (sides.length > 1) this.tell(id, { kind: "chosen", id: first });
    this.keeping.now();
  }

  /** Sends a request that adds to an answer. */
  private resume(id: string, messageId: number, request: ChatRequest): void {
    if (!this.isFree(id)) return;
    this.tell(id, { kind: "continued", id: messageId, at: performance.now() });
    void this.run(id, messageId, request);
    this.keeping.now();
  }

  private isFree(id: string): boolean {
    return (
      this.caller !== null && !this.isBusy(id) && findProblem(this.store.get().settings) === null
    );
  }

  private requestOf(settings: ChatSettings, turns: ChatTurn[]): ChatRequest | null {
    const models = this.caller?.models ?? [];
    // The service may no longer have the model that was chosen.
    const model = models.find((id) => id === settings.model) ?? models[0];
    return model ? buildRequest(settings, model, turns) : null;
  }

  private abort(id: string): void {
    for (const controller of this.controllers.get(id) ?? []) controller.abort();
  }

  private async run(id: string, messageId: number, request: ChatRequest): Promise<void> {
    const { caller } = this;
    if (!caller) return;
    const controller = new AbortController();
    const running = this.controllers.get(id) ?? new Set();
    this.controllers.set(id, running.add(controller));
    const beat = setInterval(() => this.keeping.soon(id), BEAT_MILLISECONDS);
    await runAnswer(
      caller.key,
      request,
      controller.signal,
      (action) => this.tell(id, { ...this.asInterrupted(action), id: messageId }),
      (error) => {
        if (error instanceof ApiError && error.status === 401) caller.refuse(error.message);
      },
    );
    clearInterval(beat);
    running.delete(controller);
    if (running.size === 0) this.controllers.delete(id);
    this.keeping.now();
    await this.measure(caller, id, messageId);
  }

  private asInterrupted(action: AnswerAction): AnswerAction {
    if (!this.isLeaving || action.kind !== "ended" || action.state !== "failed") return action;
    return { kind: "ended", state: "interrupted", at: action.at };
  }

  private async measure(caller: Caller, id: string, messageId: number): Promise<void> {
    const answer = this.store.find(id)?.messages.find((message) => message.id === messageId);
    const requestId = answer?.role === "assistant" ? answer.stats.requestId : null;
    if (!caller.canMeasure || !requestId) return;
    const record = await fetchRecord({ key: caller.key }, requestId);
    if (record) this.tell(id, { kind: "recorded", record });
  }

  private tell(id: string, action: ConversationAction): void {
    this.change(id, (conversation) => ({
      ...conversation,
      ...converse(conversation, action),
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
