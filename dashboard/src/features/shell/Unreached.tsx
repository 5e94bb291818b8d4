import { Button } from "@mantine/core";
import type { Connection } from "../../api/live";
import { Notice } from "../../components/Notice";

/** Replaces the page until the service has answered once. */
export function Unreached({ connection }: { connection: Connection }) {
  return (
    <Notice tone="bad" title="The service does not answer">
      <p>{connection.failure?.message} It may be starting, or it has stopped.</p>
      <p>The dashboard keeps retrying (attempt {connection.numFailures}).</p>
      <p>
        <Button variant="default" size="xs" onClick={connection.retryNow}>
          Retry now
        </Button>
      </p>
    </Notice>
  );
}
