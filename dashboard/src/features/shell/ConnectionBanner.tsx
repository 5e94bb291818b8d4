import { Button } from "@mantine/core";
import type { Connection } from "../../api/live";
import { useNow } from "../../lib/clock";
import { formatDuration } from "../../lib/units";
import styles from "./ConnectionBanner.module.css";

/** Says that the numbers on the screen are old, how old, and that the dashboard keeps retrying. */
export function ConnectionBanner({ connection }: { connection: Connection }) {
  const age = (useNow() - connection.answeredAt) / 1000;
  const old = age < 2 ? "" : ` The numbers shown are ${formatDuration(age)} old.`;
  return (
    <div className={styles.banner} role="alert">
      <span>
        <strong>Disconnected.</strong>{" "}
        {connection.failure?.message ?? "The service does not answer."}
        {old} Retrying (attempt {connection.numFailures}).
      </span>
      <Button variant="default" size="compact-sm" onClick={connection.retryNow}>
        Retry now
      </Button>
    </div>
  );
}
