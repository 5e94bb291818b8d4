import { findRequest } from "../../api/endpoints";
import { useLiveQuery } from "../../api/live";
import type { RequestRecord, RunningRequest } from "../../api/types";
import { IconButton } from "../../components/IconButton";
import { IconClose } from "../../components/icons";
import { QueryGate } from "../../components/QueryGate";
import { RequestDetail } from "../../components/requests/RequestDetail";
import styles from "./LinkedRequest.module.css";

const REFRESH_MILLISECONDS = 5000;

interface LinkedRequestProps {
  requestId: string;
  onClose: () => void;
}

/** The request that the address names, while it is not among the rows that are shown. */
export function LinkedRequest({ requestId, onClose }: LinkedRequestProps) {
  const query = useLiveQuery(
    ["request", requestId],
    (call) => findRequest(call, requestId),
    REFRESH_MILLISECONDS,
  );
  return (
    <section className={styles.card} aria-label="Linked request">
      <header className={styles.header}>
        <h2 className={styles.title}>Linked request</h2>
        <IconButton label="Close the linked request" isQuiet onClick={onClose}>
          <IconClose />
        </IconButton>
      </header>
      <QueryGate query={query} placeholder={null}>
        {(request) => <Linked requestId={requestId} request={request} />}
      </QueryGate>
    </section>
  );
}

interface LinkedProps {
  requestId: string;
  request: RunningRequest | RequestRecord | null;
}

function Linked({ requestId, request }: LinkedProps) {
  if (request && "outcome" in request) return <RequestDetail request={request} />;
  return (
    <p className={styles.words}>
      Request <code>{requestId}</code>{" "}
      {request ? "is still running." : "is unknown: the service keeps the last 1,000 requests."}
    </p>
  );
}
