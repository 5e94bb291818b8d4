import { Button } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { useCanSend, useChat } from "./ChatProvider";
import { hasCalls, hasResults, type AnswerMessage } from "./conversation";
import { ToolCallCard } from "./ToolCallCard";
import styles from "./ToolCalls.module.css";

/** The calls of an answer. When they are complete, the user enters their results. */
export function ToolCalls({ answer, isLast }: { answer: AnswerMessage; isLast: boolean }) {
  const [isEditing, setEditing] = useState(false);
  const isAwaiting = isLast && hasCalls(answer) && !hasResults(answer);
  if (isAwaiting || isEditing) {
    return <ResultForm answer={answer} {...(isEditing && { onClose: () => setEditing(false) })} />;
  }
  return (
    <div className={styles.calls}>
      {answer.calls.map((call) => (
        <ToolCallCard
          key={call.index}
          call={call}
          state={answer.state === "streaming" ? "growing" : hasCalls(answer) ? "done" : "cut"}
          {...(call.result !== null && { onEdit: () => setEditing(true) })}
        />
      ))}
    </div>
  );
}

interface ResultFormProps {
  answer: AnswerMessage;
  /** Given if the results are entered again. */
  onClose?: () => void;
}

/** Enter goes to the next empty result, and with the last one it sends all. */
function ResultForm({ answer, onClose }: ResultFormProps) {
  const { calls } = answer;
  const chat = useChat();
  const canSend = useCanSend();
  const form = useRef<HTMLFormElement>(null);
  const [results, setResults] = useState(() => calls.map((call) => call.result ?? ""));
  const isComplete = calls.every((_, i) => results[i]?.trim());
  const focusEmpty = () => {
    // Mantine measures heights with hidden fields.
    const fields = form.current?.querySelectorAll<HTMLTextAreaElement>(
      "textarea:not([aria-hidden])",
    );
    const empty = Array.from(fields ?? []).find((field) => field.value.trim() === "");
    empty?.focus({ preventScroll: true });
  };
  useFirstFocus(() => {
    // Edited again: the button that opened the form is gone, and the focus with it.
    if (onClose) form.current?.querySelector("textarea")?.focus({ preventScroll: true });
    // Else it moves on from the message box, unless the user has begun to write there.
    else if (isFocusedAndEmpty(findMessageBox())) focusEmpty();
  });
  const submit = () => {
    if (!isComplete) focusEmpty();
    else if (canSend) {
      // The form goes away, and the focus with it.
      if (form.current?.contains(document.activeElement)) findMessageBox()?.focus();
      onClose?.();
      chat.sendResults(answer.id, results);
    }
  };
  return (
    <form
      ref={form}
      className={styles.calls}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {calls.map((call, i) => (
        <ToolCallCard
          key={call.index}
          call={call}
          state="done"
          entry={{
            text: results[i] ?? "",
            onChange: (text) => setResults(results.with(i, text)),
            onEnter: submit,
          }}
        />
      ))}
      <div className={styles.buttons}>
        {onClose && (
          <>
            <span className={styles.note}>
              The results so far and what follows are kept as another version.
            </span>
            <Button variant="default" size="compact-sm" onClick={onClose}>
              Cancel
            </Button>
          </>
        )}
        <Button type="submit" size="compact-sm" disabled={!canSend || !isComplete}>
          {calls.length === 1 ? "Send the result" : `Send ${calls.length} results`}
        </Button>
      </div>
    </form>
  );
}

/** Calls `focus` once, when the form has appeared. */
function useFirstFocus(focus: () => void): void {
  const first = useRef(focus);
  useEffect(() => first.current(), []);
}

function isFocusedAndEmpty(box: HTMLTextAreaElement | null): boolean {
  return box !== null && box === document.activeElement && box.value === "";
}

function findMessageBox(): HTMLTextAreaElement | null {
  return document.querySelector("textarea[data-message]");
}
