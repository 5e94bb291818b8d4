import { Button } from "@mantine/core";
import type { Connection } from "../../api/live";
import { useNow } from "../../lib/clock";
import { formatDuration } from "../../lib/units";
import styles from "./ConnectionBanner.module.css";

/** What is on screen is old: says how old, and that we keep trying. */
export function ConnectionBanner({ connection }: { connection: Connection }) {
  const age = (useNow() - connection.answeredAt) / 1000;
  const old = age < 2 ? "" : ` What you see is ${formatDuration(age)} old.`;
  return (
    <div className={styles.banner} role="alert">
      <span>
        <strong>Disconnected.</strong>{" "}
        {connection.failure?.message ?? "The service does not answer."}
        {old} Trying again, attempt {connection.numFailures}.
      </span>
      <Button variant="default" size="compact-sm" onClick={connection.retryNow}>
        Try now
      </Button>
    </div>
  );
}
