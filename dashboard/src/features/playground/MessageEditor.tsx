import { Button, Textarea } from "@mantine/core";
import { useState, type KeyboardEvent } from "react";
import { isSendKey } from "./keys";
import styles from "./MessageEditor.module.css";

interface MessageEditorProps {
  label: string;
  text: string;
  note: string;
  /** What the button does. */
  action: string;
  canSubmit: boolean;
  onSubmit: (text: string) => void;
  onClose: () => void;
}

/** Edits the text of a message. Enter submits, Esc cancels. */
export function MessageEditor(props: MessageEditorProps) {
  const { label, note, action, onSubmit, onClose } = props;
  const [text, setText] = useState(props.text);
  const canSubmit = props.canSubmit && text.trim() !== "";
  const submit = () => {
    if (!canSubmit) return;
    onClose();
    onSubmit(text.trim());
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
        aria-label={label}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div className={styles.buttons}>
        <span className={styles.note}>{note}</span>
        <Button variant="default" size="compact-sm" onClick={onClose}>
          Cancel
        </Button>
        <Button size="compact-sm" disabled={!canSubmit} onClick={submit}>
          {action}
        </Button>
      </div>
    </div>
  );
}
