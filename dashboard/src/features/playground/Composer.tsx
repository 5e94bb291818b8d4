import { ActionIcon, Textarea } from "@mantine/core";
import { memo, useState, type KeyboardEvent } from "react";
import { useLive } from "../../api/live";
import { IconSend, IconStop } from "../../components/icons";
import { useShortcuts } from "../../lib/shortcuts";
import { isAnswering, isAwaitingResults } from "./chat-state";
import { useCanSend, useChat, useChatState, useProblem } from "./ChatProvider";
import { ContextMeter } from "./ContextMeter";
import { isSendKey } from "./keys";
import styles from "./Composer.module.css";

/** The message box. Enter sends, Shift+Enter adds a line, Esc stops the answer. */
export const Composer = memo(function Composer() {
  const chat = useChat();
  const canSend = useCanSend();
  const isStreaming = useChatState(isAnswering);
  const isAwaiting = useChatState(isAwaitingResults);
  const problem = useProblem();
  const { status } = useLive().connection;
  const [text, setText] = useState("");
  const isReady = status?.health.is_ready ?? false;
  const canSubmit = canSend && !isAwaiting && text.trim() !== "";
  const stop = () => chat.stop();

  useShortcuts(isStreaming ? { Escape: stop } : {});

  const submit = () => {
    if (!canSubmit) return;
    chat.send(text.trim());
    setText("");
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (!isSendKey(event)) return;
    event.preventDefault();
    submit();
  };

  return (
    <div className={styles.composer}>
      <div className={styles.box}>
        <Textarea
          className={styles.input}
          variant="unstyled"
          autosize
          minRows={1}
          maxRows={8}
          aria-label="Message"
          data-message
          placeholder={isReady ? "Message" : "The model is not ready yet"}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {isStreaming ? (
          <ActionIcon size={34} radius="md" aria-label="Stop" onClick={stop}>
            <IconStop />
          </ActionIcon>
        ) : (
          <ActionIcon
            size={34}
            radius="md"
            aria-label="Send"
            disabled={!canSubmit}
            onClick={submit}
          >
            <IconSend />
          </ActionIcon>
        )}
      </div>
      <div className={styles.footer}>
        <ContextMeter draft={text} />
        <Hint problem={problem} isAwaiting={isAwaiting} />
      </div>
    </div>
  );
});

/** Says why nothing can be sent, if that is so; else which keys there are. */
function Hint({ problem, isAwaiting }: { problem: string | null; isAwaiting: boolean }) {
  const reason = problem ?? (isAwaiting ? "First enter what the tools return." : null);
  return (
    <>
      <span role="status" className={styles.reason} data-tone={problem ? "bad" : "plain"}>
        {reason}
      </span>
      {reason === null && (
        <span className={styles.hint}>Enter sends · Shift + Enter adds a line · Esc stops</span>
      )}
    </>
  );
}
