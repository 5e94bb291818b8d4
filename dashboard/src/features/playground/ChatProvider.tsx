/** Holds the conversation above the pages, so that looking at the charts does not end a stream. */

import { useQuery } from "@tanstack/react-query";
import {
  createContext,
  use,
  useEffect,
  useReducer,
  useRef,
  useState,
  type Dispatch,
  type ReactNode,
} from "react";
import { openChat } from "../../api/chat";
import { ApiError, getJson } from "../../api/client";
import { useLive } from "../../api/live";
import { useSession } from "../../api/session";
import type { ModelList } from "../../api/types";
import { converse, turnsOf, type ConversationAction, type Message } from "./conversation";
import { describeFailure } from "./failure";
import { buildRequest, DEFAULT_SETTINGS, type ChatSettings } from "./settings";

interface Chat {
  messages: Message[];
  settings: ChatSettings;
  models: string[];
  isStreaming: boolean;
  /** The service is ready, its model is known, and no answer is under way. */
  canSend: boolean;
  change: (settings: Partial<ChatSettings>) => void;
  send: (text: string) => void;
  stop: () => void;
  regenerate: () => void;
  clear: () => void;
}

const ChatContext = createContext<Chat | null>(null);

export function ChatProvider({ children }: { children: ReactNode }) {
  const [messages, dispatch] = useReducer(converse, []);
  const [settings, setSettings] = useState(DEFAULT_SETTINGS);
  const models = useModels();
  const model = settings.model ?? models[0];
  const answer = useAnswer(dispatch, settings, model ?? "");
  const isReady = useLive().connection.status?.health.is_ready ?? false;
  const isStreaming = messages.some(
    (message) => message.role === "assistant" && message.state === "streaming",
  );
  const chat: Chat = {
    messages,
    settings,
    models,
    isStreaming,
    canSend: isReady && !isStreaming && model !== undefined,
    change: (some) => setSettings((current) => ({ ...current, ...some })),
    send: (text) => {
      dispatch({ kind: "asked", text });
      answer.begin(converse(messages, { kind: "asked", text }));
    },
    stop: answer.stop,
    regenerate: () => {
      dispatch({ kind: "answer dropped" });
      answer.begin(converse(messages, { kind: "answer dropped" }));
    },
    clear: () => {
      answer.stop();
      dispatch({ kind: "cleared" });
    },
  };
  return <ChatContext value={chat}>{children}</ChatContext>;
}

export function useChat(): Chat {
  const chat = use(ChatContext);
  if (!chat) throw new Error("useChat needs a ChatProvider above it");
  return chat;
}

function useModels(): string[] {
  const { key } = useSession();
  const { data } = useQuery({
    queryKey: ["models", key],
    queryFn: ({ signal }) => getJson<ModelList>("/v1/models", { key: key ?? "", signal }),
    retry: true,
    retryDelay: 5000,
    staleTime: 60_000,
  });
  return data?.data.map((model) => model.id) ?? [];
}

/** Runs one answer at a time, and can stop it. */
function useAnswer(dispatch: Dispatch<ConversationAction>, settings: ChatSettings, model: string) {
  const { key, refuse } = useSession();
  const controller = useRef<AbortController>(null);
  useEffect(() => () => controller.current?.abort(), []);

  const begin = async (messages: Message[]) => {
    const { signal } = (controller.current = new AbortController());
    dispatch({ kind: "begun", at: performance.now() });
    try {
      const request = buildRequest(settings, model, turnsOf(messages));
      await stream(key ?? "", request, signal, dispatch);
      dispatch({ kind: "ended", state: "done" });
    } catch (error) {
      if (signal.aborted) {
        dispatch({ kind: "ended", state: "stopped" });
        return;
      }
      if (error instanceof ApiError && error.status === 401) refuse(error.message);
      dispatch({ kind: "ended", state: "failed", failure: describeFailure(error) });
    }
  };

  return {
    begin: (messages: Message[]) => void begin(messages),
    stop: () => controller.current?.abort(),
  };
}

async function stream(
  key: string,
  request: ReturnType<typeof buildRequest>,
  signal: AbortSignal,
  dispatch: Dispatch<ConversationAction>,
): Promise<void> {
  const { requestId, timing, events } = await openChat(key, request, signal);
  dispatch({ kind: "opened", requestId, timing });
  for await (const event of events) {
    const at = performance.now();
    if (event.kind === "text") dispatch({ kind: "grew", text: event.text, at });
    else if (event.kind === "usage") dispatch({ kind: "measured", usage: event.usage });
    else dispatch({ kind: "measured", finishReason: event.reason });
  }
}
