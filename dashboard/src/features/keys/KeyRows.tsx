import { useState } from "react";
import { Button } from "@mantine/core";
import type { KeyEntry } from "../../api/types";
import { useNow } from "../../lib/clock";
import { KeyRow } from "./KeyRow";
import { stateOf } from "./keys";
import type { KeyAction } from "./key-action";
import styles from "./KeyRows.module.css";

interface KeyRowsProps {
  keys: KeyEntry[];
  onDo: (action: KeyAction) => void;
}

/** The valid keys. Revoked and expired ones are hidden until the user asks for them. */
export function KeyRows({ keys, onDo }: KeyRowsProps) {
  const [isPastShown, setPastShown] = useState(false);
  const now = useNow() / 1000;
  const isOver = (key: KeyEntry) => ["revoked", "expired"].includes(stateOf(key, now));
  const past = keys.filter(isOver);
  const live = keys.filter((key) => !isOver(key));
  return (
    <>
      <ul className={styles.list} aria-label="Keys">
        {live.map((key) => (
          <KeyRow key={key.id} entry={key} now={now} onDo={onDo} />
        ))}
      </ul>
      {past.length > 0 && (
        <Button
          variant="subtle"
          color="gray"
          size="compact-sm"
          className={styles.toggle}
          aria-expanded={isPastShown}
          onClick={() => setPastShown(!isPastShown)}
        >
          {isPastShown ? "Hide" : "Show"} {past.length} revoked or expired{" "}
          {past.length === 1 ? "key" : "keys"}
        </Button>
      )}
      {isPastShown && (
        <ul className={styles.list} aria-label="Revoked and expired keys">
          {past.map((key) => (
            <KeyRow key={key.id} entry={key} now={now} onDo={onDo} />
          ))}
        </ul>
      )}
    </>
  );
}
