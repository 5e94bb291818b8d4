import type { Health } from "./health";
import styles from "./HealthSentence.module.css";

export function HealthSentence({ health }: { health: Health }) {
  return (
    <div className={styles.health} data-tone={health.tone} data-state={health.state}>
      <h1 className={styles.sentence}>
        <span className={styles.dot} aria-hidden />
        {health.sentence}
      </h1>
      {health.also.length > 0 && <p className={styles.also}>{health.also.join(" ")}</p>}
    </div>
  );
}
