/** The running requests with their progress, and the finished ones with their time per phase. */

import { getRequests } from "../../api/endpoints";
import { useLiveQuery } from "../../api/live";
import { PageHead } from "../../components/PageHead";
import { QueryGate } from "../../components/QueryGate";
import { PageSkeleton } from "../../components/PageSkeleton";
import { ZoomBadge } from "../../components/ZoomBadge";
import type { TimeWindow } from "../../lib/chart-view";
import { useSearchText, useTimeWindow } from "../../lib/location";
import { formatDayAndSeconds } from "../../lib/units";
import { FinishedRequests } from "./FinishedRequests";
import { RefusedRequests } from "./RefusedRequests";
import { noteReplica, replicaWords, type SeenRequests } from "./replicas";
import { RunningRequests } from "./RunningRequests";
import styles from "./RequestsPage.module.css";

/** The number of requests that the service keeps. */
const NUM_LISTED = 1000;
const REFRESH_MILLISECONDS = 2000;

export function RequestsPage() {
  const [window, setWindow] = useTimeWindow();
  const [, setOpenId] = useSearchText("request");
  const query = useLiveQuery<SeenRequests>(
    ["requests", NUM_LISTED, window],
    (call) => getRequests(call, NUM_LISTED, window),
    REFRESH_MILLISECONDS,
    { combine: noteReplica },
  );
  const lead = window
    ? "Requests that ran in this time, in numbers only."
    : "The last 1,000 requests, in numbers only: their text is never stored.";
  return (
    <div className={styles.page}>
      <PageHead title="Requests" lead={`${lead}${replicaWords(query.data)}`}>
        <ZoomBadge zoom={window} onReset={() => setWindow(null)} />
      </PageHead>
      <QueryGate query={query} placeholder={<PageSkeleton />}>
        {({ running, requests, refused, complete_since }) => (
          <>
            {window ? (
              <Completeness window={window} since={complete_since} />
            ) : (
              <RunningRequests running={running} />
            )}
            <FinishedRequests requests={requests} isWindow={window !== null} />
            <RefusedRequests refused={refused} onOpen={setOpenId} />
          </>
        )}
      </QueryGate>
    </div>
  );
}

/** Says if requests of the window may be missing, because the service keeps only the latest. */
function Completeness({ window, since }: { window: TimeWindow; since: number }) {
  if (window[0] >= since) return null;
  return (
    <p className={styles.note} role="status">
      Requests are kept completely since {formatDayAndSeconds(since)} only. Of this time, some or
      all are missing.
    </p>
  );
}
