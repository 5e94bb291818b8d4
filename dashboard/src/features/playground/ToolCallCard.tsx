import { Textarea } from "@mantine/core";
import { memo, useId } from "react";
import { Chip } from "../../components/Chip";
import { IconButton } from "../../components/IconButton";
import { IconEdit, IconTool } from "../../components/icons";
import { CodeText } from "../../components/markdown/CodeText";
import type { ToolCall } from "./conversation";
import { showJson } from "./json-text";
import { isSendKey } from "./keys";
import { readJson } from "./reading";
import styles from "./ToolCallCard.module.css";

export interface ResultEntry {
  text: string;
  onChange: (text: string) => void;
  onEnter: () => void;
}

interface ToolCallCardProps {
  call: ToolCall;
  /** "cut": the answer ended before the call was complete. */
  state: "growing" | "done" | "cut";
  /** Given while the result is entered. */
  entry?: ResultEntry;
  onEdit?: () => void;
}

/** One call: the tool's name, the arguments as they arrive, and its result. */
export function ToolCallCard({ call, state, entry, onEdit }: ToolCallCardProps) {
  const id = useId();
  return (
    <div className={styles.card} role="group" aria-labelledby={id}>
      <div className={styles.head}>
        <IconTool />
        <span id={id} className={styles.name}>
          <span className={styles.hidden}>Call of </span>
          {call.name}
        </span>
        <Mark call={call} state={state} />
      </div>
      <Arguments text={call.arguments} isGrowing={state === "growing"} />
      {entry && <ResultField name={call.name} entry={entry} />}
      {!entry && call.result !== null && (
        <div className={styles.result}>
          <div className={styles.label}>
            <span>Result</span>
            {onEdit && (
              <IconButton label="Edit the result" isQuiet onClick={onEdit}>
                <IconEdit />
              </IconButton>
            )}
          </div>
          <CodeText text={showJson(call.result, false)} language="json" isGrowing={false} />
        </div>
      )}
    </div>
  );
}

function Mark({ call, state }: { call: ToolCall; state: ToolCallCardProps["state"] }) {
  if (state === "growing") return null;
  if (state === "cut") return <Chip tone="warn">incomplete</Chip>;
  const isValid = call.arguments === "" || readJson(call.arguments).problem === null;
  return isValid ? null : <Chip tone="bad">not valid JSON</Chip>;
}

const Arguments = memo(function Arguments({
  text,
  isGrowing,
}: {
  text: string;
  isGrowing: boolean;
}) {
  return <CodeText text={showJson(text, isGrowing) || " "} language="json" isGrowing={isGrowing} />;
});

function ResultField({ name, entry }: { name: string; entry: ResultEntry }) {
  return (
    <div className={styles.result}>
      <Textarea
        label="Result"
        aria-label={`Result of ${name}`}
        placeholder="What the tool returns, as text or JSON"
        autosize
        minRows={1}
        maxRows={10}
        value={entry.text}
        onChange={(event) => entry.onChange(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (!isSendKey(event)) return;
          event.preventDefault();
          entry.onEnter();
        }}
      />
    </div>
  );
}
