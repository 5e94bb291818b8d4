import { Button } from "@mantine/core";
import type { Connection } from "../../api/live";
import { Notice } from "../../components/Notice";

/** No answer has ever come. */
export function Unreached({ connection }: { connection: Connection }) {
  return (
    <Notice tone="bad" title="The service does not answer">
      <p>{connection.failure?.message} It may be starting, or stopped.</p>
      <p>Trying again by itself, attempt {connection.numFailures}.</p>
      <p>
        <Button variant="default" size="xs" onClick={connection.retryNow}>
          Try now
        </Button>
      </p>
    </Notice>
  );
}
