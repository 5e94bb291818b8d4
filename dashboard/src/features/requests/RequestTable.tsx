import { memo } from "react";
import type { RequestRecord } from "../../api/types";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { PhaseBar } from "../../components/PhaseBar";
import { ScrollRegion } from "../../components/ScrollRegion";
import { SortHeader } from "../../components/SortHeader";
import { decodeSpeed, numberOrDash, secondsOrDash } from "../../lib/requests";
import type { Sort } from "../../lib/sort";
import { formatClock } from "../../lib/units";
import type { RequestListProps } from "./FinishedRequests";
import { RequestDetail } from "./RequestDetail";
import styles from "./RequestTable.module.css";

interface RequestTableProps extends RequestListProps {
  sort: Sort;
  onSort: (column: string) => void;
}

const TEXT_COLUMNS = [
  ["time", "time"],
  ["key", "key"],
  ["operation", "operation"],
  ["outcome", "outcome"],
] as const;

const NUMBER_COLUMNS = [
  ["prompt", "prompt (cached)"],
  ["output", "output"],
  ["queue", "queue"],
  ["ttft", "TTFT"],
  ["speed", "tok/s"],
  ["total", "total"],
] as const;

const NUM_COLUMNS = TEXT_COLUMNS.length + NUMBER_COLUMNS.length + 1;

export function RequestTable({ requests, openId, onOpen, sort, onSort }: RequestTableProps) {
  const longest = Math.max(...requests.map((request) => request.duration_seconds ?? 0));
  return (
    <ScrollRegion label="Finished requests, table" className={styles.scroll}>
      <table className={styles.table}>
        <thead>
          <tr>
            {TEXT_COLUMNS.map(([column, label]) => (
              <SortHeader key={column} column={column} label={label} sort={sort} onSort={onSort} />
            ))}
            {NUMBER_COLUMNS.map(([column, label]) => (
              <SortHeader
                key={column}
                column={column}
                label={label}
                sort={sort}
                isNumber
                onSort={onSort}
              />
            ))}
            <th scope="col" className={styles.phases}>
              queue · prefill · decode
            </th>
          </tr>
        </thead>
        <tbody>
          {requests.map((request) => (
            <RequestRow
              key={request.request_id}
              request={request}
              longest={longest}
              isOpen={request.request_id === openId}
              onOpen={onOpen}
            />
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}

interface RequestRowProps {
  request: RequestRecord;
  longest: number;
  isOpen: boolean;
  onOpen: (requestId: string) => void;
}

/** A finished request never changes: its row is drawn again only when it opens or is rescaled. */
const RequestRow = memo(DrawnRow, (before, after) => {
  const isSame = before.request.request_id === after.request.request_id;
  return isSame && before.isOpen === after.isOpen && before.longest === after.longest;
});

function DrawnRow({ request, longest, isOpen, onOpen }: RequestRowProps) {
  const { request_id: id, error_kind, error_phase } = request;
  const why = [error_kind, error_phase].filter(Boolean).join(" in ").replaceAll("_", " ");
  return (
    <>
      {/* The whole row opens; the button in it is what the keyboard and screen readers use. */}
      <tr className={styles.row} data-open={isOpen} onClick={() => onOpen(id)}>
        <td>
          <button
            type="button"
            className={styles.opener}
            aria-expanded={isOpen}
            aria-label={`${formatClock(request.started_at)}, details`}
            onClick={(event) => {
              event.stopPropagation();
              onOpen(id);
            }}
          >
            <span className={styles.arrow} aria-hidden />
            {formatClock(request.started_at)}
          </button>
        </td>
        <td>{request.key_name}</td>
        <td>
          {request.operation}
          {request.stream && <span className={styles.muted}> stream</span>}
        </td>
        <td>
          <OutcomeBadge outcome={request.outcome} />
          {why && <span className={styles.muted}> {why}</span>}
        </td>
        <td data-number>
          {request.prompt_tokens}
          <span className={styles.muted}> ({request.cached_tokens})</span>
        </td>
        <td data-number>{request.output_tokens}</td>
        <td data-number>{secondsOrDash(request.queue_seconds)}</td>
        <td data-number>{secondsOrDash(request.ttft_seconds)}</td>
        <td data-number>
          {numberOrDash(decodeSpeed(request.output_tokens, request.decode_seconds))}
        </td>
        <td data-number>{secondsOrDash(request.duration_seconds)}</td>
        <td className={styles.phases}>
          <PhaseBar timings={request} longest={longest} />
        </td>
      </tr>
      {isOpen && (
        <tr>
          <td className={styles.detail} colSpan={NUM_COLUMNS}>
            <RequestDetail request={request} />
          </td>
        </tr>
      )}
    </>
  );
}
