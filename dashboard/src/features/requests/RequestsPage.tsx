/** The running requests with their progress, and the finished ones with their time per phase. */

import { getRequests } from "../../api/endpoints";
import { useLiveQuery } from "../../api/live";
import { PageHead } from "../../components/PageHead";
import { QueryGate } from "../../components/QueryGate";
import { PageSkeleton } from "../../components/PageSkeleton";
import { FinishedRequests } from "./FinishedRequests";
import { noteReplica, replicaWords, type SeenRequests } from "./replicas";
import { RunningRequests } from "./RunningRequests";
import styles from "./RequestsPage.module.css";

/** The number of requests that the service keeps. */
const NUM_LISTED = 1000;
const REFRESH_MILLISECONDS = 2000;

export function RequestsPage() {
  const query = useLiveQuery<SeenRequests>(
    ["requests", NUM_LISTED],
    (call) => getRequests(call, NUM_LISTED),
    REFRESH_MILLISECONDS,
    { combine: noteReplica },
  );
  const lead = "The last 1,000 requests, in numbers only: their text is never stored.";
  return (
    <div className={styles.page}>
      <PageHead title="Requests" lead={`${lead}${replicaWords(query.data)}`} />
      <QueryGate query={query} placeholder={<PageSkeleton />}>
        {({ running, requests }) => (
          <>
            <RunningRequests running={running} />
            <FinishedRequests requests={requests} />
          </>
        )}
      </QueryGate>
    </div>
  );
}
