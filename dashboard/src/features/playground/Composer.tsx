import { ActionIcon, Textarea } from "@mantine/core";
import { useState, type KeyboardEvent, type ReactNode } from "react";
import { useLive } from "../../api/live";
import { IconSend, IconStop } from "../../components/icons";
import { useShortcuts } from "../../lib/shortcuts";
import { useChat } from "./ChatProvider";
import styles from "./Composer.module.css";

/** Enter sends, Shift+Enter makes a line, Esc stops. */
export function Composer({ children }: { children: ReactNode }) {
  const { canSend, isStreaming, send, stop } = useChat();
  const { status } = useLive().connection;
  const [text, setText] = useState("");
  const isReady = status?.health.is_ready ?? false;
  const canSubmit = canSend && text.trim() !== "";

  useShortcuts(isStreaming ? { Escape: stop } : {});

  const submit = () => {
    if (!canSubmit) return;
    send(text.trim());
    setText("");
  };

  const onKeyDown = (event: KeyboardEvent) => {
    // While an input method composes, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
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
        {children}
        <span className={styles.hint}>Enter sends · Shift + Enter new line · Esc stops</span>
      </div>
    </div>
  );
}
