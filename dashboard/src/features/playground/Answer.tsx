import { Button } from "@mantine/core";
import { memo, useState } from "react";
import { CopyButton } from "../../components/CopyButton";
import { IconButton } from "../../components/IconButton";
import { IconEdit, IconRedo } from "../../components/icons";
import { Markdown } from "../../components/markdown/Markdown";
import { AnswerFacts } from "./AnswerFacts";
import { useCanSend, useChat } from "./ChatProvider";
import { canContinue, isEmpty, type AnswerMessage } from "./conversation";
import { FailureNote } from "./FailureNote";
import { fenced } from "./fence";
import { showJson } from "./json-text";
import { MessageEditor } from "./MessageEditor";
import { Reasoning } from "./Reasoning";
import { SchemaMark } from "./SchemaMark";
import type { Slot } from "./thread";
import { ToolCalls } from "./ToolCalls";
import { VersionPicker } from "./VersionPicker";
import styles from "./Answer.module.css";

interface AnswerProps extends Slot {
  answer: AnswerMessage;
  /** No message follows it. */
  isLast: boolean;
}

export const Answer = memo(function Answer({ answer, isLast, ...slot }: AnswerProps) {
  const [isEditing, setEditing] = useState(false);
  const isStreaming = answer.state === "streaming";
  return (
    <article className={styles.answer} aria-label="Answer" aria-busy={isStreaming}>
      {answer.reasoning !== "" && <Reasoning answer={answer} />}
      {isEditing ? (
        <AnswerEditor answer={answer} onClose={() => setEditing(false)} />
      ) : (
        <AnswerText answer={answer} />
      )}
      {answer.calls.length > 0 && <ToolCalls key={answer.id} answer={answer} isLast={isLast} />}
      <Ending answer={answer} isLast={isLast} />
      <AnswerFacts answer={answer}>
        {!isEditing && <VersionPicker {...slot} />}
        {answer.text && <CopyButton text={answer.text} />}
        {answer.text && !isEditing && (
          <IconButton label="Edit the answer" isQuiet onClick={() => setEditing(true)}>
            <IconEdit />
          </IconButton>
        )}
        {isLast && <RegenerateButton />}
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

function AnswerEditor({ answer, onClose }: { answer: AnswerMessage; onClose: () => void }) {
  const chat = useChat();
  return (
    <MessageEditor
      label="Edit the answer"
      text={answer.text}
      note="The answer so far is kept as another version."
      action="Save"
      canSubmit
      onSubmit={(text) => chat.editAnswer(answer.id, text)}
      onClose={onClose}
    />
  );
}

const INTERRUPTED = "The page was closed while this answer arrived.";

/** Why the answer ended early, and the buttons that go on from there. */
function Ending({ answer, isLast }: { answer: AnswerMessage; isLast: boolean }) {
  const { failure, state } = answer;
  const isContinuable = isLast && canContinue(answer);
  const isRetried = answer.pair !== null ? isEmpty(answer) : isLast;
  if (failure) {
    return (
      <FailureNote failure={failure} {...(isRetried && { retried: answer })}>
        {isContinuable && <ContinueButton id={answer.id} />}
      </FailureNote>
    );
  }
  if (state !== "interrupted" && !isContinuable) return null;
  return (
    <div className={styles.ending}>
      {state === "interrupted" && <p className={styles.words}>{INTERRUPTED}</p>}
      {isContinuable && <ContinueButton id={answer.id} />}
    </div>
  );
}

function ContinueButton({ id }: { id: number }) {
  const chat = useChat();
  const canSend = useCanSend();
  return (
    <Button
      variant="default"
      size="compact-sm"
      disabled={!canSend}
      onClick={() => chat.continueAnswer(id)}
    >
      Continue the answer
    </Button>
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
