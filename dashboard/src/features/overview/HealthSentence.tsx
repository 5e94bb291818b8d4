import type { Health } from "./health";
import styles from "./HealthSentence.module.css";

export function HealthSentence({ health }: { health: Health }) {
  return (
    <h1 className={styles.sentence} data-tone={health.tone}>
      <span className={styles.dot} aria-hidden />
      {health.sentence}
    </h1>
  );
}
