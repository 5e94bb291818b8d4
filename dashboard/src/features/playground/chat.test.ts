// @vitest-environment jsdom
import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { openDB } from "idb";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Chat, type Caller } from "./chat";
import { activeConversation, isAnswering, isAwaitingResults, shownMessages } from "./chat-state";
import type { AnswerMessage } from "./conversation";
import { recordOf } from "./examples";
import { BrowserKeeper } from "./kept";
import { DEFAULT_SAMPLING, DEFAULT_SETTINGS, sideOf } from "./settings";

const caller: Caller = {
  key: "k",
  owner: "admin",
  canMeasure: true,
  models: ["pocket", "other"],
  refuse: () => undefined,
};

/** Echoes every question; "wait" streams until it is aborted, "call" is answered by a call. */
async function serve(request: Request): Promise<Response> {
  if (new URL(request.url).pathname === "/api/requests/r-1") {
    return Response.json(recordOf({ request_id: "r-1" }));
  }
  const sent = (await request.json()) as { messages: { content: string }[] };
  const { messages } = sent;
  requests.push(sent);
  const question = messages.at(-1)?.content ?? "";
  const encode = (event: unknown) =>
    new TextEncoder().encode(
      `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`,
    );
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const delta = question === "call" ? CALL : { content: `<${question}>` };
      controller.enqueue(encode({ choices: [{ delta, finish_reason: null }] }));
      if (question === "wait") {
        const stop = () => controller.error(new DOMException("stop", "AbortError"));
        if (request.signal.aborted) stop();
        else request.signal.addEventListener("abort", stop);
        return;
      }
      controller.enqueue(encode("[DONE]"));
      controller.close();
    },
  });
  return new Response(body, { headers: { "x-request-id": "r-1" } });
}

const CALL = {
  reasoning_content: "Hm.",
  tool_calls: [{ index: 0, id: "c0", function: { name: "f", arguments: "{}" } }],
};

/** A conversation in the form that the first dashboard stored. */
const OLD_STATS = { sentAt: 1, firstTextAt: 2, lastTextAt: 3, endedAt: 4, numPieces: 1 };
const OLD_CONVERSATION = {
  id: "old",
  owner: "admin",
  title: "Hi",
  createdAt: 1,
  updatedAt: 2,
  settings: { model: null, preset: "Plain", system: "", sampling: { temperature: 0.5 } },
  messages: [
    { id: 1, role: "user", text: "Hi" },
    { id: 2, role: "assistant", text: "Hel", state: "stopped", stats: OLD_STATS },
    { id: 3, role: "user", text: "And?" },
    { id: 4, role: "assistant", text: "Yes", state: "done", stats: OLD_STATS },
  ],
};

/** The bodies of all requests for an answer. */
let requests: unknown[] = [];

async function newChat(some: Partial<Caller> = {}): Promise<Chat> {
  const chat = new Chat(new BrowserKeeper());
  await chat.signIn({ ...caller, ...some });
  return chat;
}

/** Waits until no answer streams in `chat`, then stores its state. */
async function settled(chat: Chat): Promise<void> {
  await vi.waitFor(() => expect(isAnswering(chat.store.get())).toBe(false), 20_000);
  chat.keepNow();
}

function said(chat: Chat): string[] {
  return shownMessages(chat.store.get()).map((message) => message.text);
}

async function titlesAfterReload(some: Partial<Caller> = {}): Promise<string[]> {
  const chat = await newChat(some);
  return chat.store.get().conversations.map((conversation) => conversation.title);
}

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  vi.stubGlobal("fetch", vi.fn(serve));
  sessionStorage.clear();
  requests = [];
});

