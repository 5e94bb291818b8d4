import { memo } from "react";
import { CopyButton } from "../../components/CopyButton";
import { IconButton } from "../../components/IconButton";
import { IconRedo } from "../../components/icons";
import { Markdown } from "../../components/markdown/Markdown";
import { AnswerFacts } from "./AnswerFacts";
import { useCanSend, useChat } from "./ChatProvider";
import type { AnswerMessage } from "./conversation";
import { FailureNote } from "./FailureNote";
import { fenced } from "./fence";
import { showJson } from "./json-text";
import { Reasoning } from "./Reasoning";
import { SchemaMark } from "./SchemaMark";
import { ToolCalls } from "./ToolCalls";
import styles from "./Answer.module.css";

interface AnswerProps {
  answer: AnswerMessage;
  isLast: boolean;
}

export const Answer = memo(function Answer({ answer, isLast }: AnswerProps) {
  const isStreaming = answer.state === "streaming";
  return (
    <article className={styles.answer} aria-label="Answer" aria-busy={isStreaming}>
      {answer.reasoning !== "" && <Reasoning answer={answer} />}
      <AnswerText answer={answer} />
      {answer.calls.length > 0 && <ToolCalls answer={answer} isLast={isLast} />}
      {answer.failure && <FailureNote failure={answer.failure} isLast={isLast} />}
      <AnswerFacts answer={answer}>
        {answer.text && <CopyButton text={answer.text} />}
        {isLast && !answer.failure && <RegenerateButton />}
      </AnswerFacts>
    </article>
  );
});

/** The text; an answer that has to fit a schema is shown as JSON, with the result of the check. */
function AnswerText({
  answer: { text, reasoning, calls, schema, state },
}: {
  answer: AnswerMessage;
}) {
  const isStreaming = state === "streaming";
  if (text === "") {
    const isWaiting = isStreaming && reasoning === "" && calls.length === 0;
    if (!isWaiting) return null;
    return <div className={styles.thinking} role="img" aria-label="Waiting for the first token" />;
  }
  const shown = schema ? fenced(showJson(text, isStreaming), "json") : text;
  return (
    <>
      <div data-testid="answer-text">
        <Markdown text={shown} isGrowing={isStreaming} />
      </div>
      {schema && <SchemaMark text={isStreaming ? null : text} schema={schema} />}
    </>
  );
}

function RegenerateButton() {
  const chat = useChat();
  if (!useCanSend()) return null;
  return (
    <IconButton label="Regenerate the answer" isQuiet onClick={() => chat.regenerate()}>
      <IconRedo />
    </IconButton>
  );
}
