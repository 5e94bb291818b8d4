import { useEffect, useState } from "react";
import { Chip } from "../../components/Chip";
import type { JsonSchema } from "./schema";
import type { Verdict } from "./schema-check";
import styles from "./SchemaMark.module.css";

interface SchemaMarkProps {
  /** null while the answer grows: then the mark only takes its space. */
  text: string | null;
  schema: JsonSchema;
}

/** Says whether a finished answer is JSON and fits its schema, or the first reason why not. */
export function SchemaMark({ text, schema }: SchemaMarkProps) {
  const verdict = useVerdict(text, schema);
  return (
    <p className={styles.mark} data-testid="schema-mark">
      {verdict && <Chip tone={verdict.tone}>{verdict.words}</Chip>}
      {verdict?.reason && <span className={styles.reason}>{verdict.reason}</span>}
    </p>
  );
}

function useVerdict(text: string | null, schema: JsonSchema): Verdict | null {
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  useEffect(() => {
    if (text === null) return;
    let isCurrent = true;
    void import("./schema-check")
      .then(({ checkAnswer }) => {
        if (isCurrent) setVerdict(checkAnswer(text, schema));
      })
      .catch(() => {
        if (isCurrent) setVerdict(NOT_LOADED);
      });
    return () => {
      isCurrent = false;
    };
  }, [text, schema]);
  return verdict;
}

const NOT_LOADED: Verdict = {
  tone: "warn",
  words: "Not checked",
  reason: "The script that checks it could not be loaded.",
};
