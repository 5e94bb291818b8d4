import { memo } from "react";
import { CopyButton } from "../../components/CopyButton";
import { IconButton } from "../../components/IconButton";
import { IconRedo } from "../../components/icons";
import { Markdown } from "../../components/markdown/Markdown";
import { AnswerFacts } from "./AnswerFacts";
import { useCanSend, useChat } from "./ChatProvider";
import type { AnswerMessage } from "./conversation";
import { FailureNote } from "./FailureNote";
import styles from "./Answer.module.css";

interface AnswerProps {
  answer: AnswerMessage;
  isLast: boolean;
}

export const Answer = memo(function Answer({ answer, isLast }: AnswerProps) {
  const isStreaming = answer.state === "streaming";
  return (
    <article className={styles.answer} aria-label="Answer" aria-busy={isStreaming}>
      {answer.text === "" && isStreaming ? (
        <div className={styles.thinking} role="img" aria-label="Waiting for the first token" />
      ) : (
        <div data-testid="answer-text">
          <Markdown text={answer.text} isGrowing={isStreaming} />
        </div>
      )}
      {answer.failure && <FailureNote failure={answer.failure} isLast={isLast} />}
      <AnswerFacts answer={answer}>
        {answer.text && <CopyButton text={answer.text} />}
        {isLast && !answer.failure && <RegenerateButton />}
      </AnswerFacts>
    </article>
  );
});

function RegenerateButton() {
  const chat = useChat();
  if (!useCanSend()) return null;
  return (
    <IconButton label="Regenerate the answer" isQuiet onClick={() => chat.regenerate()}>
      <IconRedo />
    </IconButton>
  );
}
