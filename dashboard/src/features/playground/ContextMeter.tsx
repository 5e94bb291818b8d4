import { Tooltip } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { ChatTurn } from "../../api/types";
import { countTokens } from "../../api/endpoints";
import { useSession } from "../../api/session";
import { activeConversation, isAnswering, turnsSoFar, type ChatState } from "./chat-state";
import { useChatState, useModel } from "./ChatProvider";
import { readContext, type ContextUse } from "./context";
import { buildTools, withSystem } from "./settings";
import styles from "./ContextMeter.module.css";

const TYPING_MILLISECONDS = 350;

/** Shows how much of the context is used, counted by the service's own tokenizer. */
export function ContextMeter({ draft }: { draft: string }) {
  const maxTokens = useChatState((state) => state.settings.sampling.max_tokens);
  const use = useContextUse(draft);
  if (!use) return <span />;
  const { words, detail, tone, share } = readContext(use, maxTokens);
  return (
    <Tooltip label={detail}>
      <div
        className={styles.meter}
        data-tone={tone}
        role="meter"
        aria-label="Context used"
        aria-valuemin={0}
        aria-valuemax={use.max}
        aria-valuenow={Math.min(use.used, use.max)}
        aria-valuetext={`${words}. ${detail}`}
      >
        <svg className={styles.bar} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden>
          <rect className={styles.track} width="100" height="4" />
          <rect className={styles.fill} width={share * 100} height="4" />
        </svg>
        {words}
      </div>
    </Tooltip>
  );
}

function useContextUse(draft: string): ContextUse | null {
  const { key } = useSession();
  const model = useModel();
  const isStreaming = useChatState(isAnswering);
  const answerTokens = useChatState(growingTokens);
  const settings = useChatState((state) => state.settings);
  // The string stays the same value until a message is added.
  const said = useChatState((state) =>
    isAnswering(state) ? "" : JSON.stringify(turnsSoFar(state)),
  );
  const messages = isStreaming
    ? []
    : messagesOf(settings.system, JSON.parse(said) as ChatTurn[], draft.trim());
  const prompt = messages.length > 0 ? { messages, ...buildTools(settings) } : null;
  // The message, the system prompt and the tools are typed: not every letter is a request.
  const [counted] = useDebouncedValue(JSON.stringify(prompt), TYPING_MILLISECONDS);
  const { data } = useQuery({
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
  if (max === undefined) return null;
  const isEmpty = messages.length === 0 && !isStreaming;
  return { used: (isEmpty ? 0 : (data?.count ?? 0)) + answerTokens, max };
}

/** The messages of the next request; empty while the conversation is empty. */
function messagesOf(system: string, said: ChatTurn[], draft: string): ChatTurn[] {
  const turns: ChatTurn[] = draft === "" ? said : [...said, { role: "user", content: draft }];
  return turns.length > 0 ? withSystem(system, turns) : [];
}

/** The number of pieces of the streaming answer, which is about its number of tokens. */
function growingTokens(state: ChatState): number {
  const last = activeConversation(state)?.messages.at(-1);
  return last?.role === "assistant" && last.state === "streaming" ? last.stats.numPieces : 0;
}
