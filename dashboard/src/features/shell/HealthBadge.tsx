import type { Connection } from "../../api/live";
import styles from "./HealthBadge.module.css";

interface HealthBadgeProps {
  connection: Connection;
  isPaused: boolean;
}

/** Says whether the service is ready, loading (and why) or disconnected. */
export function HealthBadge({ connection, isPaused }: HealthBadgeProps) {
  const { tone, words, detail } = describe(connection, isPaused);
  return (
    <span className={styles.badge} data-tone={tone} title={detail} role="status">
      <span className={styles.dot} aria-hidden />
      {words}
    </span>
  );
}

function describe({ status, numFailures }: Connection, isPaused: boolean) {
  if (isPaused)
    return {
      tone: "warn",
      words: "Paused",
      detail: "The dashboard requests nothing until you resume.",
    };
  if (numFailures > 0) return { tone: "bad", words: "Disconnected", detail: "" };
  if (!status) return { tone: "warn", words: "Connecting", detail: "" };
  const { is_ready: isReady, reason } = status.health;
  if (!isReady)
    return { tone: "warn", words: status.model ? "Not ready" : "Loading", detail: reason };
  return { tone: "ok", words: "Ready", detail: "The engine accepts requests." };
}
