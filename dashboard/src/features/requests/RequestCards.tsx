import type { RequestRecord } from "../../api/types";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { PhaseBar } from "../../components/PhaseBar";
import { secondsOrDash } from "../../lib/requests";
import { formatClock } from "../../lib/units";
import type { RequestListProps } from "./FinishedRequests";
import { RequestDetail } from "./RequestDetail";
import styles from "./RequestCards.module.css";

/** The table's content where there is no room for columns. */
export function RequestCards({ requests, openId, onOpen }: RequestListProps) {
  const longest = Math.max(...requests.map((request) => request.duration_seconds ?? 0));
  return (
    <ul className={styles.list}>
      {requests.map((request) => (
        <RequestCard
          key={request.request_id}
          request={request}
          longest={longest}
          isOpen={request.request_id === openId}
          onOpen={() => onOpen(request.request_id)}
        />
      ))}
    </ul>
  );
}

interface RequestCardProps {
  request: RequestRecord;
  longest: number;
  isOpen: boolean;
  onOpen: () => void;
}

function RequestCard({ request, longest, isOpen, onOpen }: RequestCardProps) {
  return (
    <li className={styles.card}>
      <button type="button" className={styles.opener} aria-expanded={isOpen} onClick={onOpen}>
        <span className={styles.line}>
          <span>{formatClock(request.started_at)}</span>
          <span className={styles.name}>{request.key_name}</span>
          <OutcomeBadge outcome={request.outcome} />
        </span>
        <PhaseBar timings={request} longest={longest} />
        <span className={styles.line} data-muted>
          <span>
            {request.prompt_tokens} in, {request.output_tokens} out
          </span>
          <span>TTFT {secondsOrDash(request.ttft_seconds)}</span>
          <span>total {secondsOrDash(request.duration_seconds)}</span>
        </span>
      </button>
      {isOpen && <RequestDetail request={request} />}
    </li>
  );
}
