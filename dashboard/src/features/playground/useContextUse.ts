import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ApiError } from "../../api/client";
import { countTokens } from "../../api/endpoints";
import { useSession } from "../../api/session";
import type { ChatTurn } from "../../api/types";
import { isAnswering, shownMessages, turnsSoFar, type ChatState } from "./chat-state";
import { useChatState, useModel } from "./ChatProvider";
import { readRefusedCount, type ContextUse } from "./context";
import { buildTools, withSystem } from "./settings";

const TYPING_MILLISECONDS = 350;

export interface CountedContext {
  /** Null while the model is unknown. */
  use: ContextUse | null;
  /** The draft is so long that it may not fit, and has not been counted yet. */
  isUncertain: boolean;
}

/** Counts the tokens of the next request by the service's own tokenizer. */
export function useContextUse(draft: string): CountedContext {
  const { key } = useSession();
  const model = useModel();
  const isStreaming = useChatState(isAnswering);
  const answerTokens = useChatState(growingTokens);
  // Images are not sent to be counted. The service told how many tokens those so far became.
  const imageTokens = useChatState(knownImageTokens);
  const settings = useChatState((state) => state.settings);
  // The string stays the same value until a message is added.
  const said = useChatState((state) =>
    isAnswering(state) ? "" : JSON.stringify(turnsSoFar(state)),
  );
  const messages = isStreaming
    ? []
    : messagesOf(settings.system, JSON.parse(said) as ChatTurn[], draft.trim());
  const prompt = messages.length > 0 ? { messages, ...buildTools(settings) } : null;
  const wanted = JSON.stringify(prompt);
  // The message, the system prompt and the tools are typed: not every letter is a request.
  const [counted] = useDebouncedValue(wanted, TYPING_MILLISECONDS);
  const { data, error, isFetching } = useQuery({
    queryKey: ["tokenize", model?.id, counted],
    queryFn: ({ signal }) => {
      const body = { model: model?.id ?? null, ...(JSON.parse(counted) as typeof prompt) };
      return countTokens({ key: key ?? "", signal }, body);
    },
    enabled: model !== undefined && counted !== "null",
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    gcTime: 60_000,
    retry: false,
  });
  const max = data?.max_model_len ?? model?.max_model_len;
  if (max === undefined) return { use: null, isUncertain: false };
  const isEmpty = messages.length === 0 && !isStreaming;
  const refused = error instanceof ApiError ? readRefusedCount(error.message) : null;
  const known = isEmpty ? 0 : (refused ?? data?.count ?? 0);
  const isCounting = counted !== wanted || isFetching;
  return {
    use: { used: known + imageTokens + answerTokens, max },
    // A token has at least one byte, so that a short draft fits before it is counted.
    isUncertain: isCounting && known + imageTokens + new Blob([draft]).size > max,
  };
}

/** The messages of the next request; empty while the conversation is empty. */
function messagesOf(system: string, said: ChatTurn[], draft: string): ChatTurn[] {
  const turns: ChatTurn[] = draft === "" ? said : [...said, { role: "user", content: draft }];
  return turns.length > 0 ? withSystem(system, turns) : [];
}

/** The number of pieces of the streaming answer, which is about its number of tokens. */
function growingTokens(state: ChatState): number {
  const last = shownMessages(state).at(-1);
  return last?.role === "assistant" && last.state === "streaming" ? last.stats.numPieces : 0;
}

function knownImageTokens(state: ChatState): number {
  const last = shownMessages(state).findLast((message) => message.role === "assistant");
  return last?.stats.usage?.prompt_tokens_details.image_tokens ?? 0;
}