describe("Chat", () => {
  it("begins a conversation with its first message and restores it after a reload", async () => {
    const chat = await newChat();
    chat.send("one");
    await settled(chat);
    chat.send("two");
    await settled(chat);
    expect(said(chat)).toEqual(["one", "<one>", "two", "<two>"]);
    const reloaded = await newChat();
    await vi.waitFor(() => expect(said(reloaded)).toEqual(said(chat)), 20_000);
    expect(reloaded.store.get().conversations).toHaveLength(1);
  });

  it("adds the service's record to the answer, unless the key may not see it", async () => {
    const recordIn = (chat: Chat) => {
      const last = shownMessages(chat.store.get()).at(-1);
      return last?.role === "assistant" ? last.stats.record?.request_id : undefined;
    };
    const chat = await newChat();
    chat.send("one");
    await vi.waitFor(() => expect(recordIn(chat)).toBe("r-1"), 20_000);
    const humble = await newChat({ owner: "chat-only", canMeasure: false });
    humble.send("one");
    await settled(humble);
    expect(recordIn(humble)).toBeUndefined();
  });

  it("does not show a key the conversations of another key", async () => {
    const chat = await newChat();
    chat.send("secret");
    await settled(chat);
    expect(await titlesAfterReload({ owner: "other" })).toEqual([]);
    expect(await titlesAfterReload()).toEqual(["secret"]);
    await chat.signIn({ ...caller, owner: "other" });
    expect(chat.store.get()).toMatchObject({ conversations: [], activeId: null });
  });

  it("keeps what followed a question that is edited as another version", async () => {
    const chat = await newChat();
    for (const text of ["one", "two", "three"]) {
      chat.send(text);
      await settled(chat);
    }
    const second = activeConversation(chat.store.get())?.messages[2];
    chat.resend(second?.id ?? 0, "TWO");
    await settled(chat);
    expect(said(chat)).toEqual(["one", "<one>", "TWO", "<TWO>"]);
    chat.choose(second?.id ?? 0);
    const all = ["one", "<one>", "two", "<two>", "three", "<three>"];
    expect(said(chat)).toEqual(all);
    chat.keepNow();
    const reloaded = await newChat();
    expect(said(reloaded), "what was chosen is stored").toEqual(all);
  });

  it("asks the last question again without repeating it", async () => {
    const chat = await newChat();
    chat.send("one");
    await settled(chat);
    chat.regenerate();
    await settled(chat);
    expect(said(chat)).toEqual(["one", "<one>"]);
    expect(activeConversation(chat.store.get())?.messages).toHaveLength(3);
    expect(requests[1]).toEqual(requests[0]);
  });

  it("goes on with the result of a call, which is stored with it", async () => {
    const chat = await newChat();
    chat.configure({ tools: '{"name": "f"}', toolChoice: "required" });
    chat.send("call");
    await settled(chat);
    expect(isAwaitingResults(chat.store.get())).toBe(true);
    chat.sendResults(2, ["5"]);
    await settled(chat);
    expect(said(chat)).toEqual(["call", "", "<5>"]);
    expect(requests[1]).toMatchObject({
      messages: [
        { role: "user", content: "call" },
        { role: "assistant", content: null, reasoning_content: "Hm.", tool_calls: [{ id: "c0" }] },
        { role: "tool", tool_call_id: "c0", content: "5" },
      ],
      tools: [{ type: "function", function: { name: "f" } }],
      tool_choice: "required",
    });
    chat.regenerate();
    await settled(chat);
    expect(requests[2]).toEqual(requests[1]);
    const reloaded = await newChat();
    await vi.waitFor(() => expect(said(reloaded)).toEqual(said(chat)), 20_000);
    expect(activeConversation(reloaded.store.get())?.messages[1]).toMatchObject({
      reasoning: "Hm.",
      calls: [{ name: "f", result: "5" }],
    });
  });

  it("sends nothing while the tools are not valid", async () => {
    const chat = await newChat();
    chat.configure({ tools: "[" });
    chat.send("one");
    await settled(chat);
    expect(requests).toEqual([]);
  });

  it("stops an answer and keeps its text so far", async () => {
    const chat = await newChat();
    chat.send("wait");
    await vi.waitFor(() => expect(said(chat)).toEqual(["wait", "<wait>"]), 20_000);
    chat.stop();
    await settled(chat);
    const last = shownMessages(chat.store.get()).at(-1);
    expect(last).toMatchObject({ text: "<wait>", state: "stopped" });
  });

  it("continues an answer while another conversation is open", async () => {
    const chat = await newChat();
    chat.send("wait");
    const first = chat.store.get().activeId ?? "";
    await vi.waitFor(() => expect(said(chat)).toHaveLength(2), 20_000);
    chat.startNew();
    chat.send("one");
    await settled(chat);
    expect(said(chat)).toEqual(["one", "<one>"]);
    chat.open(first);
    expect(isAnswering(chat.store.get())).toBe(true);
    chat.stop();
    await settled(chat);
  });

  it("renames, deletes and restores a conversation", async () => {
    const chat = await newChat();
    chat.send("one");
    await settled(chat);
    const id = chat.store.get().activeId ?? "";
    chat.rename(id, "  ");
    chat.rename(id, " Sums ");
    chat.keepNow();
    expect(await titlesAfterReload()).toEqual(["Sums"]);
    chat.remove(id);
    expect(chat.store.get().activeId).toBeNull();
    expect(await titlesAfterReload()).toEqual([]);
    chat.undoRemove();
    chat.keepNow();
    expect(said(chat)).toEqual(["one", "<one>"]);
    expect(await titlesAfterReload()).toEqual(["Sums"]);
  });

  it("stops an answer when its conversation is deleted", async () => {
    const chat = await newChat();
    chat.send("wait");
    await vi.waitFor(() => expect(said(chat)).toHaveLength(2), 20_000);
    const id = chat.store.get().activeId ?? "";
    chat.remove(id);
    await vi.waitFor(() => expect(chat.isBusy(id)).toBe(false), 20_000);
    chat.undoRemove();
    expect(isAnswering(chat.store.get())).toBe(false);
  });

  it("stores the settings with each conversation and for the next one", async () => {
    const chat = await newChat();
    chat.configure({ system: "Be brief.", preset: "Own", ownSystem: "Be brief." });
    chat.send("one");
    await settled(chat);
    chat.startNew();
    chat.configure({ system: "" });
    chat.open(chat.store.get().conversations[0]?.id ?? "");
    expect(chat.store.get().settings.system).toBe("Be brief.");
    sessionStorage.clear();
    const reloaded = await newChat();
    expect(reloaded.store.get().settings).toMatchObject({ system: "", ownSystem: "Be brief." });
  });

  it("stores a question at once, and its answer while it grows", async () => {
    const chat = await newChat();
    chat.send("wait");
    // Nothing has been awaited: not even the request has been sent.
    const early = await newChat();
    expect(said(early)).toEqual(["wait", ""]);
    await vi.waitFor(async () => expect(said(await newChat())).toEqual(["wait", "<wait>"]), 20_000);
    expect(isAnswering(chat.store.get())).toBe(true);
    chat.stop();
    await settled(chat);
  });

  it("continues an answer that was interrupted, with its own settings", async () => {
    const chat = await newChat();
    chat.configure({ sampling: { ...DEFAULT_SAMPLING, seed: 7 } });
    chat.send("wait");
    await vi.waitFor(() => expect(said(chat)).toEqual(["wait", "<wait>"]), 20_000);
    chat.keepNow();
    const reloaded = await newChat();
    expect(shownMessages(reloaded.store.get()).at(-1)).toMatchObject({
      text: "<wait>",
      state: "interrupted",
    });
    reloaded.configure({ sampling: DEFAULT_SAMPLING });
    reloaded.continueAnswer(2);
    await settled(reloaded);
    expect(requests.at(-1)).toMatchObject({
      continue_final_message: true,
      seed: 7,
      messages: [{ content: "wait" }, { role: "assistant", content: "<wait>" }],
    });
    expect(shownMessages(reloaded.store.get()).at(-1)).toMatchObject({
      text: "<wait><<wait>>",
      state: "done",
    });
    chat.stop();
    await settled(chat);
  });

  it("asks two models at once, and goes on with the chosen answer", async () => {
    const chat = await newChat();
    chat.configure({ right: { ...sideOf(DEFAULT_SETTINGS), model: "other" } });
    chat.send("one");
    await settled(chat);
    expect(requests).toMatchObject([{ model: "pocket" }, { model: "other" }]);
    const texts = () => activeConversation(chat.store.get())?.messages.map(({ text }) => text);
    expect(texts()).toEqual(["one", "<one>", "<one>"]);
    expect(said(chat)).toEqual(["one", "<one>"]);
    chat.editAnswer(2, "left");
    chat.choose(3);
    chat.configure({ right: null });
    chat.send("two");
    await settled(chat);
    expect(requests.at(-1)).toMatchObject({ messages: [{}, { content: "<one>" }, {}] });
    expect(said(chat)).toEqual(["one", "<one>", "two", "<two>"]);
  });

  it("shows an answer that streams in another tab as such, and as interrupted if that tab ends", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
    const here = await newChat();
    here.send("wait");
    await vi.waitFor(() => expect(said(here)).toEqual(["wait", "<wait>"]));
    here.keepNow();
    const id = here.store.get().activeId ?? "";
    const there = await newChat();
    const stateThere = () => (shownMessages(there.store.get()).at(-1) as AnswerMessage).state;
    there.hear({ id, isStreaming: true });
    await vi.advanceTimersByTimeAsync(500);
    await vi.waitFor(() => expect(stateThere()).toBe("streaming"));
    await vi.advanceTimersByTimeAsync(3500);
    await vi.waitFor(() => expect(stateThere()).toBe("interrupted"));
    vi.useRealTimers();
    here.stop();
    await settled(here);
  });

  it("restores a conversation that an earlier dashboard stored", async () => {
    const database = await openDB("llm-service-playground", 1, {
      upgrade: (upgraded) => {
        const store = upgraded.createObjectStore("conversations", { keyPath: "id" });
        store.createIndex("owner", "owner");
        upgraded.createObjectStore("settings");
      },
    });
    await database.put("conversations", OLD_CONVERSATION);
    database.close();
    sessionStorage.setItem("llm-service-playground", "old");
    const chat = await newChat();
    expect(said(chat)).toEqual(["Hi", "Hel", "And?", "Yes"]);
    expect(shownMessages(chat.store.get())[1]).toMatchObject({ state: "stopped", calls: [] });
    chat.regenerate();
    await settled(chat);
    expect(said(chat)).toEqual(["Hi", "Hel", "And?", "<And?>"]);
    chat.choose(4);
    expect(said(chat)).toEqual(["Hi", "Hel", "And?", "Yes"]);
  });

  it("works without storage, and says why nothing is stored", async () => {
    vi.stubGlobal("indexedDB", {
      open: () => {
        throw new Error("The browser keeps nothing in private windows.");
      },
    });
    const chat = await newChat();
    expect(chat.store.get().keepFailure).toContain("private windows");
    chat.send("one");
    await settled(chat);
    expect(said(chat)).toEqual(["one", "<one>"]);
  });
});
