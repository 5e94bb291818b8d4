import { Button } from "@mantine/core";
import { useNow } from "../../lib/clock";
import { formatSeconds } from "../../lib/units";
import { useCanSend, useChat } from "./ChatProvider";
import type { Failure } from "./failure";
import styles from "./FailureNote.module.css";

interface FailureNoteProps {
  failure: Failure;
  /** Only the last question can be retried. */
  isLast: boolean;
}

export function FailureNote({ failure, isLast }: FailureNoteProps) {
  const left = useSecondsUntil(failure.retryAt);
  return (
    <div className={styles.note}>
      <p className={styles.words} role="alert">
        <strong>{failure.title}.</strong> {failure.words}
      </p>
      {isLast && <RetryButton secondsLeft={left} />}
    </div>
  );
}

function RetryButton({ secondsLeft }: { secondsLeft: number }) {
  const chat = useChat();
  const canSend = useCanSend();
  return (
    <Button
      variant="default"
      size="compact-sm"
      disabled={!canSend || secondsLeft > 0}
      onClick={() => chat.regenerate()}
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
