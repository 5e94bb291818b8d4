import { Textarea } from "@mantine/core";
import { useId } from "react";
import styles from "./JsonField.module.css";
import { NOT_JSON } from "./reading";
import { findSyntaxError } from "./syntax";

interface JsonFieldProps {
  title: string;
  /** Shown while the box is empty. */
  placeholder: string;
  example: string;
  text: string;
  /** What is wrong with the text, or null. */
  problem: string | null;
  /** What was understood, shown while nothing is wrong. */
  summary: string | null;
  onChange: (text: string) => void;
}

/** A box for JSON that says what is wrong with it and where, or inserts an example. */
export function JsonField(props: JsonFieldProps) {
  const { title, placeholder, example, text, problem, summary, onChange } = props;
  const id = useId();
  const isEmpty = text.trim() === "";
  const error = problem === NOT_JSON ? (findSyntaxError(text) ?? problem) : problem;
  return (
    <div>
      <div className={styles.head}>
        <label htmlFor={id} className={styles.label}>
          {title}
        </label>
        <button
          type="button"
          className={styles.action}
          aria-label={isEmpty ? `Insert an example: ${title}` : `Clear: ${title}`}
          onClick={() => onChange(isEmpty ? example : "")}
        >
          {isEmpty ? "Insert an example" : "Clear"}
        </button>
      </div>
      <Textarea
        id={id}
        classNames={{ input: styles.input ?? "" }}
        placeholder={placeholder}
        autosize
        minRows={1}
        maxRows={14}
        spellCheck={false}
        autoCapitalize="off"
        error={error}
        value={text}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
      {error === null && summary !== null && <p className={styles.summary}>{summary}</p>}
    </div>
  );
}
