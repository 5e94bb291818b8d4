import type { RequestRecord } from "../../api/types";
import { longestOf, rowId, secondsOrDash } from "../../lib/requests";
import { formatClock } from "../../lib/units";
import { OutcomeBadge } from "./OutcomeBadge";
import { PhaseBar } from "./PhaseBar";
import { RequestDetail } from "./RequestDetail";
import type { RequestListProps } from "./request-list";
import styles from "./RequestCards.module.css";

/** The content of the table as cards, for screens too narrow for columns. */
export function RequestCards({ label, requests, openId, onOpen }: RequestListProps) {
  const longest = longestOf(requests);
  return (
    <ul className={styles.list} aria-label={label}>
      {requests.map((request) => (
        <RequestCard
          key={rowId(request)}
          request={request}
          longest={longest}
          isOpen={request.request_id === openId}
          onOpen={onOpen}
        />
      ))}
    </ul>
  );
}

interface RequestCardProps {
  request: RequestRecord;
  longest: number;
  isOpen: boolean;
  onOpen: (requestId: string) => void;
}

function RequestCard({ request, longest, isOpen, onOpen }: RequestCardProps) {
  return (
    <li className={styles.card}>
      <button
        type="button"
        className={styles.opener}
        aria-expanded={isOpen}
        onClick={() => onOpen(isOpen ? "" : request.request_id)}
      >
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
