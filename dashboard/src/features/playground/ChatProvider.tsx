/** Provides the one Chat to the pages, and tells it the current key and model. */

import { useQuery } from "@tanstack/react-query";
import {
  createContext,
  use,
  useEffect,
  useMemo,
  useState,
  useSyncExternalStore,
  type ReactNode,
} from "react";
import { getModels } from "../../api/endpoints";
import { useHasScope, useLive } from "../../api/live";
import { useSession } from "../../api/session";
import type { ServedModel } from "../../api/types";
import { Chat } from "./chat";
import { isAnswering, type ChatState } from "./chat-state";
import { BrowserKeeper } from "./kept";
import { findProblem } from "./settings";

const ChatContext = createContext<{ chat: Chat; models: ServedModel[] } | null>(null);
const NO_MODELS: ServedModel[] = [];

export function ChatProvider({ children }: { children: ReactNode }) {
  const [keeper] = useState(() => new BrowserKeeper());
  const [chat] = useState(() => new Chat(keeper));
  const { key, refuse } = useSession();
  const owner = useLive().connection.status?.key.name;
  const canMeasure = useHasScope("metrics");
  const models = useServedModels() ?? NO_MODELS;

  useEffect(() => {
    if (key === null || owner === undefined) return;
    void chat.signIn({ key, owner, canMeasure, models: models.map(({ id }) => id), refuse });
  }, [chat, key, owner, canMeasure, models, refuse]);

  useEffect(() => keeper.watch((change) => chat.hear(change)), [chat, keeper]);

  useEffect(() => {
    const leave = () => chat.leave(true);
    // A page that is shown again after "back" was not closed.
    const stay = () => chat.leave(false);
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", stay);
    return () => {
      window.removeEventListener("pagehide", leave);
      window.removeEventListener("pageshow", stay);
      chat.stopAll();
    };
  }, [chat]);

  const value = useMemo(() => ({ chat, models }), [chat, models]);
  return <ChatContext value={value}>{children}</ChatContext>;
}

function useServedModels(): ServedModel[] | undefined {
  const { key } = useSession();
  const { data } = useQuery({
    queryKey: ["models", key],
    queryFn: ({ signal }) => getModels({ key: key ?? "", signal }),
    select: ({ data }) => data.filter(({ embedding }) => !embedding), // others cannot chat
    retry: true,
    retryDelay: 5000,
    staleTime: 60_000,
  });
  return data;
}

function useChatContext() {
  const value = use(ChatContext);
  if (!value) throw new Error("useChat needs a ChatProvider above it");
  return value;
}

export function useChat(): Chat {
  return useChatContext().chat;
}

/** Selects a part of the state; a component re-renders only when that part changes. */
export function useChatState<T>(select: (state: ChatState) => T): T {
  const { chat } = useChatContext();
  return useSyncExternalStore(chat.store.subscribe, () => select(chat.store.get()));
}

export function useModels(): ServedModel[] {
  return useChatContext().models;
}

/** The model for the next message; undefined while it is unknown. */
export function useModel(): ServedModel | undefined {
  const { models } = useChatContext();
  const chosen = useChatState((state) => state.settings.model);
  return models.find(({ id }) => id === chosen) ?? models[0];
}

/** What the user has to correct in the settings, or null. */
export function useProblem(): string | null {
  const settings = useChatState((state) => state.settings);
  return useMemo(() => findProblem(settings), [settings]);
}

/**
 * True if the service is ready, its model is known, the settings are valid and no answer streams
 * in this conversation.
 */
export function useCanSend(): boolean {
  const hasProblem = useProblem() !== null;
  const isReady = useLive().connection.status?.health.is_ready ?? false;
  const isFree = useChatState((state) => state.isLoaded && !isAnswering(state));
  const model = useModel();
  return isReady && isFree && model !== undefined && !hasProblem;
}
