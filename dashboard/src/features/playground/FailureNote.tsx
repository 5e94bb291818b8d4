import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { useNow } from "../../lib/clock";
import { formatSeconds } from "../../lib/units";
import { useCanSend, useChat } from "./ChatProvider";
import type { AnswerMessage } from "./conversation";
import type { Failure } from "./failure";
import styles from "./FailureNote.module.css";

interface FailureNoteProps {
  failure: Failure;
  /** The answer that the user can ask for again. */
  retried?: AnswerMessage;
  /** Other ways on. */
  children: ReactNode;
}

export function FailureNote({ failure, retried, children }: FailureNoteProps) {
  const left = useSecondsUntil(failure.retryAt);
  return (
    <div className={styles.note}>
      <p className={styles.words} role="alert">
        <strong>{failure.title}.</strong> {failure.words}
      </p>
      {retried && <RetryButton answer={retried} secondsLeft={left} />}
      {children}
    </div>
  );
}

function RetryButton({ answer, secondsLeft }: { answer: AnswerMessage; secondsLeft: number }) {
  const chat = useChat();
  const canSend = useCanSend();
  return (
    <Button
      variant="default"
      size="compact-sm"
      disabled={!canSend || secondsLeft > 0}
      onClick={() => (answer.pair === null ? chat.regenerate() : chat.retry(answer.id))}
    >
      {secondsLeft > 0 ? `Try again in ${formatSeconds(secondsLeft)}` : "Try again"}
    </Button>
  );
}

/** Counts down the wait that the service asked for. */
function useSecondsUntil(at: number | null): number {
  const now = useNow(at !== null);
  return at === null ? 0 : Math.max(0, Math.ceil((at - now) / 1000));
}
