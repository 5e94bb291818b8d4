import { useState } from "react";
import { useNow } from "../../lib/clock";
import { formatSeconds } from "../../lib/units";
import type { Failure } from "./failure";
import styles from "./FailureNote.module.css";

export function FailureNote({ failure }: { failure: Failure }) {
  return (
    <div className={styles.note} role="alert">
      <strong>{failure.title}.</strong> {failure.words}
      {failure.waitSeconds !== null && <Wait seconds={failure.waitSeconds} />}
    </div>
  );
}

/** Counts down what the service asked to wait. */
function Wait({ seconds }: { seconds: number }) {
  const [until] = useState(() => Date.now() + seconds * 1000);
  const left = Math.ceil((until - useNow()) / 1000);
  return <> {left > 0 ? `Try again in ${formatSeconds(left)}.` : "You can try again now."}</>;
}
