import { Button, Textarea } from "@mantine/core";
import { memo, useState, type KeyboardEvent } from "react";
import { CopyButton } from "../../components/CopyButton";
import { IconButton } from "../../components/IconButton";
import { IconEdit } from "../../components/icons";
import { useCanSend, useChat } from "./ChatProvider";
import type { UserMessage } from "./conversation";
import { isSendKey } from "./keys";
import styles from "./Question.module.css";

/** A question of the user. Editing it replaces everything from there on. */
export const Question = memo(function Question({ message }: { message: UserMessage }) {
  const [isEditing, setEditing] = useState(false);
  if (isEditing) return <QuestionEditor message={message} onClose={() => setEditing(false)} />;
  return (
    <div className={styles.row}>
      <span className={styles.actions}>
        <CopyButton text={message.text} />
        <IconButton label="Edit and ask again" isQuiet onClick={() => setEditing(true)}>
          <IconEdit />
        </IconButton>
      </span>
      <div className={styles.bubble}>{message.text}</div>
    </div>
  );
});

interface QuestionEditorProps {
  message: UserMessage;
  onClose: () => void;
}

function QuestionEditor({ message, onClose }: QuestionEditorProps) {
  const chat = useChat();
  const canSend = useCanSend();
  const [text, setText] = useState(message.text);
  const canSubmit = canSend && text.trim() !== "";
  const submit = () => {
    if (!canSubmit) return;
    onClose();
    chat.resend(message.id, text.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      onClose();
    } else if (isSendKey(event)) {
      event.preventDefault();
      submit();
    }
  };
  return (
    <div className={styles.editor}>
      <Textarea
        autosize
        minRows={1}
        maxRows={12}
        data-autofocus
        // eslint-disable-next-line jsx-a11y/no-autofocus -- the user has just asked to edit this
        autoFocus
        aria-label="Edit the message"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div className={styles.buttons}>
        <span className={styles.note}>All later messages are deleted.</span>
        <Button variant="default" size="compact-sm" onClick={onClose}>
          Cancel
        </Button>
        <Button size="compact-sm" disabled={!canSubmit} onClick={submit}>
          Ask again
        </Button>
      </div>
    </div>
  );
}
