import { memo } from "react";
import { CopyButton } from "../../components/CopyButton";
import { IconButton } from "../../components/IconButton";
import { IconRedo } from "../../components/icons";
import { splitSegments } from "../../lib/segments";
import { AnswerFacts } from "./AnswerFacts";
import { useChat } from "./ChatProvider";
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
      <AnswerText text={answer.text} isStreaming={isStreaming} />
      {answer.failure && <FailureNote failure={answer.failure} />}
      <footer className={styles.footer}>
        <AnswerFacts answer={answer} />
        {!isStreaming && (
          <span className={styles.actions}>
            {answer.text && <CopyButton text={answer.text} />}
            {isLast && <RegenerateButton />}
          </span>
        )}
      </footer>
    </article>
  );
});

function RegenerateButton() {
  const { canSend, regenerate } = useChat();
  if (!canSend) return null;
  return (
    <IconButton label="Answer again" isQuiet onClick={regenerate}>
      <IconRedo />
    </IconButton>
  );
}

function AnswerText({ text, isStreaming }: { text: string; isStreaming: boolean }) {
  if (text === "" && isStreaming) return <div className={styles.thinking} aria-label="Waiting" />;
  return (
    <div data-testid="answer-text">
      {splitSegments(text).map((segment, i) =>
        segment.kind === "code" ? (
          <pre key={i} className={styles.code} data-language={segment.language}>
            {segment.content}
          </pre>
        ) : (
          <div key={i} className={styles.text}>
            {segment.content}
          </div>
        ),
      )}
    </div>
  );
}
